/** A feature card: what the latent reads (passages, peak aligned) and what it writes (output tokens). */
import type { FeatureCard, FeatureExample, TokenEffect } from '../../shared/feature.ts';
import { concordanceRow, type Passage } from './concordance.ts';
import { oneIn } from './numbers.ts';
import type { Style } from './style.ts';
import { clip, displayWidth } from './width.ts';

export type CardOptions = {
  readonly style: Style;
  readonly columns: number;
  /** Passages shown; spread over the strengths, not the strongest only. */
  readonly rows: number;
};

/** The label with where it comes from, the score beside it, passages, tokens that it raises and lowers. */
export function cardText(card: FeatureCard, { style, columns, rows }: CardOptions): string {
  const dim = (text: string): string => style.format('dim', text);
  const label = card.label ?? card.guess;
  const origin = card.label === undefined ? dim(' guess') : '';
  const score = card.best === undefined ? '' : dim(`   F1 ${card.best.f1.toFixed(2)} for ${card.best.label}`);
  const head = `${style.tint(card.latent, 0.6, `#${card.latent}`)} ${style.format('bold', label)}${origin}${score}${dim(`   fires on ${oneIn(card.density)}`)}`;
  const maximum = Math.max(...card.examples.map(({ value }) => value), Number.MIN_VALUE);
  const passages = chooseRows(card.examples, rows).map((example) => {
    const row = concordanceRow(passageOf(example), {
      style,
      columns: columns - 10,
      maximum,
      hue: card.latent,
    });
    return `  ${row}${' '.repeat(Math.max(1, columns - 9 - displayWidth(row)))}${dim(example.value.toFixed(1).padStart(5))}`;
  });
  const writes = `  ${dim('raises')} ${tokens(card.raises, 6)}  ${dim('lowers')} ${tokens(card.lowers, 4)}`;
  return [head, ...passages, ...(card.raises.length > 0 ? [writes] : [])]
    .map((line) => clip(line, columns))
    .join('\n');
}

/** The strongest, then examples spread over the strengths, so that the strongest do not stand for all. */
export function chooseRows(examples: readonly FeatureExample[], rows: number): FeatureExample[] {
  const sorted = examples.toSorted((a, b) => b.value - a.value);
  const top = sorted.filter(({ kind }) => kind === 'top').slice(0, Math.ceil(rows / 2));
  const rest = sorted.filter((example) => example.kind === 'spread' && !top.includes(example));
  const count = Math.min(rows - top.length, rest.length);
  const spread = Array.from(
    { length: count },
    (_, i) => rest[Math.floor(((i + 0.5) * rest.length) / count)] as FeatureExample,
  );
  const chosen = [...top, ...spread];
  // Few spread examples: fill with further strong ones.
  for (const example of sorted) {
    if (chosen.length >= rows) break;
    if (!chosen.includes(example)) chosen.push(example);
  }
  return chosen.toSorted((a, b) => b.value - a.value);
}

const passageOf = ({ left, peak, right, activations }: FeatureExample): Passage => ({
  tokens: [...left, peak, ...right],
  activations,
  peak: left.length,
});

/** Tokens in quotation marks, because their spaces matter. */
const tokens = (effects: readonly TokenEffect[], count: number): string =>
  effects
    .slice(0, count)
    .map(({ token }) => JSON.stringify(token).slice(1, -1))
    .map((token) => `'${token}'`)
    .join(' ');
