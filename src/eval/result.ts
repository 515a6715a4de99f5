/** From sums per document to the numbers of eval.json, each with its interval. */
import type { CandidateResult, EvalResult, Interval } from '../shared/eval.ts';
import { deadTokensNeeded, densityHistogram } from './density.ts';
import { recovered } from './recovered.ts';
import { countSingleToken, singleTokenFirings, singleTokenShare, type TokenTally } from './single-token.ts';
import { wilson } from './statistics/binomial.ts';
import { bootstrap, type UnitSums } from './statistics/bootstrap.ts';

const level = 0.95;
/** Below this a percentile interval is known to be too narrow. */
const unitsNeeded = 20;

export type Sums = {
  readonly candidates: readonly { name: string; kind: 'sae' | 'control'; tally: TokenTally | undefined }[];
  readonly rows: number;
  /** Columns [n, tss, then sse, cosine, l0 per candidate]. */
  readonly rowSums: UnitSums;
  /** Columns [n, clean, zero, mean, then one per candidate], nats. */
  readonly ceSums: UnitSums;
  /** Columns [n, then one per candidate], nats. */
  readonly klSums: UnitSums;
  readonly unit: 'documents' | 'sequences' | 'blocks';
  readonly seed: string | number;
  readonly resamples: number;
};

type Summary = Omit<
  EvalResult,
  'schemaVersion' | 'model' | 'hook' | 'rows' | 'excludedRows' | 'ceTokens' | 'klTokens'
>;

/** All estimates and intervals. The first candidate is compared with every other. */
export function summarize({
  candidates,
  rows,
  rowSums,
  ceSums,
  klSums,
  unit,
  seed,
  resamples,
}: Sums): Summary {
  const C = candidates.length;
  const indices = candidates.map((_, c) => c);
  const options = { resamples, level, unit };
  const rest = indices.slice(1);

  const rowIntervals = bootstrap(
    rowSums,
    (t) => {
      const fvu = (c: number) => t[2 + 3 * c]! / t[1]!;
      const each = indices.flatMap((c) => [fvu(c), t[3 + 3 * c]! / t[0]!, t[4 + 3 * c]! / t[0]!]);
      return [...each, ...rest.map((c) => fvu(0) - fvu(c))];
    },
    { ...options, seed: `${seed}/rows` },
  );
  const ceIntervals = bootstrap(
    ceSums,
    (t) => {
      const ce = (c: number) => t[c]! / t[0]!;
      const delta = (c: number) => ce(4 + c) - ce(1);
      const each = indices.flatMap((c) => [
        ce(4 + c),
        delta(c),
        recovered(ce(2), ce(4 + c), ce(1)),
        recovered(ce(3), ce(4 + c), ce(1)),
      ]);
      return [
        ce(1),
        ce(2),
        ce(3),
        ...each,
        ...rest.flatMap((c) => [delta(0) - delta(c), delta(0) / delta(c)]),
      ];
    },
    { ...options, seed: `${seed}/ce` },
  );
  const klIntervals = bootstrap(klSums, (t) => indices.map((c) => t[1 + c]! / t[0]!), {
    ...options,
    seed: `${seed}/kl`,
  });

  const results = candidates.map(({ name, kind, tally }, c): CandidateResult => {
    const [fvu, cosine, l0] = rowIntervals.slice(3 * c) as [Interval, Interval, Interval];
    const [ce, deltaCe, recoveredZero, recoveredMean] = ceIntervals.slice(3 + 4 * c) as [
      Interval,
      Interval,
      Interval,
      Interval,
    ];
    const base = { name, kind, fvu, cosine, ce, deltaCe, recoveredZero, recoveredMean, kl: klIntervals[c]! };
    if (tally === undefined) return base;
    const F = tally.firings.length;
    const density = densityHistogram(tally.firings, rows);
    const { single, judged } = countSingleToken(tally);
    return {
      ...base,
      latents: {
        latents: F,
        l0,
        dead: density.never,
        deadShare: wilson(density.never, F, level),
        density,
        singleToken: wilson(single, judged, level),
      },
    };
  });

  const deadTokensEnough = rows >= deadTokensNeeded;
  return {
    seed,
    level,
    resamples,
    deadTokens: rows,
    deadTokensEnough,
    singleTokenShare,
    singleTokenFirings,
    cleanCe: ceIntervals[0]!,
    zeroCe: ceIntervals[1]!,
    meanCe: ceIntervals[2]!,
    candidates: results,
    comparisons: rest.map((c, i) => ({
      name: candidates[c]!.name,
      fvuDifference: rowIntervals[3 * C + i]!,
      deltaCeDifference: ceIntervals[3 + 4 * C + 2 * i]!,
      deltaCeRatio: ceIntervals[4 + 4 * C + 2 * i]!,
    })),
    notes: [
      `Intervals: ${100 * level} % percentile bootstrap over ${unit}, ${resamples} draws; shares of latents: Wilson.`,
      ...(unit === 'blocks'
        ? [
            'Measured on stored rows, without a model: no cross-entropy, no KL. Blocks are 256 neighbouring rows.',
          ]
        : [
            'Special tokens and excluded first positions are left out of every number and keep their own activations in the splice.',
            ceIntervals[0]!.value === null
              ? 'No prediction of a next token was measured: no cross-entropy, no KL.'
              : 'Cross-entropy and KL: predictions made at replaced positions, of the next token of the same document.',
          ]),
      ...(results.some(({ latents }) => latents && latents.singleToken.n > 0)
        ? [
            `Single-token latents: at least ${100 * singleTokenShare} % of ${singleTokenFirings} or more firings on one current token (both constants are ours).`,
          ]
        : []),
      ...(deadTokensEnough
        ? []
        : [
            `Dead latents: only ${rows} tokens were seen, below ${deadTokensNeeded}; the count is an upper bound.`,
          ]),
      ...(rowSums.U < unitsNeeded
        ? [`Only ${rowSums.U} ${unit} were evaluated: the intervals are too narrow.`]
        : []),
    ],
  };
}
