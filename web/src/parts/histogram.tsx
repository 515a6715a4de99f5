/** How often a latent fires at which strength; counts are logarithmic. */
import { grouped, short } from '../words.ts';

const [WIDTH, HEIGHT] = [400, 64];

export function Histogram({ bins, maximum }: { bins: readonly number[]; maximum: number }) {
  const most = Math.log1p(Math.max(...bins));
  const width = WIDTH / bins.length;
  const total = bins.reduce((sum, n) => sum + n, 0);
  return (
    <figure className="histogram">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Activations from 0 to ${short(maximum)}, ${grouped(total)} of them`}
      >
        {bins.map((n, i) => {
          const height = most > 0 ? (HEIGHT * Math.log1p(n)) / most : 0;
          return (
            <rect key={i} x={i * width + 0.5} y={HEIGHT - height} width={width - 1} height={height}>
              <title>{`${short((i * maximum) / bins.length)} to ${short(((i + 1) * maximum) / bins.length)}: ${grouped(n)}`}</title>
            </rect>
          );
        })}
      </svg>
      <figcaption>
        <span>0</span>
        <span>{grouped(total)} activations, counts logarithmic</span>
        <span>{short(maximum)}</span>
      </figcaption>
    </figure>
  );
}
