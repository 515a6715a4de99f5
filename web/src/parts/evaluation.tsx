/** What an SAE and its controls were measured to be on held-out text. */
import type { RunDetail } from '../api.ts';
import { grouped } from '../words.ts';
import { Bars } from './bars.tsx';

type Measured = NonNullable<RunDetail['evaluation']>;
type Candidate = Measured['candidates'][number];

const COLUMNS = [
  ['FVU', 'Fraction of variance unexplained: 0 is perfect, 1 as good as the mean.', (c: Candidate) => c.fvu],
  [
    'ΔCE, nats',
    'How much worse the model predicts with the reconstruction in the place of its activations.',
    (c: Candidate) => c.deltaCe,
  ],
  [
    'CE recovered',
    'Of what the model loses when the mean stands there: 1 is lossless.',
    (c: Candidate) => c.recoveredMean,
  ],
  ['L0', 'Latents that are active at a token, on the mean.', (c: Candidate) => c.latents?.l0],
] as const;

function Estimate({ of }: { of: Candidate['fvu'] | undefined }) {
  if (!of || of.value === null) return <>–</>;
  const { value, low, high } = of;
  const whole = value === low && value === high;
  const text = (n: number) => (whole ? String(n) : n >= 10 ? n.toFixed(1) : n.toFixed(3));
  return (
    <>
      {text(value)}{' '}
      {!whole && low !== null && high !== null && (
        <span className="fine">
          {text(low)} to {text(high)}
        </span>
      )}
    </>
  );
}

export function Evaluation({ evaluation }: { evaluation: Measured }) {
  return (
    <>
      <section>
        <h2>
          Held-out text{' '}
          <span className="fine">
            {grouped(evaluation.rows)} tokens, with 95 % intervals, beside its controls
          </span>
        </h2>
        <section className="scroll" aria-label="Table" tabIndex={0}>
          <table className="wide measured">
            <thead>
              <tr>
                <th scope="col" />
                {COLUMNS.map(([name, about]) => (
                  <th key={name} scope="col" title={about}>
                    {name}
                  </th>
                ))}
                <th scope="col" title="Latents that never fired on the held-out text.">
                  dead
                </th>
              </tr>
            </thead>
            <tbody>
              {evaluation.candidates.map((candidate) => (
                <tr key={candidate.name} className={candidate.kind === 'control' ? 'control' : ''}>
                  <th scope="row">{candidate.name}</th>
                  {COLUMNS.map(([name, , of]) => (
                    <td key={name}>
                      <Estimate of={of(candidate)} />
                    </td>
                  ))}
                  <td>{candidate.latents ? grouped(candidate.latents.dead) : '–'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      </section>
      {evaluation.candidates.map(
        ({ name, kind, latents }) =>
          kind === 'sae' && latents && <Density key={name} density={latents.density} />,
      )}
    </>
  );
}

/** 10^x of tokens, as people say it. */
const oneIn = (x: number): string => (x >= 0 ? 'every token' : `1 in ${grouped(Math.round(10 ** -x))}`);

function Density({ density }: { density: NonNullable<Candidate['latents']>['density'] }) {
  const { counts, edges, never } = density;
  const used = counts.findIndex((n) => n > 0);
  if (used < 0) return null;
  const shown = counts.slice(used);
  return (
    <section className="density">
      <h2>How often its latents fire</h2>
      <Bars
        counts={shown}
        name={`Latents by how often they fire, from ${oneIn(edges[used]!)} to every token`}
        titleOf={(i) =>
          `${oneIn(edges[used + i]!)} to ${oneIn(edges[used + i + 1]!)}: ${grouped(shown[i]!)} latents`
        }
        ends={[
          oneIn(edges[used]!),
          `latents, counts logarithmic${never > 0 ? `; ${grouped(never)} never fired` : ''}`,
          'every token',
        ]}
      />
    </section>
  );
}
