/** Table of L0 against FVU and delta CE: pure functions of what bench/variants.ts measured. The figure is variant-figure.ts. */
import type { Interval } from '../../src/shared/eval.ts';

type Numbers = { readonly fvu: Interval; readonly deltaCe: Interval; readonly l0: number };
type Difference = { readonly fvu: Interval; readonly deltaCe: Interval };
/** One SAE, its frozen-decoder control, and the differences of both kinds on the same bootstrap draws. */
export type CurveCell = {
  readonly variant: string;
  readonly target: number;
  readonly seed: number;
  readonly trained: Numbers;
  readonly frozen: Numbers;
  readonly minusFrozen: Difference;
  /** Of an SAE against TopK, of a skip transcoder against the transcoder, of the same L0 and seed; those themselves have none. */
  readonly minusReference?: Difference;
};
export type Metric = 'fvu' | 'deltaCe';
export const METRICS: readonly (readonly [metric: Metric, title: string])[] = [
  ['fvu', 'FVU'],
  ['deltaCe', 'ΔCE, nats'],
];

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
export const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];

/** The intervals of all seeds in one: from the lowest end to the highest, around the mean of the values. */
export function overSeeds(intervals: readonly Interval[]): { value: number; low: number; high: number } {
  const ends = (of: (interval: Interval) => number | null): number[] =>
    intervals.map((interval) => of(interval) ?? interval.value!);
  return {
    value: mean(intervals.map(({ value }) => value!)),
    low: Math.min(...ends(({ low }) => low)),
    high: Math.max(...ends(({ high }) => high)),
  };
}

/** Whether a difference has one sign in all seeds, and no interval has 0 in it. */
export function resolved(differences: readonly Interval[]): boolean {
  const all = (holds: (d: Interval) => boolean): boolean =>
    differences.length > 0 && differences.every(holds);
  return all(({ high }) => high !== null && high < 0) || all(({ low }) => low !== null && low > 0);
}

const signed = (value: number): string => `${value > 0 ? '+' : ''}${value.toFixed(4)}`;

function differenceText(differences: readonly Interval[]): string {
  const { value, low, high } = overSeeds(differences);
  const range = `[${signed(low)}, ${signed(high)}]`;
  return resolved(differences) ? `${signed(value)} ${range}` : `not resolved ${range}`;
}

/** docs/variants.md */
export function curveTable(cells: readonly CurveCell[], setup: Readonly<Record<string, unknown>>): string {
  const tables = METRICS.map(([metric, title]) => {
    const rows = unique(cells.map(({ target }) => target)).flatMap((target) =>
      unique(cells.map(({ variant }) => variant)).map((variant) => {
        const group = cells.filter((cell) => cell.variant === variant && cell.target === target);
        const at = (which: 'trained' | 'frozen'): string =>
          mean(group.map((cell) => cell[which][metric].value!)).toFixed(4);
        const references = group.flatMap((cell) => cell.minusReference?.[metric] ?? []);
        const columns = [
          ...[
            target,
            variant,
            mean(group.map(({ trained }) => trained.l0)).toFixed(1),
            at('trained'),
            at('frozen'),
          ],
          differenceText(group.map((cell) => cell.minusFrozen[metric])),
          references.length === group.length ? differenceText(references) : '',
        ];
        return `| ${columns.join(' | ')} |`;
      }),
    );
    return `## ${title}

| L0 asked for | kind | L0 | ${title} | frozen decoder | difference | difference to reference |
|${' --- |'.repeat(7)}
${rows.join('\n')}`;
  });
  return `# Kinds of SAE compared

Made by \`npm run bench -- --variants\`: ${Object.entries(setup)
    .map(([name, value]) => `${name} ${value}`)
    .join('; ')}. One learning rate for all, so this compares kinds at one recipe, not each at its best.

Means over seeds, on held-out text. In brackets the 95 % intervals of paired differences (bootstrap over documents), of all seeds together: the lowest end and the highest.
A difference counts only when it has one sign in every seed and none of the intervals holds 0; otherwise it is not resolved. The reference is TopK of the same L0 and seed, of
skip transcoders the transcoder. Transcoders read hook_resid_mid of the block and give hook_mlp_out: their FVU and ΔCE are of that place, and not to be held against those
of the others. A skip transcoder with a frozen decoder still learns its linear map.

![L0 against FVU and against delta CE, and differences to the reference](variants.svg)

${tables.join('\n\n')}
`;
}
