/**
 * Raw rates of the encoder product on this machine: `npx tsx bench/probe-gemm.ts [--rounds 5]`.
 * One ONNX Runtime session with all threads against one worker per thread, by tile and shard count, and OpenBLAS and
 * torch.mm through Python when SAEKIT_PYTHON has them. Rounds are interleaved; figures are medians.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { ortProduct, type ProductShape } from './lib/gemm-ort.ts';

const B = 4096;
const D = 768;
const F = 16384;
const flops = 2 * B * D * F;
const rounds = Number(process.argv[process.argv.indexOf('--rounds') + 1]) || 5;

type Candidate = { name: string; times: number[]; run(): Promise<void>; close(): Promise<unknown> };

async function inProcess(name: string, shape: ProductShape): Promise<Candidate> {
  return { name, times: [], ...(await ortProduct(shape)) };
}

// Node 20 does not hand tsx's loader down to worker threads, so each registers it itself.
const startTs = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(
  new URL('./lib/gemm-worker.ts', import.meta.url).href,
)}); })`;

async function inWorkers(name: string, count: number, shape: ProductShape): Promise<Candidate> {
  const workers = Array.from({ length: count }, () => new Worker(startTs, { eval: true, workerData: shape }));
  const next = (worker: Worker) =>
    new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.once('error', reject);
    });
  await Promise.all(workers.map(next));
  return {
    name,
    times: [],
    async run() {
      await Promise.all(
        workers.map((worker) => {
          const done = next(worker);
          worker.postMessage('run');
          return done;
        }),
      );
    },
    close: () =>
      Promise.all(
        workers.map((worker) => {
          worker.postMessage('close');
          return new Promise((resolve) => worker.once('exit', resolve));
        }),
      ),
  };
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const report = (name: string, times: number[]) =>
  console.log(
    `${name.padEnd(58)} median ${median(times).toFixed(0).padStart(5)} ms  min ${Math.min(...times)
      .toFixed(0)
      .padStart(5)} ms  ${(flops / median(times) / 1e6).toFixed(0).padStart(4)} GFLOP/s`,
  );

async function measure(candidates: Candidate[]): Promise<void> {
  for (let round = -1; round < rounds; round++)
    for (const candidate of candidates) {
      const start = performance.now();
      await candidate.run();
      if (round >= 0) candidate.times.push(performance.now() - start);
    }
  for (const { name, times, close } of candidates) {
    report(name, times);
    await close();
  }
}

const common = { B, D };
for (const tile of [128, 256, 512, 1024])
  await measure([
    await inProcess(`1 session x 2 threads, tile ${tile}, product only`, {
      ...common,
      F,
      shards: 1,
      tile,
      topk: 0,
      threads: 2,
    }),
    await inProcess(`1 session x 2 threads, tile ${tile}, +TopK 32`, {
      ...common,
      F,
      shards: 1,
      tile,
      topk: 32,
      threads: 2,
    }),
    await inProcess(`1 session x 2 threads, tile ${tile}, 8 shards, +TopK 32`, {
      ...common,
      F,
      shards: 8,
      tile,
      topk: 32,
      threads: 2,
    }),
    await inWorkers(`2 workers x 1 thread, tile ${tile}, 1 shard each, product only`, 2, {
      ...common,
      F: F / 2,
      shards: 1,
      tile,
      topk: 0,
      threads: 1,
    }),
    await inWorkers(`2 workers x 1 thread, tile ${tile}, 1 shard each, +TopK 32`, 2, {
      ...common,
      F: F / 2,
      shards: 1,
      tile,
      topk: 32,
      threads: 1,
    }),
    await inWorkers(`2 workers x 1 thread, tile ${tile}, 4 shards each, product only`, 2, {
      ...common,
      F: F / 2,
      shards: 4,
      tile,
      topk: 0,
      threads: 1,
    }),
    await inWorkers(`2 workers x 1 thread, tile ${tile}, 4 shards each, +TopK 32`, 2, {
      ...common,
      F: F / 2,
      shards: 4,
      tile,
      topk: 32,
      threads: 1,
    }),
  ]);

const python = process.env.SAEKIT_PYTHON;
if (!python)
  console.log('skipped: OpenBLAS and torch.mm (set SAEKIT_PYTHON to a Python with numpy and torch)');
else
  spawnSync(python, [fileURLToPath(new URL('./peers/gemm.py', import.meta.url)), String(rounds)], {
    stdio: 'inherit',
    env: { ...process.env, OPENBLAS_NUM_THREADS: '2', OMP_NUM_THREADS: '2' },
  });
