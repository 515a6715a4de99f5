/** The disk of a training run: what it will write, how much is free, how fast it is. */
import { existsSync } from 'node:fs';
import { open, rm, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { WIDEST_PCA } from '../../eval/index.ts';
import { rankCount, trainerBudget } from '../../train/index.ts';
import { MODEL_BATCH_SEQUENCES } from '../plan.ts';
import type { TrainPlan } from '../types.ts';

export type DiskUse = {
  /** One checkpoint: state of the trainer, rows in the shuffle buffer and in the queue, moments for the controls. */
  readonly checkpoint: number;
  /** Written in all; the last two are kept, and there are three for a moment. */
  readonly checkpoints: number;
  /** sae_weights.safetensors */
  readonly sae: number;
  /** metrics.jsonl and the TensorBoard file, evaluation, feature cards. */
  readonly rest: number;
};

/** A line of metrics, and an event of it. */
const LINE = 420;
const EVENT = 900;
const CARDS = 400e3;

/** Of one SAE. */
export function diskUse({ trainer, settings, config, D, Dout = 0, model }: TrainPlan): DiskUse {
  const { F, B } = trainer;
  const vectors = 3 * (Dout || D) * 4 + F * 12;
  // A transcoder has rows of two hooks, side by side for its moments.
  const both = D + Dout;
  // Half a run of the model is left over; running ahead, it has filled the next batch.
  const queue = (settings.overlap ? B : 0) + (MODEL_BATCH_SEQUENCES * settings.contextLength) / 2;
  const rows = model ? (settings.shuffleTokens + queue) * (both + (Dout ? 2 : 1)) * 4 : 0;
  // The covariance that the evaluation needs, as far as it has been taken.
  const moments = config.evalTokens === 0 ? 0 : 8 * (both + (both <= WIDEST_PCA ? both * both : 0));
  const lines = settings.totalSteps / config.logEverySteps + 1;
  return {
    checkpoint:
      trainerBudget(trainer, rankCount(trainer))['weights and Adam moments']! + vectors + rows + moments,
    checkpoints: Math.floor((settings.totalSteps - 1) / settings.checkpointSteps),
    sae:
      4 *
      (F * (D + (Dout || D)) +
        F +
        (Dout || D) +
        (trainer.variant === 'skip-transcoder' ? D * Dout : 0) +
        (trainer.vocabulary ?? 0) * (Dout || D)),
    rest: lines * (LINE + (config.tensorboard ? EVENT : 0)) + (model && config.evalTokens > 0 ? CARDS : 0),
  };
}

/** Bytes that a run folder ends with: two checkpoints, or as many as there are. */
export const diskAtEnd = ({ checkpoint, checkpoints, sae, rest }: DiskUse): number =>
  Math.min(2, checkpoints) * checkpoint + sae + rest;

/** The most bytes it holds: a third checkpoint is written before the first of three goes. */
export const diskPeak = ({ checkpoint, checkpoints, sae, rest }: DiskUse): number =>
  Math.min(3, checkpoints) * checkpoint + sae + rest;

/** The folder itself, or the nearest one above it that is there. */
function existing(folder: string): string {
  let there = resolve(folder);
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
  return there;
}

/** Bytes free where a folder is or will be; undefined where the system does not say. */
export async function freeBytes(folder: string): Promise<number | undefined> {
  const none = { bavail: 0, bsize: 0, blocks: 0 };
  const { bavail, bsize, blocks } = await statfs(existing(folder)).catch(() => none);
  return blocks > 0 ? bavail * bsize : undefined;
}

const SAMPLE = 32 * 2 ** 20;

/** Bytes per second that are written and flushed where a folder will be, from one file that is removed again; undefined when none can be. */
export async function writeSpeed(folder: string): Promise<number | undefined> {
  const path = join(existing(folder), `.saekit-plan-${process.pid}.tmp`);
  try {
    const file = await open(path, 'w');
    try {
      const before = performance.now();
      await file.write(new Uint8Array(SAMPLE).fill(1));
      await file.sync();
      return (SAMPLE * 1000) / (performance.now() - before);
    } finally {
      await file.close();
      await rm(path, { force: true });
    }
  } catch {
    return undefined;
  }
}
