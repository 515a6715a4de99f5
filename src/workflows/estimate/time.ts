/**
 * The time of a run, or of a grid, on this machine, from rates that are measured here and now.
 *
 *     S steps of B rows; N rows fill the shuffle buffer before the first
 *     in turns      (N + S B) (data + model) + S sum_i SAE_i
 *     overlapping   the same, times what a step beside the rows of the next takes of both in turns
 *     and           the random start, the covariance for the controls, checkpoints, the finished SAE
 *
 * The evaluation is a rough figure, from its operations at the rate of the model; it is not in the total, as it is not in a run's own.
 */
import { createMoments, WIDEST_PCA } from '../../eval/index.ts';
import { createRng } from '../../shared/rng.ts';
import { hooksOf } from '../plan.ts';
import { type Own, withResources } from '../resources.ts';
import { momentRows } from '../training/loop.ts';
import type { UnreadSource } from '../training/source.ts';
import type { TrainPlan } from '../types.ts';
import { diskUse, writeSpeed } from './disk.ts';
import { phaseBytes, predicts } from './memory.ts';
import { productTime } from './product-speed.ts';
import { meterRows, type RowsSpeed } from './rows-speed.ts';
import { type TimedRows, type TrainerSpeed, trainerSpeed } from './trainer-speed.ts';
import { keptShare } from './work.ts';

/** In seconds; `perStep` in milliseconds, where it is a matter of steps. */
export type StageTime = { readonly name: string; readonly perStep?: number; readonly seconds: number };

export type TimeEstimate = {
  readonly stages: readonly StageTime[];
  /** Up to the finished SAE, as a run reports it; the evaluation comes after. */
  readonly seconds: number;
  readonly evaluationSeconds: number;
  readonly tokensPerSecond: number;
  /** Per step of every SAE, without and with AuxK at work. */
  readonly trainers: readonly TrainerSpeed[];
  /** Share of the steps in which AuxK is taken to be at work. */
  readonly auxkShare: number;
  /** What could not be measured at the sizes of the run. */
  readonly scaled: readonly ('model' | 'SAE')[];
};

export type TimeOptions = {
  /** Bytes that a calibration may take. */
  readonly room: number;
  /** Where the run folder will be. */
  readonly folder: string;
  readonly signal?: AbortSignal | undefined;
};

/** A latent that is expected to fire less often than this in a dead window is likely to be silent for one: rates differ by orders. */
const RARE = 64;

/** @param source undefined where there are no rows to read: random ones take their place, and cost nothing */
export async function estimateTime(
  plans: readonly TrainPlan[],
  source: UnreadSource | undefined,
  { room, folder, signal }: TimeOptions,
): Promise<TimeEstimate> {
  const [first] = plans as [TrainPlan];
  const { totalSteps: S, overlap, shuffleTokens: N } = first.settings;
  const { batchTokens: B } = first.config;
  const modelFits = !first.cost || first.cost.before.weightBytes + first.cost.before.innerBytes < room;
  const trainers: TrainerSpeed[] = [];
  const { data, model } = await withResources(async (own) => {
    const measured = modelFits
      ? await measureRows(plans, source, own, signal)
      : noRows(await modelFromProduct(first));
    for (const plan of plans) {
      const known = plans.findIndex((other) => sameSpeed(other, plan));
      const fits = phaseBytes(plan.memory, 'training') < room;
      const rows = measured.rowsFor(plan);
      trainers.push(trainers[known] ?? (await trainerSpeed(plan.trainer, rows, { fits, signal })));
    }
    return measured.speed();
  });
  const shares = plans.map(expectedAuxk);
  const sae = sum(trainers.map(({ plain, withAuxk }, i) => plain + shares[i]! * (withAuxk - plain)));
  const inTurns = B * (data + model) + sae;
  const step = overlap ? inTurns * overlapping(trainers[0]!, B * (data + model)) : inTurns;
  const disk = await writeTimes(plans, folder);
  const widths = new Map(plans.map(({ settings, D, Dout = 0 }) => [String(hooksOf(settings)), D + Dout]));

  let covariance = 0;
  for (const D of widths.values()) covariance += await covarianceTime(D, S * B);
  const once = [
    { name: 'random start', seconds: sum(trainers.map(({ start }) => start)) / 1000 },
    { name: 'covariance', seconds: covariance / 1000 },
    { name: 'checkpoints', seconds: disk.checkpoints },
    { name: 'saving', seconds: disk.saving },
  ];
  const steady = [
    { name: 'data', perStep: B * data, seconds: ((N + S * B) * data) / 1000 },
    { name: 'model', perStep: B * model, seconds: ((N + S * B) * model) / 1000 },
    { name: 'SAE', perStep: sae, seconds: (S * sae) / 1000 },
  ];
  return {
    stages: [...steady, ...once].filter(({ seconds }) => seconds > 0),
    seconds: (N * (data + model) + S * step) / 1000 + sum(once.map(({ seconds }) => seconds)),
    evaluationSeconds: evaluationTime(first, model, plans.length) / 1000,
    tokensPerSecond: (1000 * B) / step,
    trainers,
    auxkShare: sum(shares) / shares.length,
    scaled: [
      ...(modelFits ? [] : (['model'] as const)),
      ...(trainers.some(({ how }) => how === 'scaled') ? (['SAE'] as const) : []),
    ],
  };
}

