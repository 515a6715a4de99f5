/** What models are on this disk: those of Ollama, llama.cpp and the Hugging Face cache, and what was converted from GGUF files. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type LocalModel, localModels } from '../hub/index.ts';
import { ggufSummary } from '../models/gguf/convert.ts';
import { openModelGraph } from '../models/open.ts';
import { convertedRoot } from '../platform/converted.ts';
import { getPlatform } from '../platform/index.ts';
import { openFile } from '../platform/node.ts';

export type ListedModel = LocalModel & {
  /** Its architecture; empty when the file does not say. */
  readonly architecture: string;
  /** How the weights are stored: `Q4_1`, `safetensors`. */
  readonly weights: string;
  /** Why it cannot be opened, as far as a header shows. */
  readonly problem?: string;
};

export type ModelList = {
  readonly models: readonly ListedModel[];
  /** GGUF files that were written out in float32: deleting the folder only costs the time to do it again. */
  readonly converted: { readonly folder: string; readonly count: number; readonly bytes: number };
};

async function describe(model: LocalModel): Promise<ListedModel> {
  try {
    if (!(await stat(model.path)).isFile()) {
      const config = JSON.parse(await readFile(join(model.path, 'config.json'), 'utf8'));
      const found = { ...model, architecture: String(config.model_type ?? ''), weights: 'safetensors' };
      const folder = { ...(await getPlatform().openFolder(model.path)), name: model.argument };
      const problem = await openModelGraph(folder).then(
        ({ files }) => files.close(),
        (error: Error) => error.message.replace(`${model.argument}: `, ''),
      );
      return { ...found, ...(problem === undefined ? {} : { problem }) };
    }
    const source = await openFile(model.path);
    try {
      const { type, ...found } = await ggufSummary(source, model.argument);
      return { ...model, ...found, weights: type };
    } finally {
      await source.close?.();
    }
  } catch (error) {
    return { ...model, architecture: '', weights: '', problem: (error as Error).message };
  }
}

async function convertedModels(): Promise<ModelList['converted']> {
  const folder = convertedRoot();
  let [count, bytes] = [0, 0];
  for (const name of await readdir(folder).catch(() => [])) {
    if (name === 'seen') continue;
    count++;
    for (const file of await readdir(join(folder, name)).catch(() => []))
      bytes += (await stat(join(folder, name, file)).catch(() => ({ size: 0 }))).size;
  }
  return { folder, count, bytes };
}

/** Models that `openModel` and the commands take without a download, by the argument that means them. */
export async function listModels(options: { readonly signal?: AbortSignal } = {}): Promise<ModelList> {
  options.signal?.throwIfAborted();
  const models: ListedModel[] = [];
  for (const model of await localModels()) {
    options.signal?.throwIfAborted();
    models.push(await describe(model));
  }
  const converted = await convertedModels();
  options.signal?.throwIfAborted();
  return { models, converted };
}
