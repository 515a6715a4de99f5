/**
 * Milliseconds of a training step on this machine, from a few real steps on given rows.
 *
 *     fits            steps of the trainer itself, at its own sizes
 *     does not fit    the same at a smaller F_0 and two batches B_0, B_0 / 4, and the bare product at D:
 *                       t(B_0) = r B_0 + c         r per row: the product, 2 F_0 D p, and the sparse rest; c: Adam, by weight
 *                       t      = B (2 F D p + rest) + c F D / (F_0 D)
 *
 * Measured twice: with no latent dead, and with all of them dead that do not fire, which is AuxK at its busiest.
 */
import { getPlatform } from '../../platform/index.ts';
import { createRng } from '../../shared/rng.ts';
import type { StreamedArray } from '../../store/index.ts';
import { type Beside, createTrainer, type Trainer, type TrainerConfig } from '../../train/index.ts';
import { median, productTime } from './product-speed.ts';

export type TrainerSpeed = {
  /** Milliseconds per step. */
  readonly plain: number;
  /** With AuxK at work; the same as `plain` without AuxK. */
  readonly withAuxk: number;
  /** Of a step while the next rows are made ready beside it, those rows included; undefined where that was not tried. */
  readonly together: number | undefined;
  /** Of the random start, once. */
  readonly start: number;
  readonly how: 'measured' | 'scaled';
};

/** Largest F D whose trainer is started only to be timed: 32 M weights start in some three seconds. */
const LARGEST = 32 * 2 ** 20;
/** Weights of a smaller stand-in: beyond every cache, started within a second. */
const STAND_IN = 4 * 2 ** 20;
const STAND_IN_ROWS = 1024;
/** The controller of a penalised variant needs a few steps to make it sparse. */
const warmUp = ({ sparsity }: TrainerConfig): number => (sparsity ? 8 : 2);
const LEAST_STEPS = 3;
const ENOUGH_MS = 1500;
/** Beside a model this slow, one step says enough. */
const SLOW_MS = 5000;

/** Rows to time a trainer on. */
export type TimedRows = {
  /** B rows [B,D]. */
  take(B: number): Promise<Float32Array>;
  /** Makes the next batch ready, as training does where the model runs ahead. */
  prepare?(): Promise<void>;
};

/** What a transcoder is to give, and which tokens they are, does not matter for the speed. */
function besideOf({ B, Dout, vocabulary }: TrainerConfig): Beside {
  const rng = createRng('plan/beside');
  return {
    ...(Dout === undefined ? {} : { y: Float32Array.from({ length: B * Dout }, () => rng.normal()) }),
    ...(vocabulary ? { tokens: Int32Array.from({ length: B }, () => rng.int(vocabulary)) } : {}),
  };
}

export async function trainerSpeed(
  config: TrainerConfig,
  rows: TimedRows,
  { fits, signal }: { readonly fits: boolean; readonly signal?: AbortSignal | undefined },
): Promise<TrainerSpeed> {
  return fits && config.F * config.D <= LARGEST
    ? { ...(await timed(config, rows, signal)), how: 'measured' }
    : { ...(await scaled(config, rows, signal)), how: 'scaled' };
}

type Times = Omit<TrainerSpeed, 'how'>;

async function timed(
  config: TrainerConfig,
  rows: TimedRows,
  signal: AbortSignal | undefined,
): Promise<Times> {
  // Nothing is dead until it is said to be.
  const trainer = await createTrainer({ ...config, totalSteps: 1e6, deadSteps: 1e6 });
  try {
    const x = await rows.take(config.B);
    const before = performance.now();
    await trainer.initialize(x, undefined, besideOf(config));
    const start = performance.now() - before;
    const plain = await stepTime(trainer, rows, signal);
    const together = rows.prepare ? await togetherTime(trainer, x, rows) : undefined;
    if (config.auxk === 0) return { plain, withAuxk: plain, together, start };
    await trainer.restore(
      new Map<string, Int32Array | StreamedArray>([
        ['scalars', trainer.streamState().get('scalars')!],
        ['sinceFired', new Int32Array(config.F).fill(2e6)],
      ]),
    );
    return { plain, withAuxk: await stepTime(trainer, rows, signal), together, start };
  } finally {
    await trainer.close();
  }
}

/** Median of a few steps, with rows read in between as in a run: what they push out of the caches counts. */
async function stepTime(trainer: Trainer, rows: TimedRows, signal: AbortSignal | undefined): Promise<number> {
  const times: number[] = [];
  const beside = besideOf(trainer.config);
  let begun = 0;
  for (let i = -warmUp(trainer.config); i < LEAST_STEPS || performance.now() - begun < ENOUGH_MS; i++) {
    signal?.throwIfAborted();
    if (i === 0) begun = performance.now();
    const x = await rows.take(trainer.config.B);
    const before = performance.now();
    await trainer.train(x, beside);
    if (i >= 0) times.push(performance.now() - before);
  }
  return median(times);
}

/** Median of a few steps, each with the rows of the next one made ready beside it. */
async function togetherTime(trainer: Trainer, x: Float32Array, rows: TimedRows): Promise<number> {
  const times: number[] = [];
  const beside = besideOf(trainer.config);
  const begun = performance.now();
  for (let i = 0; i < 1 + LEAST_STEPS && (i < 2 || performance.now() - begun < SLOW_MS); i++) {
    const before = performance.now();
    const ahead = rows.prepare?.();
    await trainer.train(x, beside);
    await ahead;
    await rows.take(trainer.config.B);
    times.push(performance.now() - before);
  }
  return median(times.slice(1));
}

async function scaled(
  config: TrainerConfig,
  rows: TimedRows,
  signal: AbortSignal | undefined,
): Promise<Times> {
  const { D, F, B } = config;
  // Many shards of few latents would be timed as many small products.
  const shards = Math.min(config.shards, 8);
  const least = Math.ceil(Math.max(config.K, 4) / shards) * shards;
  const small = Math.min(F, Math.max(least, Math.floor(STAND_IN / D / shards) * shards));
  const most = Math.min(B, STAND_IN_ROWS);
  const few = Math.max(1, Math.floor(most / 4));
  const workers = Math.min(config.workers, getPlatform().threads);
  const alone: TimedRows = { take: (count) => rows.take(count) };
  const at = (batch: number): Promise<Times> =>
    timed(
      { ...config, F: small, B: batch, shards, workers, auxk: Math.min(config.auxk, Math.floor(small / 8)) },
      alone,
      signal,
    );
  const [large, little] = [await at(most), await at(few)];
  const perLatent = await productTime(D);
  const extrapolate = (which: 'plain' | 'withAuxk'): number => {
    const perRow = Math.max(0, (large[which] - little[which]) / Math.max(1, most - few));
    const rest = Math.max(0, perRow - small * perLatent);
    const constant = Math.max(0, large[which] - most * perRow);
    return B * (F * perLatent + rest) + (constant * F) / small;
  };
  return {
    plain: extrapolate('plain'),
    withAuxk: extrapolate('withAuxk'),
    together: undefined,
    start: (large.start * F) / small,
  };
}
