/** One run: figures beside their controls, how often its latents fire, and how it was trained. */
import { useEffect, useState } from 'react';
import { api } from '../api.ts';
import { Curve } from '../parts/curve.tsx';
import { Evaluation } from '../parts/evaluation.tsx';
import { Link } from '../parts/link.tsx';
import { SaeMark } from '../parts/sae-mark.tsx';
import { Status } from '../parts/states.tsx';
import { useAnswer } from '../use.ts';
import { grouped, runPath } from '../words.ts';

const CURVES = [
  ['FVU', 'fvu'],
  ['L0', 'l0'],
  ['dead latents', 'dead'],
] as const;

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
      <h1>
        {run} <SaeMark selfTest={detail?.selfTest} />
      </h1>
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
              {CURVES.map(([name, metric]) => (
                <Curve
                  key={metric}
                  name={name}
                  points={points.flatMap(({ step, [metric]: value }) =>
                    typeof value === 'number' ? [[step, value] as const] : [],
                  )}
                />
              ))}
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
