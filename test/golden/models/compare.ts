/** What the model tests share: goldens from PyTorch and the comparison with them. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { readSafetensors } from '../../../src/formats/index.ts';
import type { Model, Tensor, TokenBatch } from '../../../src/models/types.ts';
import { fromBytes } from '../../../src/platform/index.ts';
import '../../../src/platform/node.ts';

export const GOLDEN = new URL('./', import.meta.url);

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

/** The worst error over every hook and the logits of the plain batch, and over the padded batch; and how many tensors. */
export async function worstError(
  model: Model,
  golden: Golden,
): Promise<{ plain: number; padded: number; tensors: number }> {
  const batch = await golden.batch('plain');
  const hooks = golden.names
    .filter((name) => /^plain\/(hook_|blocks)/.test(name))
    .map((name) => name.slice(6));
  const { cache, logits } = await model.run(batch, { hooks, logits: true });
  let plain = relativeError(logits!, await golden.tensor('plain/logits'));
  for (const hook of hooks) {
    const unit = hook.endsWith('hook_pattern') ? 1 : undefined;
    plain = Math.max(
      plain,
      relativeError(cache[hook]!, await golden.tensor(`plain/${hook}`), undefined, unit),
    );
  }

  const paddedBatch = await golden.batch('padded');
  const last = model.hooks.at(-1)!.name;
  const padded = await model.run(paddedBatch, { hooks: [last], logits: true });
  const errors = [
    relativeError(padded.cache[last]!, await golden.tensor(`padded/${last}`), paddedBatch.mask),
    relativeError(padded.logits!, await golden.tensor('padded/logits'), paddedBatch.mask),
  ];
  return { plain, padded: Math.max(...errors), tensors: hooks.length + 1 };
}
