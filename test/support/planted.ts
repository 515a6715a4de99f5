// Twelve ways in which an SAE is taken for another one, planted in its files where they can hold the mistake, else in what was read of them.
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { bfloat16ToFloat32, countOf, float32ToBfloat16, readElements } from '../../src/formats/index.ts';
import type { ArrayName } from '../../src/sae/formats/format.ts';
import { transpose } from '../../src/sae/formats/write.ts';
import { openSae, type Sae, saveSae } from '../../src/sae/index.ts';
import { createRng } from '../../src/shared/rng.ts';
import { folderWriter } from '../../src/store/index.ts';
import { otherBasis, type Written } from './sae-kinds.ts';

export type Copy = Pick<Written, 'format' | 'write'> & {
  /** The right SAE. */
  readonly sae: Sae;
  /** A copy of its files, to be changed: the folder, and what is opened in it. */
  readonly folder: string;
  readonly place: string;
  /** A folder that is not there yet. */
  readonly fresh: string;
};
/** What to open now; how what was read goes wrong, where the files are right; how another model has the rows. */
export type Mistake = {
  readonly place: string;
  readonly inMemory?: (sae: Sae) => Sae;
  readonly rows?: (x: Float32Array) => Float32Array;
};

const scaled = (a: Float32Array, factor: number): Float32Array => a.map((v) => v * factor);
const rounded = (a: Float32Array): Float32Array => bfloat16ToFloat32(float32ToBfloat16(a));

/** All files below a folder. */
const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

type Stored = { readonly shape: readonly number[]; readonly latentOf: (i: number) => number };
/** The bytes of an array, where and as they lie in the file. Undefined when the array is in no file. */
async function patch(
  { place, folder, sae }: Copy,
  name: ArrayName,
  change: (stored: Float32Array, as: Stored & { changed: boolean }) => Float32Array,
): Promise<Mistake | undefined> {
  const opened = await openSae(place);
  const slot = opened.plan.arrays[name];
  if (!slot || slot instanceof Float32Array) {
    await opened.close();
    return undefined;
  }
  const { shape } = slot.tensor;
  const stored = Float32Array.from(await readElements(slot.tensor, 0, countOf(shape)));
  await opened.close();
  const { F } = sae.config;
  const latentOf = (i: number): number => (slot.transposed ? i % F : Math.floor((i * F) / stored.length));
  const now = change(stored, { shape, latentOf, changed: slot.change !== undefined });
  const bytes = (a: Float32Array): Buffer => Buffer.from(a.buffer, a.byteOffset, a.byteLength);
  for (const file of filesBelow(folder)) {
    const content = readFileSync(file);
    const at = content.indexOf(bytes(stored));
    if (at < 0) continue;
    bytes(now).copy(content, at);
    writeFileSync(file, content);
    return { place };
  }
  throw new Error(`${name} is not in the files of ${place}`);
}

/** Text in the JSON of a folder, and in the header of safetensors, which keeps its length. */
function replaceText({ folder, place }: Copy, from: string, to: string): Mistake | undefined {
  let found = false;
  for (const file of filesBelow(folder)) {
    const content = readFileSync(file);
    if (file.endsWith('.json') && content.includes(from)) {
      writeFileSync(file, content.toString().replaceAll(from, to));
      found = true;
    } else if (file.endsWith('.safetensors')) {
      const length = Number(content.readBigUInt64LE(0));
      const header = content.toString('utf8', 8, 8 + length);
      if (!header.includes(from)) continue;
      const written = header.replaceAll(from, to).trimEnd().padEnd(length);
      content.write(written.slice(0, length), 8);
      writeFileSync(file, content);
    }
  }
  return found ? { place } : undefined;
}

/** A setting of a JSON file. */
function setJson({ folder, place }: Copy, file: string, change: (json: Json) => void): Mistake {
  const path = join(folder, file);
  const json = JSON.parse(readFileSync(path, 'utf8')) as Json;
  change(json);
  writeFileSync(path, JSON.stringify(json));
  return { place };
}
// biome-ignore lint/suspicious/noExplicitAny: JSON of other programs
type Json = any;

