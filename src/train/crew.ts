/**
 * All ranks of a run, asked at once, on worker threads or on the calling one.
 *
 * Their arrays go in and out in pieces through the memory that holds the batch between two steps: nothing of the size of the weights is
 * ever copied into a message, where it would stay until some garbage collector gets to it.
 */
import { getPlatform } from '../platform/index.ts';
import { slotSizes } from './budget.ts';
import { singleComm } from './comm/single.ts';
import { createSharedSpace, threadComm } from './comm/threads.ts';
import { type ArrayInfo, createRank, type RankArray } from './rank.ts';
import type { Scales, StepResult } from './step.ts';
import type { Beside, TrainerConfig } from './types.ts';
import {
  stepRows,
  typeOf,
  viewOf,
  type WorkerData,
  type WorkerReply,
  type WorkerRequest,
  windowBytes,
} from './window.ts';

export type Crew = {
  readonly ranks: number;
  /** Bytes that one `read` or `write` moves at most. */
  readonly window: number;
  step(x: Float32Array, beside: Beside, step: number, scales: Scales): Promise<StepResult>;
  /** The arrays of a rank, alike on all. */
  describe(): Promise<Readonly<Record<string, ArrayInfo>>>;
  read(rank: number, name: string, from: number, into: RankArray): Promise<void>;
  write(rank: number, name: string, from: number, values: RankArray): Promise<void>;
  /** to = factor * from, on every rank. */
  scale(to: string, from: string, factor: number): Promise<void>;
  close(): Promise<void>;
};

export async function crewOnThisThread(config: TrainerConfig): Promise<Crew> {
  const rank = await createRank(config, singleComm(), getPlatform().threads);
  return {
    ranks: 1,
    window: windowBytes(config),
    step: (x, beside, step, scales) => rank.step(x, beside, step, scales),
    describe: async () => rank.describe(),
    read: async (_, name, from, into) => rank.read(name, from, into),
    write: async (_, name, from, values) => rank.write(name, from, values),
    scale: async (to, from, factor) => rank.scale(to, from, factor),
    close: () => rank.close(),
  };
}

export function crewOnWorkers(config: TrainerConfig, ranks: number): Crew {
  const space = createSharedSpace(ranks, slotSizes(config, ranks));
  const window = new SharedArrayBuffer(windowBytes(config));
  const rows = stepRows(window, config);
  /** Of a worker that died: it answers no more, and the others would wait for it. */
  let failure: string | undefined;
  const waiting: ((reply: WorkerReply) => void)[][] = Array.from({ length: ranks }, () => []);
  const workers = Array.from({ length: ranks }, (_, rank) => {
    const data: WorkerData = { config, space, rank, window };
    const worker = getPlatform().spawnWorker('train/worker', data);
    worker.onMessage((reply) => waiting[rank]!.shift()?.(reply as WorkerReply));
    worker.onError((error) => {
      failure ??= error.message;
      threadComm(space, rank).abort();
      for (const queue of waiting) for (const settle of queue.splice(0)) settle({ error: error.message });
    });
    return worker;
  });
  async function ask(rank: number, request: WorkerRequest): Promise<unknown> {
    if (failure !== undefined) throw new Error(failure);
    const reply = await new Promise<WorkerReply>((resolve) => {
      waiting[rank]!.push(resolve);
      workers[rank]!.postMessage(request);
    });
    if ('error' in reply) throw new Error(reply.error);
    return reply.result;
  }
  const askAll = (request: WorkerRequest) => Promise.all(workers.map((_, rank) => ask(rank, request)));
  return {
    ranks,
    window: window.byteLength,
    async step(x, { y, tokens }, step, scales) {
      rows.x.set(x);
      if (y) rows.y.set(y);
      if (tokens) rows.tokens.set(tokens);
      const [first] = (await askAll({ type: 'step', step, scales })) as StepResult[];
      return first!;
    },
    describe: () => ask(0, { type: 'describe' }) as Promise<Readonly<Record<string, ArrayInfo>>>,
    async read(rank, name, from, into) {
      await ask(rank, { type: 'read', name, from, count: into.length });
      into.set(viewOf(window, typeOf(into), into.length));
    },
    async write(rank, name, from, values) {
      viewOf(window, typeOf(values), values.length).set(values);
      await ask(rank, { type: 'write', name, from, count: values.length });
    },
    scale: async (to, from, factor) => void (await askAll({ type: 'scale', to, from, factor })),
    async close() {
      if (failure === undefined) await askAll({ type: 'close' });
      await Promise.all(workers.map((worker) => worker.close()));
    },
  };
}
