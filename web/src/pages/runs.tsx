/** All runs, and one of them: figures beside their controls, and how it was made. */
import { useEffect, useState } from 'react';
import { api, type RunDetail, type RunSummary } from '../api.ts';
import { Curve } from '../parts/curve.tsx';
import { Link } from '../parts/link.tsx';
import { Command, Nothing, Status } from '../parts/states.tsx';
import { useAnswer } from '../use.ts';
import { figure, grouped } from '../words.ts';

export const runPath = (run: string): string => `/runs/${encodeURIComponent(run)}`;

const FIGURES = [
  ['latents', 'How many latents the SAE has.'],
  ['L0', 'Latents that are active at a token, on the mean.'],
  ['FVU', 'Fraction of variance unexplained: 0 is perfect, 1 as good as the mean.'],
  ['ΔCE, nats', 'How much worse the model predicts with the SAE in the place of its activations.'],
  ['dead', 'Latents that never fired on the held-out text.'],
] as const;

/** A figure and, in grey, that of the control. */
const beside = (value: number | undefined, control: number | undefined) => (
  <>
    {figure(value)}
    {control !== undefined && <span className="fine"> / {figure(control)}</span>}
  </>
);

export function RunsPage({ runs }: { runs: readonly RunSummary[] }) {
  if (runs.length === 0)
    return (
      <main>
        <Nothing title="No runs yet">
          <p>Train one on the bundled model, in some two minutes on two cores:</p>
          <Command>
            npx saekit train --model demo/model --data demo/corpus/train.jsonl.gz --latents 4096 --recipe
            short --tokens 1M
          </Command>
          <p>
            or name a folder with runs: <code>npx saekit serve FOLDER</code>
          </p>
        </Nothing>
      </main>
    );
  const controls = [...new Set(runs.flatMap(({ control }) => control?.name ?? []))];
  const about = `Beside FVU and ΔCE in grey ${controls.length > 0 ? `those of a control (${controls.join(', ')})` : 'a control, once saekit eval has measured one'}; lower is better in all.`;
  return (
    <main className="runs">
      <h1>Runs</h1>
      <p className="lead">{about}</p>
      <section className="scroll" aria-label="Table" tabIndex={0}>
        <table className="wide runs-table">
          <thead>
            <tr>
              {['run', 'model', 'hook', 'kind'].map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
              {FIGURES.map(([name, about]) => (
                <th key={name} scope="col" className="n" title={about}>
                  {name}
                </th>
              ))}
              <th scope="col">state</th>
            </tr>
          </thead>
          <tbody>
            {runs.map((run) => (
              <tr key={run.run}>
                <th scope="row">
                  <Link href={runPath(run.run)}>{run.run}</Link>
                </th>
                <td data-name="model">{run.model ?? '–'}</td>
                <td data-name="hook">{run.hook ?? '–'}</td>
                <td data-name="kind">{run.architecture ?? '–'}</td>
                <td data-name="latents" className="n">
                  {run.latents === undefined ? '–' : grouped(run.latents)}
                </td>
                <td data-name="L0" className="n">
                  {figure(run.l0, 0)}
                </td>
                <td data-name="FVU" className="n">
                  {beside(run.fvu, run.control?.fvu)}
                </td>
                <td data-name="ΔCE, nats" className="n">
                  {beside(run.deltaCe, run.control?.deltaCe)}
                </td>
                <td data-name="dead" className="n">
                  {run.dead === undefined ? '–' : grouped(run.dead)}
                </td>
                <td data-name="state">{run.problem ?? (run.live ? 'training now' : run.status)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </main>
  );
}

type Point = { readonly step: number; readonly [metric: string]: unknown };

/** Lines of metrics as they are written; those of before come first. */
function useMetrics(run: string): readonly Point[] {
  const [points, setPoints] = useState<readonly Point[]>([]);
  useEffect(() => {
    setPoints([]);
    let waiting: Point[] = [];
    const source = new EventSource(`/api${runPath(run)}/events`);
    const add = (event: MessageEvent<string>) => {
      waiting.push(JSON.parse(event.data) as Point);
    };
    source.addEventListener('metrics', add);
    source.addEventListener('message', add);
    const timer = setInterval(() => {
      if (waiting.length === 0) return;
      const more = waiting;
      waiting = [];
      setPoints((before) => [...before, ...more]);
    }, 250);
    return () => {
      source.close();
      clearInterval(timer);
    };
  }, [run]);
  return points;
}

export function RunPage({ run }: { run: string }) {
  const answer = useAnswer(run, (signal) => api.run(run, signal), { keep: false });
  const points = useMetrics(run);
  const detail = answer.value;
  return (
    <main className="run">
      <h1>{run}</h1>
      <Status answer={answer} what="Reading the run" />
      {detail && (
        <>
          <p className="lead">
            {detail.architecture} with {grouped(detail.latents ?? 0)} latents on{' '}
            {detail.model ?? 'stored activations'}, {detail.hook}. {detail.live ? 'Training now.' : ''}{' '}
            <Link href={`/search/${encodeURIComponent(run)}`}>Its latents</Link> ·{' '}
            <Link href={`/?run=${encodeURIComponent(run)}`}>read a text with it</Link> ·{' '}
            <a href={`${runPath(run)}.json`}>JSON</a>
          </p>
          {detail.evaluation && <Evaluation evaluation={detail.evaluation} />}
          {points.length > 1 && (
            <section>
              <h2>Training</h2>
              <Curve
                name="FVU"
                points={points.flatMap(({ step, fvu }) =>
                  typeof fvu === 'number' ? [[step, fvu] as const] : [],
                )}
              />
            </section>
          )}
          {detail.config && (
            <details>
              <summary>Config</summary>
              <pre>{JSON.stringify(detail.config, null, 2)}</pre>
            </details>
          )}
        </>
      )}
    </main>
  );
}

function Evaluation({ evaluation }: { evaluation: NonNullable<RunDetail['evaluation']> }) {
  const interval = ({
    value,
    low,
    high,
  }: {
    value: number | null;
    low: number | null;
    high: number | null;
  }) =>
    value === null ? (
      '–'
    ) : (
      <>
        {value.toFixed(3)}{' '}
        {low !== null && high !== null && (
          <span className="fine">
            {low.toFixed(3)} to {high.toFixed(3)}
          </span>
        )}
      </>
    );
  return (
    <section>
      <h2>
        Held-out text <span className="fine">with 95 % intervals, beside its controls</span>
      </h2>
      <section className="scroll" aria-label="Table" tabIndex={0}>
        <table className="wide">
          <thead>
            <tr>
              <th scope="col" />
              <th scope="col">FVU</th>
              <th scope="col">ΔCE, nats</th>
            </tr>
          </thead>
          <tbody>
            {evaluation.candidates.map((candidate) => (
              <tr key={candidate.name} className={candidate.kind === 'control' ? 'control' : ''}>
                <th scope="row">{candidate.name}</th>
                <td>{interval(candidate.fvu)}</td>
                <td>{interval(candidate.deltaCe)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </section>
  );
}
