/** One latent: Reads (when it fires) and Writes (what it does), side by side. */
import { useState } from 'react';
import { api, type Feature, type RunSummary } from '../api.ts';
import { tint } from '../colour.ts';
import { Concordance, type Row } from '../parts/concordance.tsx';
import { Groups } from '../parts/groups.tsx';
import { Histogram } from '../parts/histogram.tsx';
import { LabelLine } from '../parts/label-line.tsx';
import { Link } from '../parts/link.tsx';
import { NameRow } from '../parts/name.tsx';
import { Status, TooLong } from '../parts/states.tsx';
import { Writes } from '../parts/writes.tsx';
import { stands } from '../placed.ts';
import { go, setParams, useAnswer, useKeys, usePlace } from '../use.ts';
import { featurePath, figure, grouped, indexText, shellWord, short } from '../words.ts';

/** Which passages are shown, and what a person calls them. */
const KINDS = [
  ['interval', 'spread'],
  ['spread', 'deciles'],
  ['top', 'top'],
  ['random', 'random'],
  ['near_miss', 'near misses'],
] as const;
type Kind = (typeof KINDS)[number][0];

export function FeaturePage({
  run,
  latent,
  latents = Number.MAX_SAFE_INTEGER,
  folder,
  selfTest,
}: {
  run: string;
  latent: number;
  latents: number | undefined;
  /** Of the run, for commands. */
  folder: string;
  selfTest: RunSummary['selfTest'] | undefined;
}) {
  const [version, setVersion] = useState(0);
  const answer = useAnswer(`${run} ${latent} ${version}`, (signal) => api.feature(run, latent, signal));
  const feature = answer.value?.run === run && answer.value.latent === latent ? answer.value : undefined;
  const { search } = usePlace();
  // Text, strength and prompt go along: the same is compared over latents.
  const to = (other: number) => go(featurePath({ run, latent: (other + latents) % latents }) + search);
  useKeys({
    j: () => to(latent + 1),
    k: () => to(latent - 1),
    r: () => to(Math.floor(Math.random() * latents)),
    s: () => document.getElementById('steer-strength')?.focus(),
    l: () => document.getElementById('add-to-list')?.click(),
    c: () => void navigator.clipboard?.writeText(location.href),
  });
  return (
    <main className="feature">
      <Status answer={answer} what={`Looking up #${latent}`} />
      {answer.error !== undefined && !feature && (
        <p>
          <Link href={`/search/${encodeURIComponent(run)}`}>All latents of {run}</Link> ·{' '}
          <Link href="/runs">runs</Link>
        </p>
      )}
      {feature && (
        <>
          <div className="feature-head">
            <LabelLine feature={feature} selfTest={selfTest} onChange={() => setVersion(version + 1)} />
            <nav className="step" aria-label="Latents">
              <button type="button" onClick={() => to(latent - 1)} title="previous (k)">
                ←
              </button>
              <button type="button" onClick={() => to(latent + 1)} title="next (j)">
                →
              </button>
              <button type="button" onClick={() => to(Math.floor(Math.random() * latents))} title="any (r)">
                random
              </button>
            </nav>
          </div>
          <div className="two">
            <Reads feature={feature} folder={folder} />
            <Writes key={`${run} ${latent}`} feature={feature} />
          </div>
          <Below feature={feature} />
        </>
      )}
    </main>
  );
}

/** Strongest first; over the whole range, which is the default, two near misses after them. */
function passages(examples: readonly Row[], kind: Kind, first: Kind): Row[] {
  const of = (wanted: Row['kind']) => examples.filter((example) => example.kind === wanted);
  const rows = of(kind).sort((a, b) => b.value - a.value);
  return kind === first ? [...rows, ...of('near_miss').slice(0, 2)] : rows;
}

/** How the passages were chosen. */
function chosen(kind: Kind, { histogram = [], maximum = 0, passages: n = 0 }: Feature): string {
  const total = histogram.reduce((sum, count) => sum + count, 0);
  const weak = histogram.slice(0, histogram.length / 10).reduce((sum, count) => sum + count, 0);
  return {
    interval: `One token of every tenth of the range from 0 to ${short(maximum)}, any of them. ${(100 * (weak / total)).toFixed(0)} % of its activations are in the weakest tenth.`,
    spread: `One passage of every tenth of its ${n > 0 ? `${grouped(n)} ` : ''}passages, in order of their peaks.`,
    top: 'The passages with the largest peaks.',
    random: 'Any tokens that it fires on.',
    near_miss: 'Its commonest tokens, where it does not fire.',
  }[kind];
}

const none = (kind: Kind, { density }: Feature): string =>
  density === 0 && kind !== 'near_miss'
    ? 'It never fired on the indexed text.'
    : 'The index has no such passages of it.';

