/** labels.jsonl of a run or SAE folder: what people call its latents. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { type FeatureLabel, featureLabelSchema } from '../shared/feature.ts';
import { writeAtomic } from './atomic.ts';
import { whileLocked } from './lock.ts';

const LABELS_FILE = 'labels.jsonl';

async function readLines(folder: string): Promise<{ readonly text: string; readonly label: FeatureLabel }[]> {
  const file = join(folder, LABELS_FILE);
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return '';
    throw error;
  });
  return text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    try {
      return [{ text: line, label: featureLabelSchema.parse(JSON.parse(line)) }];
    } catch {
      throw new Error(
        `${file}, line ${i + 1}: expected {"latent": 7, "label": "month names", "checked": "who, when, on what"}, with a "note" beside the label or in its place.`,
      );
    }
  });
}

/** By latent; of several lines of one latent the last counts. @throws naming the line that is not valid */
export async function readLabels(folder: string): Promise<ReadonlyMap<number, FeatureLabel>> {
  return new Map((await readLines(folder)).map(({ label }) => [label.latent, label]));
}

/** Writes are one after the other: each reads what the one before has written. */
let last: Promise<unknown> = Promise.resolve();

type Given = z.input<typeof featureLabelSchema>;

/** Lines of some latents -> the file with `added` in their place. */
function replaceLines(folder: string, latents: ReadonlySet<number>, added: readonly Given[]): Promise<void> {
  const change = async (): Promise<void> => {
    const lines = await readLines(folder);
    const others = lines.filter((line) => !latents.has(line.label.latent)).map(({ text }) => text);
    if (added.length === 0 && others.length === lines.length) return;
    const all = [...others, ...added.map((label) => JSON.stringify(featureLabelSchema.parse(label)))];
    const bytes = new TextEncoder().encode(all.map((line) => `${line}\n`).join(''));
    await writeAtomic(join(folder, LABELS_FILE), [bytes], { byteLength: bytes.length, what: LABELS_FILE });
  };
  const write = last.then(() => whileLocked(join(folder, LABELS_FILE), change));
  last = write.catch(() => {});
  return write;
}

/** Puts a latent's line in, or takes it out. The file is whole at any time. */
export const writeLabel = (folder: string, latent: number, label: Given | undefined): Promise<void> =>
  replaceLines(folder, new Set([latent]), label ? [label] : []);

/** Puts many lines in, each in the place of the one that is there of its latent. */
export const writeLabels = (folder: string, labels: readonly Given[]): Promise<void> =>
  replaceLines(folder, new Set(labels.map(({ latent }) => latent)), labels);
