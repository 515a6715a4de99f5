/** The runs of one model side by side: another layer of the same page is a click away. */
import type { RunSummary } from '../api.ts';
import { byModel, layerOf } from '../runs.ts';
import { Link } from './link.tsx';

export function Layers({
  runs,
  run,
  to,
}: {
  runs: readonly RunSummary[];
  run: string;
  /** The page of another run. */
  to: (run: string) => string;
}) {
  const group = byModel(runs).find((one) => one.runs.some((other) => other.run === run));
  if (!group || group.runs.length < 2) return null;
  return (
    <nav className="chips small" aria-label="Layers of this model">
      {group.runs.map((one) => (
        <Link
          key={one.run}
          href={to(one.run)}
          className={one.run === run ? 'on' : ''}
          aria-current={one.run === run ? 'true' : undefined}
          title={`${one.hook ?? one.run}, ${one.latents ?? '?'} latents`}
        >
          {layerOf(one)}
        </Link>
      ))}
    </nav>
  );
}
