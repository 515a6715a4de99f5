/** Reads an SAE of any format (formats/registry.ts) into the canonical latent-major layout. */
import { readRows, readTensors, type TensorFile } from '../formats/index.ts';
import type { HubAccess } from '../hub/types.ts';
import { getPlatform } from '../platform/index.ts';
import type { ByteFolder, ByteSource } from '../platform/types.ts';
import { checkSae, outputWidth } from './check.ts';
import { checkPlan, type Format, loadPlan, type Plan, type SaeFiles } from './formats/format.ts';
import { type FormatName, formatOf, formats } from './formats/registry.ts';
import { refuseWrong, selfTest } from './self-test.ts';
import type { Sae, SaeConfig } from './types.ts';

/** No config comes near this. */
const MAX_TEXT_BYTES = 2 ** 22;

export type OpenedSae = {
  readonly format: FormatName;
  /** What to call it in messages. */
  readonly where: string;
  readonly plan: Plan;
  close(): Promise<void>;
};

/**
 * Opens an SAE without reading its weights: headers and configs only, checked against each other. Close it. With `byRange` the weights of
 * one on the hub are not downloaded either: `readLatent` then takes what it needs of a file of any size.
 */
export async function openSae(
  location: string | ByteFolder,
  { byRange = false, ...access }: HubAccess & { readonly byRange?: boolean } = {},
): Promise<OpenedSae> {
  const { signal } = access;
  signal?.throwIfAborted();
  const folder =
    typeof location === 'string'
      ? await getPlatform().openFolder(location, access, byRange ? 'sae by range' : 'sae')
      : location;
  // The last bytes of a download may have come before anybody looked at the signal.
  signal?.throwIfAborted();
  const open: ByteSource[] = [];
  const close = async (): Promise<void> => {
    for (const source of open.splice(0)) await source.close?.();
  };
  const read = new Map<string, Promise<TensorFile>>();
  const files: SaeFiles = {
    folder,
    file: folder.file,
    path: folder.place ?? folder.name,
    overrides: folder.overrides ?? {},
    json: (file) => readJson(folder, file),
    yaml: (file) => readYaml(folder, file),
    tensors(file) {
      let found = read.get(file);
      if (!found) {
        found = folder.open(file).then((source) => {
          open.push(source);
          return readTensors(source, `${folder.name}/${file}`);
        });
        read.set(file, found);
      }
      return found;
    },
  };
  try {
    const format = await formatOf(files);
    const plan = await (formats[format] as Format).read(files);
    const where = `${folder.name}${folder.file ? `/${folder.file}` : ''}`;
    checkPlan(plan, where);
    return { format, where, plan, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A text file of the folder; undefined when it is not there. */
async function readText(folder: ByteFolder, file: string): Promise<string | undefined> {
  if (!(await folder.has(file))) return undefined;
  const source = await folder.open(file);
  try {
    if (source.byteLength > MAX_TEXT_BYTES)
      throw new Error(`${folder.name}/${file}: ${source.byteLength} bytes, at most ${MAX_TEXT_BYTES}`);
    return new TextDecoder().decode(await source.slice(0, source.byteLength));
  } finally {
    await source.close?.();
  }
}

async function readJson(folder: ByteFolder, file: string): Promise<Record<string, unknown> | undefined> {
  const where = `${folder.name}/${file}`;
  const text = await readText(folder, file);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${where}: not JSON (${(error as Error).message})`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${where}: expected a JSON object`);
  return value as Record<string, unknown>;
}

async function readYaml(folder: ByteFolder, file: string): Promise<Record<string, string> | undefined> {
  const text = await readText(folder, file);
  if (text === undefined) return undefined;
  const entries: [string, string][] = [];
  let outer = '';
  /** How far the first line within it is in. */
  let indent = 0;
  for (const line of text.split('\n')) {
    const [, spaces = '', key, rest] = /^( *)([\w-]+):(?:[ \t](.*))?\r?$/.exec(line) ?? [];
    if (key === undefined) continue;
    if (spaces === '') [outer, indent] = [key, 0];
    else if (indent === 0) indent = spaces.length;
    if (rest === undefined || spaces.length !== (spaces === '' ? 0 : indent)) continue;
    const [, double, single] = /^\s*(?:"([^"]*)"|'([^']*)')/.exec(rest) ?? [];
    const value = double ?? single ?? rest.split(/\s#/, 1)[0]!.trim();
    entries.push([spaces === '' ? key : `${outer}.${key}`, value]);
  }
  return Object.fromEntries(entries.filter(([, value]) => !/^(?:null|~|)$/.test(value)));
}

/** The config of an SAE, with the headers of its weights checked against it; the weights themselves are not read. Throws as `loadSae`. */
export async function readSaeConfig(location: string): Promise<SaeConfig> {
  const opened = await openSae(location);
  await opened.close();
  return opened.plan.config;
}

/**
 * Loads an SAE of any known format; float16, bfloat16 and float64 weights become float32. Its weights and a probe batch are looked at
 * (self-test.ts); whether it fits its hook only activations tell: until `selfTest` has seen some, it is unverified.
 *
 * @param location a folder, a file, `org/name[@revision][/path]` of the hub (Node), a URL prefix (browser), or an opened folder
 * @param access a signal that stops loading, and whom to tell of a download
 * @throws on an unknown format or setting, missing or surplus tensors, wrong or transposed shapes, a square SAE whose layout cannot be
 *   known, NaN, a pickle that asks for more than weights need, weights that the self-test says are wrong; the message says what was found
 *   and what was expected
 */
export async function loadSae(location: string | ByteFolder, access: HubAccess = {}): Promise<Sae> {
  const opened = await openSae(location, access);
  try {
    const sae = await loadPlan(opened.plan, opened.where, access.signal);
    try {
      checkSae(sae);
    } catch (error) {
      throw new Error(`${opened.where}: ${(error as Error).message}`);
    }
    refuseWrong(sae, await selfTest(sae, access.signal ? { signal: access.signal } : {}), opened.where);
    return sae;
  } finally {
    await opened.close();
  }
}

const SIDES: readonly (keyof LatentRows)[] = ['W_enc', 'W_dec'];

/** One latent of an SAE: its rows of W_enc [D] and W_dec [Dout] as they are in the file, before factors are folded. */
export type LatentRows = { readonly W_enc: Float32Array; readonly W_dec: Float32Array };

/**
 * Reads one latent of a file of any size. Where a matrix is latent-major in the file its row is one short read (4 D bytes); else the row is
 * read number by number, D reads of 4 bytes, for which a file on the hub is downloaded, once. docs/saes.md says which it is for each format.
 *
 * @param sides what to read: one of the two may be a read of kilobytes, and the other a download of gigabytes
 * @throws for a latent that is not there
 */
export async function readLatent<Side extends keyof LatentRows = keyof LatentRows>(
  { plan }: OpenedSae,
  latent: number,
  sides: readonly Side[] = SIDES as readonly Side[],
): Promise<Pick<LatentRows, Side>> {
  const { config, arrays } = plan;
  const { D, F } = config;
  if (!(Number.isInteger(latent) && latent >= 0 && latent < F))
    throw new RangeError(`Latent ${latent} is not there: this SAE has 0 to ${F - 1}.`);
  const row = async (name: 'W_enc' | 'W_dec', width: number): Promise<Float32Array> => {
    const array = arrays[name]!;
    if (array instanceof Float32Array) return array.slice(latent * width, (latent + 1) * width);
    const { tensor, transposed = false, from = 0, change } = array;
    const read = (await readRows(tensor, [F, width + from], transposed, latent, 1)).subarray(from);
    return change ? read.map(change) : read;
  };
  const rows: Partial<Record<keyof LatentRows, Float32Array>> = {};
  for (const side of sides) rows[side] = await row(side, side === 'W_enc' ? D : outputWidth(config));
  return rows as Pick<LatentRows, Side>;
}
