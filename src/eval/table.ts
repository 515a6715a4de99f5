/** The result as a plain text table: one row per metric, one column per candidate, intervals below the values. */
import type { CandidateResult, Density, EvalResult, Interval } from '../shared/eval.ts';

type Row = {
  label: string;
  better: '↓' | '↑' | ' ';
  digits: number;
  read: (c: CandidateResult) => Interval | undefined;
  percent?: boolean;
};

const metricRows: readonly Row[] = [
  { label: 'FVU', better: '↓', digits: 4, read: (c) => c.fvu },
  { label: 'cosine', better: '↑', digits: 4, read: (c) => c.cosine },
  { label: 'L0', better: ' ', digits: 1, read: (c) => c.latents?.l0 },
  { label: 'delta CE (nats)', better: '↓', digits: 4, read: (c) => c.deltaCe },
  { label: 'recovered vs zero', better: '↑', digits: 1, read: (c) => c.recoveredZero, percent: true },
  { label: 'recovered vs mean', better: '↑', digits: 1, read: (c) => c.recoveredMean, percent: true },
  { label: 'KL (nats)', better: '↓', digits: 4, read: (c) => c.kl },
  { label: 'dead', better: '↓', digits: 1, read: (c) => c.latents?.deadShare, percent: true },
  { label: 'single-token', better: '↓', digits: 1, read: (c) => c.latents?.singleToken, percent: true },
];

function show(value: number | null, { digits, percent }: Row): string {
  if (value === null) return 'n/a';
  return percent ? `${(100 * value).toFixed(digits)} %` : value.toFixed(digits);
}

export type MetricLine = {
  readonly label: string;
  /** Which way is better. */
  readonly better: '↓' | '↑' | ' ';
  /** Per candidate its number and the ends of the interval as text; undefined where it has no such number. */
  readonly cells: readonly (
    | { readonly value: string; readonly range: readonly [string, string] | undefined }
    | undefined
  )[];
};

/** The metrics that were measured of at least one candidate, a line each. */
export function metricLines(candidates: readonly CandidateResult[]): MetricLine[] {
  const isMeasured = (interval: Interval | undefined): boolean =>
    interval !== undefined && (interval.n > 0 || interval.value !== null);
  return metricRows
    .filter((row) => candidates.some((candidate) => isMeasured(row.read(candidate))))
    .map((row) => ({
      label: row.label,
      better: row.better,
      cells: candidates.map((candidate) => {
        const interval = row.read(candidate);
        if (!interval) return undefined;
        const { value, low, high } = interval;
        return {
          value: show(value, row),
          range: value === null ? undefined : ([show(low, row), show(high, row)] as const),
        };
      }),
    }));
}

/** Latents by firing frequency as one line of bars, two per decade; heights by square root, so that rare bins show. */
function densityLine({ edges, counts, never }: Density): string {
  const bars = ' ▁▂▃▄▅▆▇█';
  const pairs = Array.from({ length: counts.length / 2 }, (_, i) => counts[2 * i]! + counts[2 * i + 1]!);
  const top = Math.max(1, ...pairs);
  const line = pairs.map((n) => bars[n === 0 ? 0 : Math.max(1, Math.round(8 * Math.sqrt(n / top)))]).join('');
  return `10^${edges[0]} ▕${line}▏ 1   never ${never}`;
}

/**
 * Formats an evaluation for a terminal or a log; no colours, so that the caller may add them.
 *
 * @example process.stdout.write(`${formatEvalTable(result)}\n`);
 */
export function formatEvalTable(result: EvalResult): string {
  const { candidates, cleanCe, zeroCe, meanCe } = result;
  const cells: string[][] = [['', ...candidates.map(({ name }) => name)]];
  for (const line of metricLines(candidates)) {
    cells.push([`${line.label} ${line.better}`.trimEnd(), ...line.cells.map((cell) => cell?.value ?? '–')]);
    cells.push(['', ...line.cells.map((cell) => cell?.range?.join(' .. ') ?? '')]);
  }
  const widths = cells[0]!.map((_, c) => Math.max(...cells.map((line) => line[c]!.length)));
  const lines = cells.map((line) =>
    line
      .map((cell, c) => (c === 0 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!)))
      .join('   ')
      .trimEnd(),
  );
  const nats = (i: Interval) => (i.value === null ? 'n/a' : i.value.toFixed(3));
  const scored = result.ceTokens > 0;
  const head = [
    `${[...new Set([result.model.name, [result.hook, result.outputHook ?? []].flat().join(' -> ')])].join('  ')}  ${result.rows.toLocaleString('en')} held-out tokens${scored ? `, cross-entropy on ${result.ceTokens.toLocaleString('en')}` : ''}`,
    scored &&
      `cross-entropy: clean ${nats(cleanCe)}, zero-ablated ${nats(zeroCe)}, mean-ablated ${nats(meanCe)} nats`,
  ].filter((line) => line !== false);
  const densities = candidates.flatMap(({ name, latents }) =>
    latents ? [`density of ${name}: ${densityLine(latents.density)}`] : [],
  );
  const range = (i: Interval, digits: number) =>
    i.value === null
      ? 'n/a'
      : `${i.value.toFixed(digits)} (${i.low!.toFixed(digits)} .. ${i.high!.toFixed(digits)})`;
  const comparisons = result.comparisons.map(
    ({ name, fvuDifference, deltaCeRatio }) =>
      `${candidates[0]!.name} against ${name}: FVU difference ${range(fvuDifference, 4)}${scored ? `, delta CE ratio ${range(deltaCeRatio, 3)}` : ''}`,
  );
  return [
    ...head,
    '',
    ...lines,
    '',
    ...densities,
    ...comparisons,
    '',
    ...result.notes.map((note) => `  ${note}`),
  ].join('\n');
}
