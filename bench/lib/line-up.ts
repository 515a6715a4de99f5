/** Opens the contenders that the chosen figures need, all fed from the same files. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { argmax } from '../../src/models/generation/sample.ts';
import { createRng } from '../../src/shared/rng.ts';
import type { Contender, Skipped } from './contender.ts';
import { encodeSizes, oursEncode } from './encode-ours.ts';
import type { Figure } from './figures.ts';
import { ortProduct } from './gemm-ort.ts';
import { workersProduct } from './gemm-workers.ts';
import { oursDecode, oursPrefill, type WithLogits } from './generation-ours.ts';
import { type HarvestBatch, oursHarvest } from './harvest-ours.ts';
import { mixture } from './mixture.ts';
import { openBlasProduct } from './openblas.ts';
import { openPeer } from './peer.ts';
import { modelShape, writeRandomModel } from './random-model.ts';
import { oursModelStage, oursWall } from './runs-ours.ts';
import { oursSteered } from './steered-ours.ts';
import { oursStored, writeStoredRows } from './stored-ours.ts';
import { oursPenalised, oursTraining } from './train-ours.ts';

export const sizes = { B: 4096, D: 768, F: 16384, K: 32 };
/** 20 % of the latents. */
const planted = 3277;
const harvestShape = { B: 8, T: 128 };
/** The shape of SmolLM2-135M. */
const smolShape = { layers: 30, D: 576, heads: 9, kvHeads: 3, mlp: 1536, V: 49152 };
const prefillShape = { B: 8, T: 512 };
const decoded = 64;
const steeredTokens = 32;
const peersFolder = fileURLToPath(new URL('../peers/', import.meta.url));

export type LineUp = {
  readonly contenders: readonly Contender[];
  readonly skipped: readonly Skipped[];
  /** Removes the temporary files, after the contenders are closed. */
  clean(): void;
};

export type LineUpOptions = {
  readonly threads: number;
  readonly python: { readonly python: string } | { readonly reason: string };
  readonly quick: boolean;
  readonly progress: (line: string) => void;
};

