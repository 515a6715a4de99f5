/** Passages with the peak token in one column: a concordance. One line a row; a click opens the passage in place. */
import { useState } from 'react';
import type { Feature } from '../api.ts';
import { tint } from '../colour.ts';
import { short, visible } from '../words.ts';

export type Row = NonNullable<Feature['examples']>[number];
const KINDS: Record<Row['kind'], string> = {
  top: 'top',
  spread: 'decile',
  interval: 'spread',
  random: 'random',
  near_miss: 'near miss',
};
type Order = 'value' | 'left' | 'right' | 'register';

const sortKey: Record<Order, (row: Row) => string | number> = {
  value: ({ value }) => -value,
  left: ({ left }) => [...left].reverse().join('').trim().toLowerCase(),
  right: ({ right }) => right.join('').trim().toLowerCase(),
  register: ({ register }) => register ?? '',
};

function Tokens({
  row,
  from,
  to,
  latent,
  maximum,
}: {
  row: Row;
  from: number;
  to: number;
  latent: number;
  maximum: number;
}) {
  const texts = [...row.left, row.peak, ...row.right];
  return texts.slice(from, to).map((text, i) => {
    const value = row.activations[from + i] ?? 0;
    const peak = from + i === row.left.length;
    return (
      <span
        key={i}
        className={`tok${peak ? ' peak' : ''}`}
        style={value > 0 ? tint(latent, value, maximum) : undefined}
        // Isolated: a number stands behind a word that is written from right to left, too.
        title={value > 0 ? `\u2068${visible(text)}\u2069  ${short(value)}` : undefined}
      >
        {text.replaceAll('\n', '↵')}
      </span>
    );
  });
}

export function Concordance({
  rows,
  latent,
  maximum,
}: {
  rows: readonly Row[];
  latent: number;
  maximum: number;
}) {
  const [order, setOrder] = useState<Order>();
  const [opened, setOpened] = useState<number>();
  const shown = rows.map((row, i) => ({ row, i }));
  if (order) {
    const key = sortKey[order];
    shown.sort((a, b) => (key(a.row) < key(b.row) ? -1 : key(a.row) > key(b.row) ? 1 : a.i - b.i));
  }
  const header = (name: Order, text: string, className: string) => (
    <button
      type="button"
      className={`${className}${order === name ? ' on' : ''}`}
      aria-pressed={order === name}
      onClick={() => setOrder(order === name ? undefined : name)}
    >
      {text}
    </button>
  );
  return (
    <div className="concordance">
      <div className="head" role="group" aria-label="Sort the passages">
        {header('left', 'left word', 'l')}
        <span className="p" />
        {header('right', 'right word', 'r')}
        {header('value', 'strength', 'v')}
        {header('register', 'register', 'k')}
      </div>
      {shown.map(({ row, i }) => (
        <button
          type="button"
          key={i}
          className={`row ${row.kind}${opened === i ? ' open' : ''}`}
          aria-expanded={opened === i}
          onClick={() => setOpened(opened === i ? undefined : i)}
        >
          {opened === i ? (
            <span className="whole">
              <Tokens row={row} from={0} to={row.activations.length} latent={latent} maximum={maximum} />
            </span>
          ) : (
            <>
              <span className="l">
                <bdi>
                  <Tokens row={row} from={0} to={row.left.length} latent={latent} maximum={maximum} />
                </bdi>
              </span>
              <span className="p">
                <Tokens
                  row={row}
                  from={row.left.length}
                  to={row.left.length + 1}
                  latent={latent}
                  maximum={maximum}
                />
              </span>
              <span className="r">
                <Tokens
                  row={row}
                  from={row.left.length + 1}
                  to={row.activations.length}
                  latent={latent}
                  maximum={maximum}
                />
              </span>
            </>
          )}
          <span className="v">{row.kind === 'near_miss' ? '0' : short(row.value)}</span>
          <span className="k">
            {row.kind === 'near_miss' ? KINDS.near_miss : (row.register ?? KINDS[row.kind])}
          </span>
        </button>
      ))}
    </div>
  );
}
