/**
 * A GGUF file (llama.cpp, Ollama) as a Hugging Face folder: config.json, tokenizer.json, and model.safetensors in float32. Everything
 * small is made and checked here, before a byte of the weights is read; the weights come piece by piece.
 */
import { dequantize, type Gguf, readGguf } from '../../formats/index.ts';
import { type ByteFolder, type ByteSource, type Conversion, fromBytes } from '../../platform/index.ts';
import { findFamily } from '../families/registry.ts';
import { openModelFolder } from '../hf-folder.ts';
import { type Architecture, architectureOf, isSupported, type Json, llama3Scaling } from './architectures.ts';
import { metadataOf } from './metadata.ts';
import { type GgufTokenizer, ggufTokenizer } from './tokenizer.ts';
import { isRead, planWeights, type WeightsFile } from './weights.ts';

/** Of general.file_type, those that people know by a name of their own; other files are called by the types of their matrices. */
const MIXED: Readonly<Record<number, string>> = {
  11: 'Q3_K_S',
  12: 'Q3_K_M',
  13: 'Q3_K_L',
  14: 'Q4_K_S',
  15: 'Q4_K_M',
  16: 'Q5_K_S',
  17: 'Q5_K_M',
};

/** Types of tensors whose every value float32 holds. */
const EXACT: readonly string[] = ['F32', 'F16', 'BF16'];

