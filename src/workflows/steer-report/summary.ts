/**
 * From measured candidates to points of a curve and to tests.
 *
 *     a point     mean over the texts, of several candidates after averaging them text by text (they share their random numbers);
 *                 shares of one candidate with the exact binomial interval, everything else by the bootstrap over texts or documents
 *     a test      mean over the doses, of the latent and of each matched latent: its rank among them
 */
import { bootstrap } from '../../eval/index.ts';
import { clopperPearson } from '../../eval/statistics/exact-binomial.ts';
import { benjaminiHochberg } from '../../eval/statistics/multiple.ts';
import { rankPValue } from '../../eval/statistics/rank-test.ts';
import type { Interval } from '../../shared/eval.ts';
import type {
  SteerArmName,
  SteeredFeature,
  SteerMeasureName,
  SteerPoint,
  SteerTest,
} from '../../shared/steer-report.ts';
import type { Measured } from './measure.ts';

const LEVEL = 0.95;
const SHARES: readonly SteerMeasureName[] = ['checker', 'classifier'];
const TESTED = ['target', 'checker', 'classifier', 'judge'] as const satisfies readonly SteerMeasureName[];

export type Member = { readonly who: string; readonly measured: Measured };

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** One place of a curve, from one candidate or the average of several. */
export function pointOf(
  arm: SteerArmName,
  strength: number,
  members: readonly Member[],
  seed: number,
): SteerPoint {
  const names = Object.keys(members[0]!.measured.values) as SteerMeasureName[];
  const measures = names.map((name) => {
    const lists = members.map(({ measured }) => measured.values[name]!);
    const values = lists[0]!.map((_, i) => mean(lists.map((list) => list[i]!)));
    return [name, intervalOf(name, values, members.length, seed)] as const;
  });
  return {
    arm,
    strength,
    who: members.map(({ who }) => who),
    measures: Object.fromEntries(measures),
    samples: [...members[0]!.measured.texts],
  };
}

function intervalOf(
  name: SteerMeasureName,
  values: readonly number[],
  members: number,
  seed: number,
): Interval {
  if (members === 1 && SHARES.includes(name))
    return clopperPearson(
      values.reduce((a, b) => a + b, 0),
      values.length,
      LEVEL,
    );
  const unit = name === 'target' || name === 'kl' ? 'documents' : 'samples';
  const sums = values.flatMap((value) => [1, value]);
  return bootstrap({ U: values.length, C: 2, sums }, ([n, sum]) => [sum! / n!], {
    seed,
    level: LEVEL,
    unit,
  })[0]!;
}

/** Tests of a latent against its matched ones, not yet corrected for their number. `doses`: at every strength the latent, then the matched. */
export function testsOf(
  doses: readonly { readonly latent: Member; readonly matched: readonly Member[] }[],
): SteerTest[] {
  return TESTED.flatMap((measure) => {
    if (doses[0]?.latent.measured.values[measure] === undefined) return [];
    const overDoses = (of: (dose: (typeof doses)[number]) => Member): number =>
      mean(doses.map((dose) => mean(of(dose).measured.values[measure]!)));
    const value = overDoses(({ latent }) => latent);
    const controls = doses[0].matched.map((_, m) => overDoses(({ matched }) => matched[m]!));
    const p = rankPValue(value, controls);
    return [{ measure, value, controls, p, adjusted: p }];
  });
}

/** The same features with their p-values corrected for all tests of all of them. */
export function corrected(features: readonly SteeredFeature[]): SteeredFeature[] {
  const adjusted = benjaminiHochberg(features.flatMap(({ tests }) => tests.map(({ p }) => p)));
  let next = 0;
  return features.map((feature) => ({
    ...feature,
    tests: feature.tests.map((test) => ({ ...test, adjusted: adjusted[next++]! })),
  }));
}
