import { getPlatform } from '../platform/index.ts';
import type { Sae } from '../sae/types.ts';
import { rankCount, slotSizes, trainerBudget } from './budget.ts';
import { singleComm } from './comm/single.ts';
import { createSharedSpace } from './comm/threads.ts';
import { initialParameters } from './init.ts';
import { normaliseRowsInPlace, parametersOf, scaleInPlace } from './init-from.ts';
import { createRank, type RankArray, type RankState } from './rank.ts';
import type { Scales, StepResult } from './step.ts';
import type { StepMetrics, Trainer, TrainerConfig } from './types.ts';
import type { WorkerData, WorkerReply, WorkerRequest } from './worker.ts';

/** The loss was not a finite number; the weights are as they were before that step. */
export class TrainingDiverged extends Error {
  override readonly name = 'TrainingDiverged';
  readonly step: number;
  constructor(step: number, cause: string) {
    super(`Training stopped at step ${step}: ${cause} The state before this step is kept.`);
    this.step = step;
  }
}

/**
 * Opens a trainer: latents dealt to worker threads (or to the calling thread, `workers: 0`), bit-identical either way.
 * Throws when the sizes do not fit together.
 *
 * @example
 * const trainer = await createTrainer(config);
 * await trainer.initialize(sample);
 * for (const x of batches) console.log((await trainer.train(x)).fvu);
 * const sae = await trainer.exportSae();
 * await trainer.close();
 */
export async function createTrainer(config: TrainerConfig): Promise<Trainer> {
  check(config);
  const ranks = rankCount(config);
  const crew = config.workers === 0 ? await onThisThread(config) : onWorkers(config, ranks);
  const { D, F, B } = config;
  let step = 0;
  let scales: Scales | undefined;

  /** Named state arrays, each whole [F,...], joined from the ranks' slices one array at a time. */
  async function readState(names: readonly string[]): Promise<RankState> {
    const state: RankState = {};
    for (const name of names) {
      const parts = await crew.read(name);
      state[name] = shared.has(name) || parts.length === 1 ? parts[0]! : concatenate(parts);
    }
    return state;
  }

  async function writeState(state: RankState): Promise<void> {
    const n = crew.ranks;
    await crew.write(
      Array.from({ length: n }, (_, r) =>
        Object.fromEntries(
          Object.entries(state).map(([name, array]) => {
            const each = array.length / n;
            return [name, shared.has(name) ? array : array.slice(r * each, (r + 1) * each)];
          }),
        ),
      ),
    );
  }

  return {
    config,
    get step() {
      return step;
    },
    budget: trainerBudget(config, ranks),
    async initialize(sample, from) {
      const initial = await (from ? parametersOf(config, sample, from) : initialParameters(config, sample));
      scales = initial.scales;
      const { W_enc, W_dec, b_enc, b_dec } = initial;
      await writeState({
        W_enc,
        W_dec,
        b_enc,
        b_dec,
        ...(config.freeze === 'soft' ? { W_start: W_dec } : {}),
      });
    },
    async train(x) {
      if (!scales) throw new Error('Call initialize(sample) or restore(state) before the first step.');
      if (x.length !== B * D)
        throw new Error(`A step takes ${B} rows of width ${D} (${B * D} numbers); it was given ${x.length}.`);
      const { finite, ...metrics } = await crew.step(x, step, scales);
      if (!finite) throw new TrainingDiverged(step, cause(x, D));
      step++;
      return metrics satisfies StepMetrics;
    },
    async exportSae(metadata = {}): Promise<Sae> {
      // Before the first step there is nothing to average yet.
      const averaged = config.ema && step > 0;
      const names = averaged
        ? ['emaEnc', 'emaDec', 'emaBias', 'emaBDec']
        : ['W_enc', 'W_dec', 'b_enc', 'b_dec'];
      const state = (await readState(names)) as Record<string, Float32Array>;
      const [W_enc, W_dec, b_enc, b_dec] = names.map((name) => state[name]!);
      if (config.ema && averaged) {
        const correction = 1 / (1 - Math.fround(config.ema) ** step);
        for (const array of [W_enc!, b_enc!, b_dec!]) scaleInPlace(array, correction);
        normaliseRowsInPlace(W_dec!, D);
      }
      const { inputScale } = scales ?? { inputScale: 1 };
      // z scales with x (TopK and ReLU do), so unscaled inputs only need unscaled biases; W_dec stays unit norm.
      const unscale = (v: Float32Array) => v.map((b) => b / inputScale);
      return {
        config: { architecture: 'topk', D, F, K: config.K, metadata },
        W_enc: W_enc!,
        W_dec: W_dec!,
        b_enc: unscale(b_enc!),
        b_dec: unscale(b_dec!),
      };
    },
    firingCounts: async () => (await readState(['fired'])).fired as Float64Array,
    async state() {
      if (!scales) throw new Error('There is no state before initialize(sample).');
      const scalars = Float64Array.of(step, scales.inputScale, scales.mseScale);
      return new Map(Object.entries({ ...(await readState(await crew.names())), scalars }));
    },
    async restore(state) {
      const { scalars, ...arrays } = Object.fromEntries(state);
      if (!scalars)
        throw new Error('This training state has no array `scalars` (step, input scale, loss scale).');
      step = scalars[0]!;
      scales = { inputScale: scalars[1]!, mseScale: scalars[2]! };
      await writeState(arrays);
    },
    close: () => crew.close(),
  };
}