/** Files that say another hook: in their JSON, or in the path where only that says it. */
function elsewhere(copy: Copy, hook: string): Mistake | undefined {
  const { format, place, sae } = copy;
  const right = String(sae.config.metadata.hook_name);
  const said = replaceText(copy, right, hook);
  if (said) return said;
  const [, layer, name] = /^blocks\.(\d+)\.(.*)$/.exec(hook)!;
  if (format === 'dictionary-learning')
    return setJson(copy, 'config.json', ({ trainer }: Json) => {
      trainer.layer = Number(layer);
      trainer.submodule_name = `${name!.replace('hook_', '')}_layer_${layer}`;
    });
  if (format === 'circuit-tracer' && name === 'hook_mlp_out') {
    const path = join(dirname(place), 'config.yaml');
    writeFileSync(path, readFileSync(path, 'utf8').replace(/(?<=feature_input_hook: ).*/, name));
    return { place };
  }
  // SAEs of one place, of which the file's name has the layer.
  const named = { 'qwen-scope': /(?<=layer)\d+/, goodfire: /(?<=-l)\d+/, 'circuit-tracer': /(?<=layer_)\d+/ };
  if (format in named) {
    if (name === 'hook_mlp_out') return undefined;
    const to = join(dirname(place), basename(place).replace(named[format as keyof typeof named], layer!));
    renameSync(place, to);
    return { place: to };
  }
  const from = format === 'openai' ? dirname(dirname(place)) : dirname(place);
  // A transcoder of Gemma Scope reads where its kind does.
  if (name === 'hook_mlp_out' && basename(from) === 'transcoder') return undefined;
  const places = { openai: 'resid_delta_mlp_v5', 'gemma-scope': 'mlp_out' } as Record<string, string>;
  const to = name === 'hook_mlp_out' ? join(dirname(from), places[format]!) : from;
  if (to !== from) renameSync(from, to);
  const moved = place.replace(from, to);
  const last = basename(moved).replace(/(?<=^|layer_)\d+/, layer!);
  renameSync(moved, join(dirname(moved), last));
  return { place: join(dirname(moved), last) };
}

const isTranscoder = (sae: Sae): boolean => sae.config.Dout !== undefined;
const flipped = (sae: Sae): Sae => ({
  ...sae,
  config: { ...sae.config, subtractDecoderBias: sae.config.subtractDecoderBias === false } as Sae['config'],
});
const rewritten = async ({ fresh, write }: Copy, sae: Sae): Promise<Mistake> => ({
  place: await write(fresh, sae),
});
const threshold = 'jump_relu_threshold';

/** Undefined where the kind or the format has nothing that could go wrong in this way. */
export const mistakes: Record<
  string,
  (copy: Copy, hooks: Record<string, string>) => Promise<Mistake | undefined>
