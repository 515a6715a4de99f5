/** What the model tests share: goldens from PyTorch and the comparison with them. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { readSafetensors } from '../../../src/formats/index.ts';
import type { Model, Tensor, TokenBatch } from '../../../src/models/types.ts';
import { fromBytes } from '../../../src/platform/index.ts';
import '../../../src/platform/node.ts';

export const GOLDEN = new URL('./', import.meta.url);

/** Every model that has goldens of all hooks. */
export const MODELS = [
  'llama-untied',
  'llama3-tied-shards',
  'llama-linear-bf16',
  'llama-yarn',
  'llama-dynamic',
  'gpt2-new',
  'gpt2-exact-f16',
  'neox-parallel',
  'neox-sequential-f16',
  'mistral-window',
  'qwen2-windows-yarn',
  'qwen3-bf16',
  'gemma2',
  'gemma3-text',
  'gemma3-images',
  'bert',
];

/** Largest error over the RMS of the tensor. */
export const BOUND = 1e-5;

/** Folder of one golden model. */
export const goldenFolder = (name: string): string => fileURLToPath(new URL(name, GOLDEN));

export type Golden = {
  readonly names: readonly string[];
  tensor(name: string): Promise<Tensor>;
  batch(group: string): Promise<TokenBatch>;
};

export async function openGolden(model: string, name = 'golden.safetensors'): Promise<Golden> {
  const file = await readSafetensors(fromBytes(await readFile(`${goldenFolder(model)}/${name}`)));
  return {
    names: [...file.tensors.keys()],
    async tensor(name) {
      return { data: await file.readFloat32(name), dims: file.tensors.get(name)!.shape };
    },
    async batch(group) {
      const ids = (await file.read(`${group}/ids`)) as Int32Array;
      const [B, T] = file.tensors.get(`${group}/ids`)!.shape as [number, number];
      const mask = file.tensors.has(`${group}/mask`)
        ? ((await file.read(`${group}/mask`)) as Uint8Array)
        : new Uint8Array(B * T).fill(1);
      return { ids, mask, B, T };
    },
  };
}

/**
 * max |a - b| / rms(b) over the rows that `mask` keeps; infinite when a number is not finite or shapes differ.
 * Attention patterns are probabilities, and most are almost 0, so their RMS says nothing about their precision
 * (PyTorch's own float32 leaves its float64 by up to 1.3e-5 of it): for them it is max |a - b|, the unit being 1.
 */
export function relativeError(actual: Tensor, expected: Tensor, mask?: Uint8Array, unit?: number): number {
  if (actual.dims.join() !== expected.dims.join()) return Number.POSITIVE_INFINITY;
  const width = mask ? expected.data.length / mask.length : 1;
  let worst = 0;
  let squares = 0;
  let count = 0;
  for (let i = 0; i < expected.data.length; i++) {
    if (mask && mask[Math.floor(i / width)] === 0) continue;
    if (!Number.isFinite(actual.data[i])) return Number.POSITIVE_INFINITY;
    worst = Math.max(worst, Math.abs(actual.data[i]! - expected.data[i]!));
    squares += expected.data[i]! ** 2;
    count++;
  }
  return worst / (unit ?? Math.sqrt(squares / count));
}

/** Errors of every hook and of the logits of the plain batch, and of what the golden has of the padded one. */
export async function goldenErrors(
  model: Model,
  golden: Golden,
): Promise<{ plain: Map<string, number>; padded: Map<string, number> }> {
  const compare = async (group: string): Promise<Map<string, number>> => {
    const names = golden.names
      .filter((name) => name.startsWith(`${group}/`) && !/\/(ids|mask)$/.test(name))
      .map((name) => name.slice(group.length + 1));
    const batch = await golden.batch(group);
    const hooks = names.filter((name) => name !== 'logits');
    const { cache, logits } = await model.run(batch, { hooks, logits: names.includes('logits') });
    const errors = new Map<string, number>();
    for (const name of names) {
      const unit = name.endsWith('hook_pattern') ? 1 : undefined;
      const found = name === 'logits' ? logits! : cache[name]!;
      errors.set(name, relativeError(found, await golden.tensor(`${group}/${name}`), batch.mask, unit));
    }
    return errors;
  };
  return { plain: await compare('plain'), padded: await compare('padded') };
}

/** The worst of `goldenErrors`, and how many tensors of the plain batch were compared. */
export async function worstError(
  model: Model,
  golden: Golden,
): Promise<{ plain: number; padded: number; tensors: number }> {
  const { plain, padded } = await goldenErrors(model, golden);
  return {
    plain: Math.max(...plain.values()),
    padded: Math.max(...padded.values()),
    tensors: plain.size,
  };
}

/** Texts and what transformers makes of them with the real all-MiniLM-L6-v2. */
export async function sentenceGolden() {
  const file = await readSafetensors(fromBytes(await readFile(new URL('minilm.safetensors', GOLDEN))));
  const texts = JSON.parse(await readFile(new URL('minilm-texts.json', GOLDEN), 'utf8')) as string[];
  const lengths = [...((await file.read('lengths')) as Int32Array)];
  const ids = [...((await file.read('ids')) as Int32Array)];
  return {
    texts,
    /** Of every text, cut to the longest. */
    ids: lengths.map((length) => ids.splice(0, length)),
    maxTokens: Math.max(...lengths),
    vectors: { data: await file.readFloat32('vectors'), dims: file.tensors.get('vectors')!.shape },
  };
}