export async function lineUp(
  figures: readonly Figure[],
  { threads, python, quick, progress }: LineUpOptions,
): Promise<LineUp> {
  const { B, D, F } = sizes;
  const folder = mkdtempSync(join(tmpdir(), 'saekit-bench-'));
  const common = ['--threads', String(threads)];
  let batches: Float32Array[] | undefined;
  let harvest: HarvestBatch | undefined;

  let runs: ReturnType<typeof oursWall> | undefined;
  /** One run a round for two contenders. */
  const wall = () => {
    runs ??= oursWall(folder, threads);
    return runs;
  };

  /** Four batches, made when first asked for; `data.f32` for the peers. */
  const data = (): Float32Array[] => {
    if (!batches) {
      const rows = mixture(4 * B, D);
      batches = Array.from({ length: 4 }, (_, i) => rows.subarray(i * B * D, (i + 1) * B * D));
      writeFileSync(join(folder, 'data.f32'), new Uint8Array(rows.buffer));
    }
    return batches;
  };
  const model = (): HarvestBatch => {
    if (!harvest) {
      writeRandomModel(folder);
      const rng = createRng('harvest-ids');
      const ids = Int32Array.from({ length: harvestShape.B * harvestShape.T }, () => rng.int(modelShape.V));
      writeFileSync(join(folder, 'ids.i32'), new Uint8Array(ids.buffer));
      harvest = { ids, ...harvestShape };
    }
    return harvest;
  };
  const smol = join(folder, 'smol');
  /** Token ids of the prompts, made with the model when first asked for. */
  const prompts = (): number[][] => {
    const rng = createRng('prompts');
    const { B, T } = prefillShape;
    const ids = Int32Array.from({ length: B * T }, () => rng.int(smolShape.V));
    if (!existsSync(smol)) {
      mkdirSync(smol);
      writeRandomModel(smol, smolShape);
      writeFileSync(join(smol, 'ids.i32'), ids);
      writeFileSync(join(smol, 'prompt.i32'), ids.subarray(0, T));
    }
    return Array.from({ length: B }, (_, b) => [...ids.subarray(b * T, (b + 1) * T)]);
  };
  /** llama.cpp needs its package, and Python once to write the same weights as GGUF. */
  const llama = async (name: string, type: 'F32' | 'F16'): Promise<Contender | Skipped> => {
    if (!existsSync(join(peersFolder, 'llama/node_modules/node-llama-cpp')))
      return {
        name,
        skipped: 'node-llama-cpp is not installed: npm i --ignore-scripts --prefix bench/peers/llama',
      };
    if ('reason' in python) return { name, skipped: python.reason };
    prompts();
    const file = join(smol, `${type.toLowerCase()}.gguf`);
    const made = spawnSync(python.python, [join(peersFolder, 'llama_gguf.py'), smol, file, type], {
      encoding: 'utf8',
    });
    if (made.status !== 0)
      return { name, skipped: `GGUF could not be written: ${made.stderr.trim().split('\n').at(-1)}` };
    const args = ['--model', file, '--ids', join(smol, 'prompt.i32'), '--tokens', String(decoded)];
    return { ...(await openPeer(process.execPath, 'llama/decode.mjs', [...common, ...args])), name };
  };
  const peer = async (script: string, ...args: string[]) =>
    'reason' in python
      ? { name: script.replace(/\.py$/, ''), skipped: python.reason }
      : openPeer(python.python, script, [...common, ...args]);
  const trainingPeer = (script: string, ...args: string[]) => {
    data();
    const shape = Object.entries(sizes).flatMap(([letter, n]) => [`--${letter}`, String(n)]);
    return peer(script, ...shape, '--data', join(folder, 'data.f32'), ...args);
  };
  const sparsePeer = async (name: string, variants: string) => ({
    ...(await trainingPeer(
      'torch_sparse.py',
      ...['--variants', variants],
      ...(quick ? ['--nocompile'] : []),
    )),
    name,
  });
  const session = async (name: string, tile: number) =>
    fromProduct(name, { tile, threads }, await ortProduct({ B, D, F, shards: 1, tile, topk: 0, threads }));
  const hook = (layer: number) => `blocks.${layer}.hook_resid_post`;

  const makers: Record<string, () => Promise<Contender | Skipped>> = {
    'ours.step': () => oursTraining('ours.step', sizes, data(), threads, 0),
    'ours.step_penalised': () => oursPenalised('ours.step_penalised', sizes, data(), threads),
    'ours.step_dead': () => oursTraining('ours.step_dead', sizes, data(), threads, planted),
    'ours.memory': () => oursStored('ours.memory', data(), sizes, threads),
    'ours.stored': () =>
      oursStored('ours.stored', writeStoredRows(join(folder, 'rows'), mixture(4 * B, D), D), sizes, threads),
    'ours.encode': () => oursEncode('ours.encode', threads),
    'ours.encode_screened': () => oursEncode('ours.encode_screened', threads, { screen: 'int8' }),
    'ours.encode_screened_untrained': () =>
      oursEncode('ours.encode_screened_untrained', threads, { screen: 'int8', trained: false }),
    'ort.encode_product': async () => {
      const shape = { ...encodeSizes, shards: 8, tile: 512, topk: 0, threads };
      return fromProduct('ort.encode_product', shape, await ortProduct(shape));
    },
    'ours.stages': async () => wall().stages,
    'ours.wall': async () => wall().wall,
    'ours.model_of_one': async () => oursModelStage('ours.model_of_one', folder, threads, 1),
    'ours.model_of_six': async () => oursModelStage('ours.model_of_six', folder, threads, 6),
    'ort.tile256': () => session('ort.tile256', 256),
    'ort.tile512': () => session('ort.tile512', 512),
    'ort.tile1024': () => session('ort.tile1024', 1024),
    'ort.workers': async () => {
      const part = { B, D, F: F / threads, shards: 4, tile: 512, topk: 0, threads: 1 };
      if (!Number.isInteger(F / threads / 4))
        return { name: 'ort.workers', skipped: `${F} latents do not divide by 4 x ${threads}` };
      return fromProduct('ort.workers', { workers: threads, ...part }, await workersProduct(threads, part));
    },
    openblas: () => openBlasProduct(B, D, F, threads),
    numpy: async () => ({ ...(await peer('gemm.py', '--kind', 'numpy')), name: 'numpy' }),
    torch_dense: () => trainingPeer('torch_dense.py'),
    torch_sparse: () => sparsePeer('torch_sparse', 'index_add,index_add_compiled'),
    torch_other: () => sparsePeer('torch_other', 'autograd_bag,csr,csr_mixed'),
    sae_lens_trainer: () => trainingPeer('sae_lens_trainer.py'),
    'ours.full_depth': () =>
      oursHarvest('ours.full_depth', folder, hook(modelShape.layers - 1), model(), threads),
    'ours.half_depth': () =>
      oursHarvest('ours.half_depth', folder, hook(modelShape.layers / 2 - 1), model(), threads),
    'ours.prefill': () => oursPrefill('ours.prefill', smol, prompts(), threads),
    torch_prefill: () => {
      prompts();
      const args = ['--model', smol, '--ids', join(smol, 'ids.i32'), '--B', String(prefillShape.B)];
      return peer('torch_prefill.py', ...args);
    },
    'ours.decode': () => oursDecode('ours.decode', smol, prompts()[0]!, decoded, threads),
    ...Object.fromEntries(
      [1, 8].flatMap((streams) => {
        const at = (features: number, kind: 'jumprelu' | 'topk' = 'jumprelu') => ({
          ...{ streams, features, kind, threads, prompts: prompts(), tokens: steeredTokens },
        });
        return [
          [`ours.unsteered_${streams}`, () => oursSteered(`ours.unsteered_${streams}`, smol, at(0))],
          ...[1, 8, 64].map((features) => {
            const name = `ours.steered_${features}x${streams}`;
            return [name, () => oursSteered(name, smol, at(features))] as const;
          }),
          ...(streams === 1
            ? [['ours.steered_topk', () => oursSteered('ours.steered_topk', smol, at(8, 'topk'))] as const]
            : []),
        ];
      }),
    ),
    llama_f32: () => llama('llama_f32', 'F32'),
    llama_f16: () => llama('llama_f16', 'F16'),
    torch_harvest: () => {
      model();
      const layer = String(modelShape.layers - 1);
      return peer(
        'torch_harvest.py',
        '--model',
        folder,
        '--ids',
        join(folder, 'ids.i32'),
        '--B',
        String(harvestShape.B),
        '--layer',
        layer,
      );
    },
  };

  const contenders: Contender[] = [];
  const skipped: Skipped[] = [];
  const open = async (names: Iterable<string>) => {
    for (const name of new Set(names)) {
      if (contenders.some((contender) => contender.name === name)) continue;
      progress(`prepare ${name}`);
      const found = await makers[name]!();
      if ('skipped' in found) skipped.push(found);
      else contenders.push(found);
    }
  };
  // Baselines first: where none can be here, ours need not run.
  await open(figures.flatMap(({ baseline }) => baseline));
  const present = new Set(contenders.map(({ name }) => name));
  await open(
    figures.filter(({ baseline }) => baseline.some((name) => present.has(name))).map(({ ours }) => ours),
  );
  await sameNumbers(contenders, ['ours.full_depth', 'torch_harvest'], join(folder, 'hidden.f32'));
  await sameNumbers(contenders, ['ours.prefill', 'torch_prefill'], join(folder, 'logits.f32'));
  await sameToken(contenders);
  return { contenders, skipped, clean: () => rmSync(folder, { recursive: true, force: true }) };
}

