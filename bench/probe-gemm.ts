/**
 * Raw rates of the encoder product on this machine: `npx tsx bench/probe-gemm.ts [--rounds 5]`.
 * One ONNX Runtime session with all threads against one worker per thread, by tile and shard count, OpenBLAS through koffi,
 * and numpy and torch.mm when SAEKIT_PYTHON has them. Rounds are interleaved; figures are medians.
 */
import { type Contender, interleave, median } from './lib/contender.ts';
import { ortProduct, type ProductShape } from './lib/gemm-ort.ts';
import { workersProduct } from './lib/gemm-workers.ts';
import { openBlasProduct } from './lib/openblas.ts';
import { findPython, openPeer } from './lib/peer.ts';

const B = 4096;
const D = 768;
const F = 16384;
const at = process.argv.indexOf('--rounds');
const rounds = at > 0 ? Number(process.argv[at + 1]) : 5;

function contender(
  name: string,
  { run, close }: { run(): Promise<void>; close(): Promise<void> },
): Contender {
  const turn = async () => {
    const start = performance.now();
    await run();
    return performance.now() - start;
  };
  return { name, turn, close };
}

async function measure(contenders: Contender[]): Promise<void> {
  const measured = await interleave(contenders, { rounds, warmup: 1, progress: () => {} });
  for (const [name, { times }] of measured) {
    const ms = median(times);
    const [typical, least] = [ms, Math.min(...times)].map((v) => v.toFixed(0).padStart(5));
    console.log(
      `${name.padEnd(66)} median ${typical} ms  min ${least} ms  ${((2 * B * D * F) / ms / 1e6).toFixed(0)} GFLOP/s`,
    );
  }
  for (const { close } of contenders) await close();
}

for (const tile of [128, 256, 512, 1024]) {
  const session = async (shards: number, topk: number) => {
    const shape: ProductShape = { B, D, F, shards, tile, topk, threads: 2 };
    const name = `1 session x 2 threads, tile ${tile}, ${shards} shards, ${topk ? `TopK ${topk}` : 'product only'}`;
    return contender(name, await ortProduct(shape));
  };
  const workers = async (shards: number, topk: number) => {
    const shape: ProductShape = { B, D, F: F / 2, shards, tile, topk, threads: 1 };
    const name = `2 workers x 1 thread, tile ${tile}, ${shards} shards each, ${topk ? `TopK ${topk}` : 'product only'}`;
    return contender(name, await workersProduct(2, shape));
  };
  await measure([
    await session(1, 0),
    await session(1, 32),
    await session(8, 32),
    await workers(1, 0),
    await workers(1, 32),
    await workers(4, 0),
    await workers(4, 32),
  ]);
}

const others: Contender[] = [];
const add = (found: Contender | { name: string; skipped: string }) => {
  if ('skipped' in found) console.log(`skipped ${found.name}: ${found.skipped}`);
  else others.push(found);
};
add(await openBlasProduct(B, D, F, 2));
const python = findPython(undefined);
if ('reason' in python) console.log(`skipped numpy and torch.mm: ${python.reason}`);
else
  for (const kind of ['numpy', 'torch']) {
    const peer = await openPeer(python.python, 'gemm.py', ['--kind', kind]);
    add('skipped' in peer ? peer : { ...peer, name: `${kind} (${JSON.stringify(peer.about?.notes)})` });
  }
await measure(others);
