/** How often a latent fires at which strength. */
import { grouped, short } from '../words.ts';
import { Bars } from './bars.tsx';

export function Histogram({ bins, maximum }: { bins: readonly number[]; maximum: number }) {
  const total = bins.reduce((sum, n) => sum + n, 0);
  const edge = (i: number) => short((i * maximum) / bins.length);
  return (
    <Bars
      counts={bins}
      name={`Activations from 0 to ${short(maximum)}, ${grouped(total)} of them`}
      titleOf={(i) => `${edge(i)} to ${edge(i + 1)}: ${grouped(bins[i]!)}`}
      ends={['0', `${grouped(total)} activations, counts logarithmic`, short(maximum)]}
    />
  );
}