function Reads({ feature, folder }: { feature: Feature; folder: string }) {
  const { latent } = feature;
  const { examples = [] } = feature;
  // Cards have neither every tenth of the range, nor random ones, nor near misses; tables of earlier versions not the first.
  const has = (kind: Kind) => examples.some((row) => row.kind === kind);
  const tables = feature.indexedOn !== undefined;
  const kinds = KINDS.filter(([name]) => has(name) || (name !== 'interval' && tables));
  const first = kinds[0]?.[0] ?? 'spread';
  const [wanted, setKind] = useState<Kind>(first);
  const kind = kinds.some(([name]) => name === wanted) ? wanted : first;
  const maximum = feature.maximum ?? 1;
  const rows = passages(examples, kind, first);
  return (
    <section className="reads" aria-label="Reads">
      <h2>
        Reads <span className="fine">when it fires</span>
      </h2>
      {feature.histogram && feature.maximum !== undefined && (
        <Histogram bins={feature.histogram} maximum={feature.maximum} />
      )}
      {kinds.length > 0 && (
        <div className="chips small" role="group" aria-label="Which passages">
          {kinds.map(([name, text]) => (
            <button
              key={name}
              type="button"
              className={kind === name ? 'on' : ''}
              aria-pressed={kind === name}
              onClick={() => setKind(name)}
            >
              {text}
            </button>
          ))}
        </div>
      )}
      {rows.length > 0 && (
        <>
          <p className="fine">{chosen(kind, feature)}</p>
          <Concordance rows={rows} latent={latent} maximum={maximum} />
        </>
      )}
      {!tables ? (
        <p className="fine">
          {feature.indexed
            ? 'These are of the evaluation. Random passages and near misses come with'
            : 'No passages are known: this run has no index yet. Make one with'}{' '}
          <code>npx saekit index {shellWord(folder)}</code>
        </p>
      ) : (
        rows.length === 0 && <p className="fine">{none(kind, feature)}</p>
      )}
      <Yours feature={feature} />
    </section>
  );
}

/** A text of one's own, coloured as it is typed and kept in the link. */
function Yours({ feature: { run, latent, maximum } }: { feature: Feature }) {
  const { searchParams } = usePlace();
  const text = searchParams.get('text') ?? '';
  const answer = useAnswer(
    text === '' ? undefined : `${run} ${latent} ${text}`,
    (signal) => api.readOne(run, latent, text, signal),
    { delay: 30 },
  );
  const { value: read } = answer;
  return (
    <div className="yours">
      <label>
        <span className="fine">+ yours</span>
        <textarea
          rows={2}
          value={text}
          placeholder="Type a text to see where it fires"
          spellCheck={false}
          onChange={(event) => setParams({ text: event.target.value || undefined })}
        />
      </label>
      {text !== '' && read && (
        <p className={`reading${answer.waiting || answer.error !== undefined ? ' old' : ''}`}>
          {read.tokens.map((token, t) => (
            <span
              key={t}
              className="tok"
              style={tint(latent, read.values[t]!, maximum ?? read.maxValue)}
              title={read.values[t]! > 0 ? short(read.values[t]!) : undefined}
            >
              {stands(read, t) ? token : ''}
            </span>
          ))}
        </p>
      )}
      <Status answer={answer} what="Reading" />
      <TooLong />
    </div>
  );
}

function Below({ feature }: { feature: Feature }) {
  const { groups = [], neighbours, together = [], run, latent, registers = [] } = feature;
  const params = Object.fromEntries(usePlace().searchParams);
  return (
    <div className="below">
      {groups.length > 0 && (
        <section>
          <h2>Where</h2>
          <Groups groups={groups} />
        </section>
      )}
      {groups.length === 0 && registers.length > 0 && (
        <section>
          <h2>Where</h2>
          <p>
            {registers
              .slice(0, 6)
              .map(({ name, share }) => `${name} ${(100 * share).toFixed(0)} %`)
              .join(', ')}
          </p>
        </section>
      )}
      <section>
        <h2>
          Neighbours <span className="fine">cosine of what they write</span>
        </h2>
        {neighbours.map((other) => (
          <NameRow key={other.latent} feature={other} extra={figure(other.cosine, 2)} params={params} />
        ))}
      </section>
      {together.length > 0 && (
        <section>
          <h2>
            Fires together <span className="fine">shared tokens / tokens of either</span>
          </h2>
          {together.map((other) => (
            <NameRow key={other.latent} feature={other} extra={figure(other.jaccard, 2)} params={params} />
          ))}
        </section>
      )}
      <section>
        <h2>Provenance</h2>
        <dl className="facts-list">
          <dt>run</dt>
          <dd>{run}</dd>
          <dt>hook</dt>
          <dd>{feature.hook}</dd>
          {feature.histogram && (
            <>
              <dt>fired</dt>
              <dd>
                {grouped(feature.histogram.reduce((sum, n) => sum + n, 0))} tokens,{' '}
                {grouped(feature.passages ?? 0)} passages
              </dd>
            </>
          )}
          {feature.indexedOn && (
            <>
              <dt>on</dt>
              <dd>{indexText(feature.indexedOn)}</dd>
            </>
          )}
          {feature.checked && (
            <>
              <dt>label</dt>
              <dd>{feature.checked}</dd>
            </>
          )}
          <dt>data</dt>
          <dd>
            <a href={`/feature/${encodeURIComponent(run)}/${latent}.json`}>JSON</a>
          </dd>
        </dl>
      </section>
    </div>
  );
}
