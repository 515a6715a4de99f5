/**
 * The files that an SAE is read from, and a fingerprint of them, which eval.json keeps of the SAE that it measured:
 *
 *     sha256 over  settings (JSON without its metadata)   and   of weights their size and 64 pieces of 4 KB, spread evenly
 *
 * Other weights or an edited setting are noticed in some milliseconds, whatever the size; a few numbers between two pieces are not.
 */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { openFile } from '../platform/node.ts';
import type { Format } from '../sae/formats/format.ts';
import { formats, type Sae } from '../sae/index.ts';

/** Of every format, the files that make a folder an SAE. */
export const SAE_FOLDERS = Object.values(formats).flatMap(({ folders }: Format) => folders);
/** What an SAE in a folder is read from. */
export const SAE_FILES: readonly string[] = [
  ...new Set(SAE_FOLDERS.flat()),
  ...['activation_scaler.json', 'activation_whitening.safetensors'],
];

/** sha256 over all that an SAE computes with, once it is read: its settings and every number. */
export function hashOfSae({ config: { metadata: _, ...settings }, ...arrays }: Sae): string {
  const hash = createHash('sha256').update(JSON.stringify(settings));
  for (const [name, data] of Object.entries(arrays))
    if (data instanceof Float32Array)
      hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest('hex');
}

const PIECES = 64;
const PIECE_BYTES = 4096;

/** Of an SAE on this disk, a folder or a file. Undefined for names of the hub, and where nothing can be read. */
export async function saeFingerprint(location: string): Promise<string | undefined> {
  const found = statSync(location, { throwIfNoEntry: false });
  if (!found) return undefined;
  const files = found.isDirectory() ? SAE_FILES.map((file) => join(location, file)) : [location];
  const hash = createHash('sha256');
  for (const file of files.filter((one) => statSync(one, { throwIfNoEntry: false })?.isFile())) {
    hash.update(basename(file));
    await (file.endsWith('.json') ? addSettings(file) : addWeights(file));
  }
  return hash.digest('hex');

  async function addSettings(file: string): Promise<void> {
    // Where it comes from, which changes nothing that it computes, is written anew when a run is sent to the hub.
    const { metadata: _, ...settings } = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    hash.update(JSON.stringify(settings));
  }

  async function addWeights(file: string): Promise<void> {
    const source = await openFile(file);
    try {
      const { byteLength } = source;
      hash.update(String(byteLength));
      const last = Math.max(0, byteLength - PIECE_BYTES);
      for (let i = 0; i < PIECES; i++) {
        const start = Math.floor((i * last) / (PIECES - 1));
        hash.update(await source.slice(start, Math.min(start + PIECE_BYTES, byteLength)));
      }
    } finally {
      await source.close?.();
    }
  }
}
