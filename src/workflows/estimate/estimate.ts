/**
 * What a training run, or a grid, will take: bytes, operations, time on this machine, disk; after some seconds, without running it.
 */
import { getPlatform } from '../../platform/index.ts';
import type { TrainConfig } from '../../shared/config.ts';
import { expandGrid, type Grid } from '../../shared/grid.ts';
import { rankCount } from '../../train/index.ts';
import { planStored } from '../plan.ts';
import { withResources } from '../resources.ts';
import { withStoredLength } from '../streams.ts';
import { openSource } from '../train-sae.ts';
import type { SourceOptions } from '../training/source.ts';
import type { TrainPlan } from '../types.ts';
import { adviceOf, problemsOf } from './advice.ts';
import { diskAtEnd, diskPeak, diskUse, freeBytes } from './disk.ts';
import { joinMemory, type MemoryLine, type Phase, peakMemory } from './memory.ts';
import { estimateTime, type TimeEstimate } from './time.ts';
import { stepWork, type Work } from './work.ts';

export type Estimate = {
  /** One per SAE. */
  readonly plans: readonly TrainPlan[];
  readonly memory: {
    readonly lines: readonly MemoryLine[];
    readonly peak: number;
    readonly phase: Phase;
    /** What this process holds and may still take. */
    readonly available: number;
    /** Of the largest SAE: what one worker thread holds of its latents and their batch. */
    readonly perRank: { readonly ranks: number; readonly bytes: number };
  };
  readonly work: { readonly perStep: Work; readonly total: number };
  readonly time: TimeEstimate;
  readonly disk: { readonly peak: number; readonly atEnd: number; readonly free: number | undefined };
  /** What would not fit, each with what to change. */
  readonly problems: readonly string[];
  readonly advice: string;
};

export type EstimateOptions = SourceOptions & {
  /** Run folder that would be made. */
  readonly folder: string;
  readonly grid?: Grid | undefined;
  /** D of rows that are not there yet: neither model nor activations are opened. */
  readonly width?: number | undefined;
  /** Before the calibration. */
  readonly onPlans?: (plans: readonly TrainPlan[]) => void;
};

/** Share of the memory that is available which a calibration may take. */
const ROOM = 0.6;
const OF_RANKS = ['weights and Adam moments', 'batch buffers', 'AuxK buffers'];

/**
 * Estimates a run without beginning it. Nothing is written but one file of 32 MB for a moment, to time the disk.
 *
 * @throws as `trainSae` does before its first step
 * @example
 * const { memory, time } = await estimateTraining(config, { folder: 'runs/first' });
 */
export async function estimateTraining(config: TrainConfig, options: EstimateOptions): Promise<Estimate> {
  const { folder, grid, width, signal } = options;
  return await withResources(async (own) => {
    const unread = width === undefined ? await openSource(config, options, own) : undefined;
    const stored = unread ? await withStoredLength(config) : config;
    const configs = grid ? expandGrid(stored, grid).map((member) => member.config) : [stored];
    const plans = configs.map((one) =>
      unread ? unread.plan(one, { folder }) : planWidth(one, width!, folder),
    );
    options.onPlans?.(plans);
    const lines = joinMemory(plans);
    const available = process.availableMemory() + process.memoryUsage().rss;
    const time = await estimateTime(plans, unread, { room: ROOM * available, folder, signal });
    const perStep = stepWork(plans);
    const uses = plans.map(diskUse);
    const { bytes: peak, phase } = peakMemory(lines);
    const estimate = {
      plans,
      memory: { lines, peak, phase, available, perRank: largestRank(plans) },
      work: { perStep, total: total(Object.values(perStep)) * plans[0]!.settings.totalSteps },
      time,
      disk: {
        peak: total(uses.map(diskPeak)),
        atEnd: total(uses.map(diskAtEnd)),
        free: await freeBytes(folder),
      },
    };
    return { ...estimate, problems: problemsOf(estimate), advice: adviceOf(estimate) };
  });
}

const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** The plan for rows of which nothing is known but their width. */
const planWidth = (config: TrainConfig, D: number, folder: string): TrainPlan =>
  planStored(
    config,
    { D, rows: config.tokens, name: `rows of width ${D}`, format: 'not there yet', meta: {} },
    { cores: getPlatform().threads, folder },
  );

function largestRank(plans: readonly TrainPlan[]): { ranks: number; bytes: number } {
  const each = plans.map(({ memory, trainer }) => {
    const ranks = rankCount(trainer);
    const own = memory.filter(({ name }) => OF_RANKS.includes(name)).map(({ bytes }) => bytes);
    return { ranks, bytes: total(own) / ranks };
  });
  return each.reduce((a, b) => (b.bytes > a.bytes ? b : a));
}