/** What a step takes of the time of its stages in turns, when the rows of the next are made ready beside it. */
const overlapping = ({ together, plain }: TrainerSpeed, rows: number): number =>
  together === undefined ? 1 : Math.min(1, together / (plain + rows));

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** What of a trainer does not touch the work of a step. */
const besides = {
  ...{ lr: 0, encoderLrScale: 0, warmupSteps: 0, decaySteps: 0, totalSteps: 0 },
  ...{ adam: 0, auxkCoefficient: 0, deadSteps: 0, seed: 0 },
};

/** Trainers of which one need be timed only. */
export const sameSpeed = (a: TrainPlan, b: TrainPlan): boolean =>
  a.settings.hook === b.settings.hook &&
  JSON.stringify({ ...a.trainer, ...besides }) === JSON.stringify({ ...b.trainer, ...besides });

/**
 * AuxK works from the first dead latent on: after a window, when many fire so rarely that some will have been silent for it. It makes them
 * live again, so on average it has half of what keeps it busiest.
 */
export function expectedAuxk({ trainer, settings, config }: TrainPlan): number {
  const { F, K, auxk } = trainer;
  const { deadWindowTokens: window } = settings;
  if (auxk === 0 || (window * K) / F >= RARE) return 0;
  return Math.max(0, 1 - window / config.tokens) / 2;
}

type RowsFor = (plan: TrainPlan) => TimedRows;

const randomRows: RowsFor = ({ D }) => {
  const rng = createRng('plan');
  let x = new Float32Array(0);
  return {
    async take(B) {
      if (x.length < B * D) x = Float32Array.from({ length: B * D }, () => rng.normal());
      return x.subarray(0, B * D);
    },
  };
};

type MeasuredRows = { readonly rowsFor: RowsFor; speed(): RowsSpeed };

const noRows = (model: number): MeasuredRows => ({ rowsFor: randomRows, speed: () => ({ data: 0, model }) });

/** The source at all hooks of the plans: rows to time trainers on, and, after that, its rates. */
async function measureRows(
  plans: readonly TrainPlan[],
  unread: UnreadSource | undefined,
  own: Own,
  signal: AbortSignal | undefined,
): Promise<MeasuredRows> {
  if (!unread) return noRows(0);
  const [first] = plans as [TrainPlan];
  const { batchTokens: B } = first.config;
  const hooks = [...new Set(plans.flatMap(({ settings }) => hooksOf(settings)))];
  const source = await unread.read();
  const small = { ...first, settings: { ...first.settings, shuffleTokens: B } };
  const { rows } = source.open(small, hooks, { signal });
  own(rows);
  const meter = await meterRows(rows, B, signal);
  return {
    speed: () => meter.speed(),
    rowsFor: ({ D, settings }) => ({
      take: async (count) => (await meter.next())[hooks.indexOf(settings.hook)]!.subarray(0, count * D),
      ...(first.settings.overlap ? { prepare: () => meter.prepare() } : {}),
    }),
  };
}

/** Milliseconds per row of a model that does not fit into this machine: its operations at the rate of a bare product. */
async function modelFromProduct(plan: TrainPlan): Promise<number> {
  const D = Math.min(plan.D, 1024);
  return (plan.cost!.before.flops / keptShare(plan)) * ((await productTime(D)) / (2 * D));
}

/** Milliseconds that the covariance of the first rows takes; where only the mean is taken it is nothing. */
async function covarianceTime(D: number, rows: number): Promise<number> {
  if (D > WIDEST_PCA) return 0;
  const moments = createMoments(D);
  const count = 1024;
  const x = new Float32Array(count * D).fill(1);
  await moments.add(x, count);
  const before = performance.now();
  await moments.add(x, count);
  return ((performance.now() - before) * Math.min(rows, momentRows(D))) / count;
}

/** Seconds of writing checkpoints and the SAE; nothing is written to find out when they are small. */
async function writeTimes(
  plans: readonly TrainPlan[],
  folder: string,
): Promise<{ checkpoints: number; saving: number }> {
  const uses = plans.map(diskUse);
  const checkpoints = sum(uses.map(({ checkpoint, checkpoints: count }) => checkpoint * count));
  const saving = sum(uses.map(({ sae }) => sae));
  const speed = checkpoints + saving < 32e6 ? undefined : await writeSpeed(folder);
  return speed === undefined
    ? { checkpoints: 0, saving: 0 }
    : { checkpoints: checkpoints / speed, saving: saving / speed };
}

/** Predictions behind the cross-entropies and KL at the end of a run. */
const CE_TOKENS = 32_768;
const KL_TOKENS = 8192;
/**
 * Milliseconds, measured on the demo (D 192, V 8,192): of a row outside the engine, of a logit in a divergence, of eigenvalues and cards. Splices
 * and softmax make a pass for the cross-entropies three times as long as its operations say.
 */
const [ROW, LOGIT, ONCE, SPLICED] = [0.1, 6e-6, 2000, 3];

/** Milliseconds of the evaluation of every SAE: passes of the model with each reconstruction spliced in. */
function evaluationTime(plan: TrainPlan, modelPerRow: number, saes: number): number {
  const { cost, config, model } = plan;
  if (!cost || !model || config.evalTokens === 0 || modelPerRow === 0) return 0;
  const perOperation = modelPerRow / (cost.before.flops / keptShare(plan));
  const rest = predicts(cost) ? (cost.after.flops + cost.head.flops) * perOperation * SPLICED : 0;
  // Clean, two ablations, the SAE and PCA.
  const predictions = 5 * Math.min(config.evalTokens, CE_TOKENS) * rest;
  const divergences = predicts(cost) ? 5 * Math.min(config.evalTokens, KL_TOKENS) * model.V * LOGIT : 0;
  return saes * (config.evalTokens * (modelPerRow + ROW) + predictions + divergences + ONCE);
}