> = {
  // The bytes of [D,F] under [F,D], or the other way round.
  transposed: (copy) => patch(copy, 'W_enc', (stored, { shape: [a, b] }) => transpose(stored, a!, b!)),
  async 'b_dec flag flipped'(copy) {
    const { sae, format, place } = copy;
    const { D, architecture } = sae.config;
    // A transcoder has no flag: its bias is that of an encoder that read x - b_dec.
    if (isTranscoder(sae))
      return await patch(copy, 'b_enc', (b_enc) =>
        b_enc.map((b, f) => {
          let sum = b;
          for (let d = 0; d < D; d++) sum -= sae.b_dec[d]! * sae.W_enc[f * D + d]!;
          return sum;
        }),
      );
    if (format === 'saelens')
      return setJson(copy, 'cfg.json', (json) => {
        json.apply_b_dec_to_input = !json.apply_b_dec_to_input;
      });
    // AutoEncoder and AutoEncoderNew.
    if (format === 'dictionary-learning' && architecture === 'relu')
      return await rewritten(copy, flipped(sae));
    return { place, inMemory: flipped };
  },
  async 'threshold dropped'(copy) {
    if (!copy.sae.threshold) return undefined;
    if (copy.format === 'llama-scope')
      return setJson(copy, 'hyperparams.json', (json) => {
        json[threshold] = 0;
      });
    return await patch(copy, 'threshold', (stored, { changed }) => stored.map(() => (changed ? -80 : 0)));
  },
  async 'log threshold not exponentiated'(copy) {
    if (!copy.sae.threshold) return undefined;
    if (copy.format === 'llama-scope')
      return setJson(copy, 'hyperparams.json', (json) => {
        json[threshold] = Math.log(json[threshold]);
      });
    // Where the format has logarithms only who reads them can forget it.
    if (copy.format === 'llamascopium')
      return { place: copy.place, inMemory: (sae) => ({ ...sae, threshold: sae.threshold!.map(Math.log) }) };
    return await patch(copy, 'threshold', (stored) => stored.map(Math.log));
  },
  async 'BatchTopK as ReLU'({ sae, format, fresh }) {
    const { architecture, D, F, metadata } = sae.config;
    if (architecture !== 'batchtopk' && architecture !== 'matryoshka') return undefined;
    await saveSae(
      folderWriter(fresh),
      { ...sae, config: { D, F, metadata, architecture: 'relu' } },
      { format },
    );
    return { place: fresh };
  },
  'wrong hook': async (copy, hooks) => elsewhere(copy, hooks['wrong hook']!) ?? { place: copy.place },
  'layer off by one': async (copy, hooks) => elsewhere(copy, hooks['layer off by one']!),
  // x' and xhat' are both sqrt(D / (D - 1)) off: 0.3 % at D 192, 0.2 % at 288.
  async 'biased std'(copy) {
    const { D, inputNorm } = copy.sae.config;
    if (inputNorm !== 'layer') return undefined;
    const factor = Math.sqrt(D / (D - 1));
    await patch(copy, 'W_enc', (w) => scaled(w, factor));
    await patch(copy, 'W_dec', (w) => scaled(w, 1 / factor));
    return await patch(copy, 'b_dec', (b) => scaled(b, 1 / factor));
  },
  async 'norm factor not folded'(copy) {
    if (copy.format === 'llama-scope')
      return setJson(copy, 'hyperparams.json', ({ dataset_average_activation_norm: norm }) => {
        norm.in *= 3;
        norm.out *= 3;
      });
    await patch(copy, 'W_enc', (w) => scaled(w, 1 / 3));
    await patch(copy, 'W_dec', (w) => scaled(w, 3));
    return await patch(copy, 'b_dec', (b) => scaled(b, 3));
  },
  async 'bf16 threshold'(copy) {
    const { sae } = copy;
    if ('threshold' in sae.config) {
      const [one] = rounded(Float32Array.of(sae.config.threshold));
      return await rewritten(copy, { ...sae, config: { ...sae.config, threshold: one! } });
    }
    if (!sae.threshold) return undefined;
    if (copy.format === 'llama-scope')
      return setJson(copy, 'hyperparams.json', (json) => {
        [json[threshold]] = rounded(Float32Array.of(json[threshold]));
      });
    return await patch(copy, 'threshold', rounded);
  },
  async 'decoder norm not folded'(copy) {
    const rng = createRng('norms');
    const norms = Array.from({ length: copy.sae.config.F }, () => Math.exp(0.7 * rng.normal()));
    return await patch(copy, 'W_dec', (w, { latentOf }) => w.map((v, i) => v * norms[latentOf(i)]!));
  },
  // The files are right: the activations are of another model.
  'wrong model': async ({ place, sae }) => ({
    place,
    rows: (x) => otherBasis(x, sae.config.D, 'another model'),
  }),
};
