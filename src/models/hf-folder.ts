/**
 * A Hugging Face model folder: config.json and one or many safetensors files. Nothing is copied or converted: tensors are
 * found by name and stay where they are. Files may be symlinks (they are, in the hub cache) and the folder read-only.
 */
import { readSafetensors, type Safetensors, type TensorEntry } from '../formats/index.ts';
import type { ByteFolder, ByteSource } from '../platform/index.ts';
import { leastFar } from '../shared/nearest.ts';
import { sha256 } from './sha256.ts';
import { hashWeights } from './weights-hash.ts';

/** A tensor and the file, by index, that holds it. */
export type LocatedTensor = TensorEntry & { readonly file: number };

export type ModelWeights = {
  readonly files: readonly Safetensors[];
  readonly sources: readonly ByteSource[];
  readonly tensors: ReadonlyMap<string, LocatedTensor>;
  /** Throws when the tensor is missing or its shape is another; the message names both shapes. */
  find(name: string, shape: readonly number[]): LocatedTensor;
};

export type ModelFolder = {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly generationConfig: Readonly<Record<string, unknown>>;
  readonly weights: ModelWeights;
  readonly hash: string;
  close(): Promise<void>;
};

/** No config or index is near this; a larger one is not what its name says. */
const MAX_JSON_BYTES = 64 * 1024 * 1024;

/** Reads a small file of the folder whole, or undefined when there is no such file. */
export async function readBytes(
  folder: ByteFolder,
  file: string,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (!(await folder.has(file))) return undefined;
  const source = await folder.open(file);
  try {
    if (source.byteLength > MAX_JSON_BYTES)
      throw new Error(
        `${folder.name}/${file} has ${source.byteLength} bytes; expected at most ${MAX_JSON_BYTES}`,
      );
    return new Uint8Array(await source.slice(0, source.byteLength));
  } finally {
    await source.close?.();
  }
}

/** Reads a JSON object of the folder, or undefined when there is no such file. */
export async function readJson(
  folder: ByteFolder,
  file: string,
): Promise<Record<string, unknown> | undefined> {
  const bytes = await readBytes(folder, file);
  if (!bytes) return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new Error('not a JSON object');
    return value as Record<string, unknown>;
  } catch (error) {
    throw new Error(`${folder.name}/${file}: ${(error as Error).message}`);
  }
}

/** Which files hold the weights: the shards that the index names, or model.safetensors. */
async function weightFiles(
  folder: ByteFolder,
): Promise<{ files: string[]; map: Map<string, string> | undefined }> {
  const index = await readJson(folder, 'model.safetensors.index.json');
  if (index) {
    const map = new Map(Object.entries((index.weight_map ?? {}) as Record<string, string>));
    if (map.size === 0) throw new Error(`${folder.name}/model.safetensors.index.json has no weight_map`);
    for (const file of map.values()) {
      if (typeof file !== 'string' || /[/\\]|^\.\.?$/.test(file))
        throw new Error(
          `${folder.name}/model.safetensors.index.json names a weight file ${JSON.stringify(file)}; expected a plain file name`,
        );
    }
    return { files: [...new Set(map.values())].sort(), map };
  }
  if (await folder.has('model.safetensors')) return { files: ['model.safetensors'], map: undefined };
  if (await folder.has('pytorch_model.bin')) {
    throw new Error(
      `${folder.name} has only pytorch_model.bin. Weights are read from safetensors: save the model again with safe_serialization=True.`,
    );
  }
  for (const file of ['onnx/model.onnx', 'model.onnx'])
    if (await folder.has(file))
      throw new Error(
        `${folder.name} has no safetensors, but ${file}. Name that file: ${folder.name}/${file}`,
      );
  throw new Error(
    `${folder.name} has no weights: expected model.safetensors or model.safetensors.index.json. Download the folder again.`,
  );
}

async function openWeights(
  folder: ByteFolder,
  opened: ByteSource[],
): Promise<{ weights: ModelWeights; names: string[] }> {
  const { files: names, map } = await weightFiles(folder);
  const missing = [];
  for (const name of names) if (!(await folder.has(name))) missing.push(name);
  if (missing.length > 0) {
    throw new Error(
      `${folder.name}: ${missing.length} of ${names.length} weight files are missing: ${missing.join(', ')}. Download the folder again.`,
    );
  }
  const files: Safetensors[] = [];
  for (const name of names) {
    const source = await folder.open(name);
    opened.push(source);
    files.push(await readSafetensors(source, `${folder.name}/${name}`));
  }
  const tensors = new Map<string, LocatedTensor>();
  files.forEach((file, index) => {
    for (const entry of file.tensors.values()) {
      // The index decides where a name lives when two shards hold it.
      if (map && map.get(entry.name) !== names[index]) continue;
      tensors.set(entry.name, { ...entry, file: index });
    }
  });
  for (const [tensor, file] of map ?? []) {
    if (!tensors.has(tensor))
      throw new Error(
        `${folder.name}: the index puts tensor ${tensor} into ${file}, which does not hold it. Download the folder again.`,
      );
  }
  return {
    names,
    weights: {
      files,
      sources: opened,
      tensors,
      find(name, shape) {
        const tensor = tensors.get(name);
        if (!tensor) {
          throw new Error(
            `${folder.name}: tensor ${name} is missing; expected [${shape.join(', ')}]. Nearest names: ${leastFar(name, [...tensors.keys()]).join(', ') || 'none'}.`,
          );
        }
        if (tensor.shape.length !== shape.length || shape.some((n, i) => n !== tensor.shape[i])) {
          throw new Error(
            `${folder.name}: tensor ${name} is [${tensor.shape.join(', ')}], expected [${shape.join(', ')}] from config.json`,
          );
        }
        return tensor;
      },
    },
  };
}

/** See shared/model-hash.ts. */
async function hashModel(
  config: Uint8Array,
  names: readonly string[],
  files: readonly Safetensors[],
): Promise<string> {
  const parts = [config];
  files.forEach((file, i) => {
    parts.push(new TextEncoder().encode(`\n${names[i]} ${file.source.byteLength}\n`), file.header);
  });
  const bytes = await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer();
  const spans = files.flatMap(({ source, tensors }) =>
    [...tensors.values()].map(({ start, end }) => ({ source, start, end })),
  );
  return `${await sha256(new Uint8Array(bytes))}-${await hashWeights(spans)}`;
}

/**
 * Opens a model folder and checks every weight file's header.
 *
 * @throws when config.json or a weight file is missing, truncated or inconsistent
 */
export async function openModelFolder(folder: ByteFolder): Promise<ModelFolder> {
  const config = await readJson(folder, 'config.json');
  if (!config)
    throw new Error(
      `${folder.name} has no config.json: expected a Hugging Face model folder (config.json, *.safetensors, tokenizer.json)`,
    );
  const opened: ByteSource[] = [];
  const close = async () => {
    for (const source of opened) await source.close?.();
  };
  try {
    const { weights, names } = await openWeights(folder, opened);
    const configSource = await folder.open('config.json');
    const configBytes = await configSource.slice(0, configSource.byteLength);
    await configSource.close?.();
    return {
      name: folder.name,
      config,
      generationConfig: (await readJson(folder, 'generation_config.json')) ?? {},
      weights,
      hash: await hashModel(configBytes, names, weights.files),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
