/**
 * The time of a run, or of a grid, on this machine, from rates that are measured here and now.
 *
 *     S steps of B rows; N rows fill the shuffle buffer before the first
 *     in turns      (N + S B) (data + model) + S sum_i SAE_i
 *     overlapping   N (data + model) + S max(B (data + model), sum_i SAE_i)
 *     and           the random start, the covariance for the controls, checkpoints, the finished SAE
 *
 * The evaluation is estimated from its operations at the rate of the model; it is not in the total, as it is not in a run's own.
 */
import { createMoments, WIDEST_PCA } from '../../eval/index.ts';
import { createRng } from '../../shared/rng.ts';
import { withResources } from '../resources.ts';
import { momentRows, nextRows } from '../training/loop.ts';
import type { UnreadSource } from '../training/source.ts';
import type { TrainPlan } from '../types.ts';
import { diskUse, writeSpeed } from './disk.ts';
import { phaseBytes } from './memory.ts';
import { productTime } from './product-speed.ts';
import { type RowsSpeed, rowsSpeed } from './rows-speed.ts';
import { type TrainerSpeed, trainerSpeed } from './trainer-speed.ts';
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
  const { data, model, rowsFor } = modelFits
    ? await measureRows(plans, source, signal)
    : { data: 0, model: await modelFromProduct(first), rowsFor: randomRows };

  const trainers: TrainerSpeed[] = [];
  for (const plan of plans) {
    const known = plans.findIndex((other) => sameSpeed(other, plan));
    const fits = phaseBytes(plan.memory, 'training') < room;
    trainers.push(
      trainers[known] ?? (await trainerSpeed(plan.trainer, await rowsFor(plan), { fits, signal })),
    );
  }
  const auxkShare = expectedAuxk(first);
  const sae = sum(trainers.map(({ plain, withAuxk }) => plain + auxkShare * (withAuxk - plain)));
  const step = overlap ? Math.max(B * (data + model), sae) : B * (data + model) + sae;
  const disk = await writeTimes(plans, folder);
  const widths = new Map(plans.map(({ settings: { hook }, D }) => [hook, D]));

  const once = [
    { name: 'random start', seconds: sum(trainers.map(({ start }) => start)) / 1000 },
    { name: 'covariance', seconds: sum([...widths.values()].map((D) => covarianceTime(D, S * B))) / 1000 },
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
    evaluationSeconds: evaluationTime(first, model, sum(trainers.map(() => 1))) / 1000,
    tokensPerSecond: (1000 * B) / step,
    trainers,
    auxkShare,
    scaled: [
      ...(modelFits ? [] : (['model'] as const)),
      ...(trainers.some(({ how }) => how === 'scaled') ? (['SAE'] as const) : []),
    ],
  };
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Trainers of which one need be timed only: what differs does not touch the work of a step. */
const sameSpeed = (a: TrainPlan, b: TrainPlan): boolean =>
  a.settings.hook === b.settings.hook &&
  ['F', 'K', 'auxk', 'multiTopk', 'ema', 'freeze', 'workers'].every(
    (field) =>
      a.trainer[field as keyof TrainPlan['trainer']] === b.trainer[field as keyof TrainPlan['trainer']],
  );

/** AuxK works from the first dead latent on: after a window, when many fire so rarely that some will have been silent for it. */
export function expectedAuxk({ trainer, settings, config }: TrainPlan): number {
  const { F, K, auxk } = trainer;
  const { deadWindowTokens: window } = settings;
  if (auxk === 0 || (window * K) / F >= RARE) return 0;
  return Math.max(0, 1 - window / config.tokens);
}

type RowsFor = (plan: TrainPlan) => Promise<(B: number) => Promise<Float32Array>>;

const randomRows: RowsFor = async ({ D }) => {
  const rng = createRng('plan');
  return async (B) => Float32Array.from({ length: B * D }, () => rng.normal());
};

/** Rates of the source at all hooks of the plans, and rows of it to time trainers on. */
async function measureRows(
  plans: readonly TrainPlan[],
  unread: UnreadSource | undefined,
  signal: AbortSignal | undefined,
): Promise<RowsSpeed & { readonly rowsFor: RowsFor }> {
  if (!unread) return { data: 0, model: 0, rowsFor: randomRows };
  const [first] = plans as [TrainPlan];
  const { batchTokens: B } = first.config;
  const hooks = [...new Set(plans.map(({ settings }) => settings.hook))];
  return await withResources(async (own) => {
    const source = await unread.read();
    const small = { ...first, settings: { ...first.settings, shuffleTokens: B } };
    const { rows } = source.open(small, hooks, { signal });
    own(rows);
    const speed = await rowsSpeed(rows, B, signal);
    const xs = await nextRows(rows, B);
    const rowsFor: RowsFor = async ({ D, settings }) => {
      const x = xs[hooks.indexOf(settings.hook)]!;
      return async (count) => x.subarray(0, count * D);
    };
    return { ...speed, rowsFor };
  });
}

/** Milliseconds per row of a model that does not fit into this machine: its operations at the rate of a bare product. */
async function modelFromProduct(plan: TrainPlan): Promise<number> {
  const D = Math.min(plan.D, 1024);
  return (plan.cost!.before.flops / keptShare(plan)) * ((await productTime(D)) / (2 * D));
}

/** Milliseconds that the covariance of the first rows takes; where only the mean is taken it is nothing. */
function covarianceTime(D: number, rows: number): number {
  if (D > WIDEST_PCA) return 0;
  const moments = createMoments(D);
  const count = Math.max(4, Math.min(256, Math.floor(2e7 / (D * D))));
  const x = new Float32Array(count * D).fill(1);
  moments.add(x, count);
  const before = performance.now();
  moments.add(x, count);
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

/** Milliseconds per logit that the divergences take outside the engine. */
const KL_PER_LOGIT = 6e-6;
/** Predictions behind the cross-entropies and KL at the end of a run. */
const CE_TOKENS = 32_768;
const KL_TOKENS = 8192;

/** Milliseconds of the evaluation of every SAE: passes of the model with each reconstruction spliced in, from their operations. */
function evaluationTime(plan: TrainPlan, modelPerRow: number, saes: number): number {
  const { cost, config, model } = plan;
  if (!cost || !model || config.evalTokens === 0 || modelPerRow === 0) return 0;
  const perOperation = modelPerRow / (cost.before.flops / keptShare(plan));
  const ce = Math.min(config.evalTokens, CE_TOKENS);
  const kl = Math.min(config.evalTokens, KL_TOKENS);
  // Clean, two ablations, the SAE and PCA.
  const operations = config.evalTokens * cost.before.flops + ce * 5 * (cost.after.flops + cost.head.flops);
  return saes * (operations * perOperation + kl * model.V * 5 * KL_PER_LOGIT);
}