export type GgufModel = {
  /** How the weights are stored in the file: `Q4_1`, `Q4_0 with F16`. */
  readonly type: string;
  /** For people, wherever results are shown; undefined when float32 holds every weight as it was. */
  readonly quantization: string | undefined;
  /** Tensors that only images need; they are left out. */
  readonly forImages: number;
  /** Small files by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly weights: WeightsFile;
};

/**
 * How the matrices are stored, quantised types first, those of more elements before others. One quantised matrix makes a model quantised,
 * however large an exact embedding is.
 */
export function storedType(file: Gguf, architecture?: Architecture): { type: string; exact: boolean } {
  const elements = new Map<string, number>();
  for (const { name, type, shape } of file.tensors.values())
    if (shape.length > 1 && isRead(name, architecture))
      elements.set(type, (elements.get(type) ?? 0) + shape.reduce((product, n) => product * n, 1));
  const types = [...elements].sort((a, b) => b[1] - a[1]).map(([type]) => type);
  const exact = types.filter((type) => EXACT.includes(type));
  const quantised = types.filter((type) => !EXACT.includes(type));
  if (quantised.length === 0) return { type: exact.join(' and ') || 'F32', exact: true };
  const mixed = MIXED[metadataOf(file).count('general.file_type', 0)];
  const list = (some: readonly string[]) =>
    (some.length > 3 ? [...some.slice(0, 2), `${some.length - 2} more`] : some).join(' and ');
  const named = exact.length === 0 ? list(quantised) : `${list(quantised)} with ${list(exact)}`;
  return { type: mixed ?? named, exact: false };
}

/** Opens what would be written, header only, and builds the model's graph over it: throws when a tensor is missing or has another shape. */
async function check(
  files: ReadonlyMap<string, Uint8Array>,
  weights: WeightsFile,
  name: string,
): Promise<void> {
  const { value: header } = await weights.chunks().next();
  const source: ByteSource = {
    byteLength: weights.byteLength,
    slice: async (start, end) => (header as Uint8Array).subarray(start, end),
  };
  const folder: ByteFolder = {
    name,
    has: async (file) => file === 'model.safetensors' || files.has(file),
    open: async (file) => (file === 'model.safetensors' ? source : fromBytes(files.get(file)!)),
  };
  const model = await openModelFolder(folder);
  const family = findFamily(model.config, name);
  family.build(family.parse(model.config, model.weights), model.weights);
}

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** All of `convertGguf` that can be refused, once the header is read: without the tokenizer's files. */
async function plan(
  file: Gguf,
  name: string,
  origin: Readonly<Record<string, string>>,
): Promise<GgufModel & { readonly tokenizer: GgufTokenizer | undefined }> {
  try {
    const metadata = metadataOf(file);
    const parts = metadata.count('split.count', 1);
    if (parts > 1)
      throw new Error(
        `one of ${parts} parts of a model; join them first with llama.cpp's llama-gguf-split --merge`,
      );
    const { name: prefix, architecture } = architectureOf(metadata);
    const config: Json = architecture.config(metadata, prefix, file);
    const factors = file.tensors.get('rope_freqs.weight');
    if (factors && file.tensors.has('blk.0.attn_q.weight')) {
      const values = new Float32Array(factors.shape.reduce((product, n) => product * n, 1));
      dequantize(factors.type, await file.source.slice(factors.start, factors.end), values);
      const stated = metadata.count(`${prefix}.rope.scaling.original_context_length`, 8192);
      config.rope_scaling = llama3Scaling(values, config.rope_theta as number, [stated, 8192]);
    }
    const tokenizer = ggufTokenizer(metadata, prefix, config.vocab_size as number);
    const ends = {
      bos_token_id: tokenizer?.bos ?? null,
      eos_token_id: tokenizer?.eos.length === 1 ? tokenizer.eos[0] : (tokenizer?.eos ?? null),
    };
    const files = new Map([
      [
        'config.json',
        json({
          ...config,
          torch_dtype: 'float32',
          bos_token_id: ends.bos_token_id,
          eos_token_id: tokenizer?.eos[0] ?? null,
        }),
      ],
      ['generation_config.json', json(ends)],
    ]);
    const { type, exact } = storedType(file, architecture);
    const quantization = exact ? undefined : `${type}, dequantised to float32`;
    const weights = planWeights(file, architecture, config, {
      format: 'pt',
      ...(quantization === undefined ? {} : { quantization }),
      ...origin,
    });
    await check(files, weights, name);
    const forImages = [...file.tensors.keys()].filter((tensor) => architecture.images?.test(tensor)).length;
    return { type, quantization, forImages, files, weights, tokenizer };
  } catch (error) {
    const { message } = error as Error;
    throw message.startsWith(name) ? error : new Error(`${name}: ${message}`, { cause: error });
  }
}

/**
 * Reads a GGUF file's header and prepares the folder that stands for it.
 *
 * @param origin put into the weights' metadata: which file they are from (so two quantisations of a model have two hashes)
 * @throws when the header is damaged, or architecture, tokenizer or a tensor type is not supported; nothing has been written then
 */
export async function convertGguf(
  source: ByteSource,
  name: string,
  origin: Readonly<Record<string, string>> = {},
): Promise<GgufModel> {
  const { files, tokenizer, ...model } = await plan(await readGguf(source, name), name, origin);
  const more: [string, Uint8Array][] = tokenizer
    ? [
        ['tokenizer.json', json(tokenizer.tokenizer)],
        ['tokenizer_config.json', json(tokenizer.config)],
      ]
    : [];
  return { ...model, files: new Map([...files, ...more]) };
}

/** What a GGUF file holds, for lists, from its header alone, and why `convertGguf` would refuse it, if it would. */
export async function ggufSummary(
  source: ByteSource,
  name: string,
): Promise<{ readonly architecture: string; readonly type: string; readonly problem?: string }> {
  const file = await readGguf(source, name);
  const architecture = metadataOf(file).text('general.architecture') ?? 'unknown';
  if (!isSupported(architecture))
    return { architecture, type: storedType(file).type, problem: 'architecture not supported' };
  try {
    return { architecture, type: (await plan(file, name, {})).type };
  } catch (error) {
    const problem = (error as Error).message.replace(`${name}: `, '');
    return { architecture, type: storedType(file).type, problem };
  }
}

/** For the platform's cache of converted models. */
export const ggufConversion: Conversion = {
  version: 3,
  async convert(source, name, sha256) {
    const { type, forImages, files, weights } = await convertGguf(source, name, { source_sha256: sha256 });
    const rest = forImages === 0 ? '' : `, without its ${forImages} tensors for images`;
    return { files, large: { file: 'model.safetensors', ...weights }, note: `GGUF ${type}${rest}` };
  },
};
