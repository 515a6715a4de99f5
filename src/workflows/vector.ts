/** `saekit vector`: two files of texts -> a direction in a file. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import type { Model } from '../models/types.ts';
import { UsageError } from '../shared/errors.ts';
import { createVector, encodeVector, type SteeringVector, type VectorOptions } from '../steer/index.ts';
import { folderWriter } from '../store/index.ts';

export type WriteVectorOptions = Omit<VectorOptions, 'positive' | 'negative'> & {
  /** Files with a text a line; lines of a .jsonl file are objects with `text`. */
  readonly positive: string;
  readonly negative: string;
  readonly out: string;
};

/** @throws UsageError when a file cannot be read or has no texts, and when `out` is there already; nothing is written then */
export async function writeVector(
  model: Model,
  { positive, negative, out, ...options }: WriteVectorOptions,
): Promise<SteeringVector> {
  if (!out.endsWith('.safetensors'))
    throw new UsageError(`--out ${out}: a direction is written as a .safetensors file.`);
  if (existsSync(out)) throw new UsageError(`${out} is there already. Give a new name.`);
  const texts = { positive: await textsOf(positive), negative: await textsOf(negative) };
  const made = await createVector(model, { ...options, ...texts });
  const bytes = encodeVector(made);
  await folderWriter(dirname(resolve(out))).write(basename(out), [bytes], bytes.length);
  return made;
}

async function textsOf(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new UsageError(`The texts ${path} cannot be read: ${error.message}.`);
  });
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  if (lines.length === 0) throw new UsageError(`${path} has no texts: expected one a line.`);
  if (!path.endsWith('.jsonl')) return lines;
  return lines.map((line, i) => {
    try {
      const value = (JSON.parse(line) as { text?: unknown }).text;
      if (typeof value === 'string' && value !== '') return value;
    } catch {}
    throw new UsageError(`${path}, line ${i + 1}: expected {"text": "…"}.`);
  });
}
