/** All runs: figures beside their controls. */
import type { RunSummary } from '../api.ts';
import { Link } from '../parts/link.tsx';
import { SaeMark } from '../parts/sae-mark.tsx';
import { Command, Nothing } from '../parts/states.tsx';
import { figure, grouped, runPath } from '../words.ts';

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
                  <Link href={runPath(run.run)}>{run.run}</Link> <SaeMark selfTest={run.selfTest} />
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
