/** The few numbers that say whether an SAE is any good, one row each for several SAEs and their controls. */
import type { CandidateResult, EvalResult, Interval } from '../../shared/eval.ts';
import type { Style } from './style.ts';
import { type Column, table } from './table.ts';

const columns: readonly Column[] = [
  { title: '' },
  { title: 'FVU', align: 'right' },
  { title: '' },
  { title: 'delta CE', align: 'right' },
  { title: '' },
  { title: 'dead', align: 'right' },
];

const figure = ({ value }: Interval, digits: number): string =>
  value === null ? 'n/a' : value.toFixed(digits);
const range = ({ low, high }: Interval, digits: number): string =>
  low === null || high === null ? '' : `${low.toFixed(digits)}..${high.toFixed(digits)}`;

/** @param rows a name and what was measured of it */
export function compactEval(rows: readonly (readonly [string, CandidateResult])[], style: Style): string {
  return table(
    columns,
    rows.map(([name, { fvu, deltaCe, latents }]) => [
      `  ${name}`,
      figure(fvu, 3),
      style.format('dim', range(fvu, 3)),
      figure(deltaCe, 3),
      style.format('dim', range(deltaCe, 3)),
      latents === undefined ? '' : `${((latents.deadShare.value ?? 0) * 100).toFixed(1)} %`,
    ]),
    style,
  );
}

/** The SAE of an evaluation and its PCA control. */
export const mainRows = ({ candidates }: EvalResult, name: string): (readonly [string, CandidateResult])[] =>
  candidates.map(
    (candidate) => [candidate.kind === 'sae' ? name : `control: ${candidate.name}`, candidate] as const,
  );