function fromProduct(
  name: string,
  about: Record<string, unknown>,
  { run, close }: { run(): Promise<void>; close(): Promise<void> },
): Contender {
  return {
    name,
    about,
    close,
    async turn() {
      const start = performance.now();
      await run();
      return performance.now() - start;
    },
  };
}

/** A race between two programs that compute different things says nothing: both must give the same numbers. */
async function sameNumbers(
  contenders: readonly Contender[],
  [ours, theirs]: readonly [string, string],
  path: string,
): Promise<void> {
  const our = contenders.find(({ name }) => name === ours) as WithLogits | undefined;
  const their = contenders.find(({ name }) => name === theirs) as
    | Exclude<Awaited<ReturnType<typeof openPeer>>, Skipped>
    | undefined;
  if (!our || !their) return;
  await our.turn();
  await their.turn();
  await their.ask(`save ${path}`);
  const bytes = readFileSync(path);
  const expected = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const found = our.last();
  let [error, norm] = [0, 0];
  for (let i = 0; i < found.length; i++) {
    error += (found[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  const relative = Math.sqrt(error / norm);
  if (found.length > expected.length || !(relative < 1e-3))
    throw new Error(`Our numbers differ from those of ${theirs} by ${relative} relative: the race is off.`);
}

/** llama.cpp gives tokens only: the first one must be the likeliest of ours. */
async function sameToken(contenders: readonly Contender[]): Promise<void> {
  const our = contenders.find(({ name }) => name === 'ours.decode') as WithLogits | undefined;
  const their = contenders.find(({ name }) => name === 'llama_f32') as
    | Exclude<Awaited<ReturnType<typeof openPeer>>, Skipped>
    | undefined;
  if (!our || !their) return;
  await our.turn();
  const [token] = (await their.ask('step')).tokens as number[];
  const logits = our.last();
  if (token !== argmax(logits))
    throw new Error(`llama.cpp goes on with token ${token}, we with ${argmax(logits)}: the race is off.`);
}