/** State arrays that every rank holds whole. */
const shared = new Set(['b_dec', 'mBDec', 'vBDec', 'emaBDec']);

/** All ranks of a run, asked at once. */
type Crew = {
  readonly ranks: number;
  step(x: Float32Array, step: number, scales: Scales): Promise<StepResult>;
  names(): Promise<readonly string[]>;
  /** Every rank's slice. */
  read(name: string): Promise<RankArray[]>;
  write(states: readonly RankState[]): Promise<void>;
  close(): Promise<void>;
};

async function onThisThread(config: TrainerConfig): Promise<Crew> {
  const rank = await createRank(config, singleComm(), getPlatform().threads);
  return {
    ranks: 1,
    step: (x, step, scales) => rank.step(x, step, scales),
    names: async () => rank.names,
    read: async (name) => [rank.read(name)],
    write: async ([state]) => rank.write(state!),
    close: () => rank.close(),
  };
}

function onWorkers(config: TrainerConfig, ranks: number): Crew {
  const space = createSharedSpace(ranks, slotSizes(config, ranks));
  const batch = new SharedArrayBuffer(config.B * config.D * 4);
  const raw = new Float32Array(batch);
  const waiting: ((reply: WorkerReply) => void)[][] = Array.from({ length: ranks }, () => []);
  const workers = Array.from({ length: ranks }, (_, rank) => {
    const worker = getPlatform().spawnWorker('train/worker', {
      config,
      space,
      rank,
      batch,
    } satisfies WorkerData);
    worker.onMessage((reply) => waiting[rank]!.shift()?.(reply as WorkerReply));
    worker.onError((error) => {
      for (const queue of waiting) for (const settle of queue.splice(0)) settle({ error: error.message });
    });
    return worker;
  });
  async function ask(rank: number, request: WorkerRequest): Promise<unknown> {
    const reply = await new Promise<WorkerReply>((resolve) => {
      waiting[rank]!.push(resolve);
      workers[rank]!.postMessage(request);
    });
    if ('error' in reply) throw new Error(reply.error);
    return reply.result;
  }
  const askAll = (request: (rank: number) => WorkerRequest) =>
    Promise.all(workers.map((_, rank) => ask(rank, request(rank))));
  return {
    ranks,
    async step(x, step, scales) {
      raw.set(x);
      const [first] = (await askAll(() => ({ type: 'step', step, scales }))) as StepResult[];
      return first!;
    },
    names: () => ask(0, { type: 'names' }) as Promise<readonly string[]>,
    read: (name) => askAll(() => ({ type: 'read', name })) as Promise<RankArray[]>,
    write: async (states) => void (await askAll((rank) => ({ type: 'write', state: states[rank]! }))),
    async close() {
      await askAll(() => ({ type: 'close' }));
      await Promise.all(workers.map((worker) => worker.close()));
    },
  };
}

/** Why a loss may have stopped being finite, from what the batch shows. */
function cause(x: Float32Array, D: number): string {
  const bad = x.findIndex((v) => !Number.isFinite(v));
  return bad >= 0
    ? `row ${Math.floor(bad / D)} of the batch holds ${x[bad]} at position ${bad % D}. The model overflowed there (float16 weights do) or the data is damaged.`
    : 'the loss is not finite although every activation is. The learning rate is probably too high.';
}

function check({ F, K, B, shards, auxk, deadSteps, ema = 0 }: TrainerConfig): void {
  const whole = { F, K, B, shards };
  for (const [name, value] of Object.entries(whole))
    if (!Number.isInteger(value) || value < 1)
      throw new Error(`${name} must be a positive whole number, got ${value}.`);
  if (K > F)
    throw new Error(
      `K = ${K} active latents are asked for, but there are only F = ${F}. Use a K of at most ${F}.`,
    );
  if (!Number.isInteger(Math.log2(shards)))
    throw new Error(`The number of shards must be a power of two, got ${shards}.`);
  if (F % shards !== 0)
    throw new Error(
      `F = ${F} latents cannot be dealt evenly to ${shards} shards. Use a multiple of ${shards} latents, or fewer shards.`,
    );
  if (!(ema >= 0 && ema < 1))
    throw new Error(`The decay of the moving average is ${ema}; it must be at least 0 and below 1.`);
  if (auxk > 0 && deadSteps < 1)
    throw new Error(`A dead window of ${deadSteps} steps leaves no latent alive; use at least 1.`);
}

function concatenate(parts: readonly RankArray[]): RankArray {
  const Array_ = parts[0]!.constructor as new (n: number) => Float32Array;
  const out = new Array_(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
