/**
 * `org/name[@revision]` -> the folder of a model in the cache. Fetched is what is read: config, tokenizer, chat template, and the weights
 * as safetensors, one file or the shards that the index names; no second copy of them in another format.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HubError } from './errors.ts';
import { openSnapshot, type Selection } from './snapshot.ts';
import type { HubAccess, HubFile, HubId, Snapshot } from './types.ts';

const CONFIG = 'config.json';
const INDEX = 'model.safetensors.index.json';
const SINGLE = 'model.safetensors';
const BESIDE = ['generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'];

function shardsOf(index: string, name: string): string[] {
  try {
    const { weight_map: map } = JSON.parse(index) as { weight_map: Record<string, string> };
    return [...new Set(Object.values(map))].sort();
  } catch (error) {
    throw new HubError(`${name}/${INDEX}: ${(error as Error).message}`);
  }
}

const selectionOf = ({ name }: HubId): Selection => ({
  recursive: false,
  async choose(files, read) {
    const has = new Map(files.map((file) => [file.path, file]));
    if (!has.has(CONFIG))
      throw new HubError(
        `${name} has no ${CONFIG}, so it is no model that can be read here. It holds ${
          files
            .slice(0, 5)
            .map(({ path }) => path)
            .join(', ') || 'nothing'
        }.${files.some(({ path }) => path.endsWith('.gguf')) ? ' Download one of its GGUF files and give the path of it.' : ''}`,
      );
    const weights = has.has(INDEX) ? [INDEX, ...shardsOf(await read(INDEX), name)] : [SINGLE];
    const missing = weights.filter((path) => !has.has(path));
    if (missing.length > 0)
      throw new HubError(
        `${name} has no ${missing.join(', ')}. Weights are read from safetensors; a repository that holds other formats only must be converted first.`,
      );
    return [CONFIG, ...BESIDE, ...weights].flatMap((path) => has.get(path) ?? []);
  },
  async cached(find, snapshot) {
    const index = await readFile(join(snapshot, INDEX), 'utf8').catch(() => undefined);
    const needed = [CONFIG, ...(index === undefined ? [SINGLE] : [INDEX, ...shardsOf(index, name)])];
    const found: HubFile[] = [];
    for (const path of [...needed, ...BESIDE]) {
      const file = await find(path);
      if (file) found.push(file);
      else if (needed.includes(path)) return undefined;
    }
    return found;
  },
});

/**
 * Brings a model into the cache, or finds it there.
 *
 * @throws HubError when there is no such model or revision (the nearest are named), it is gated, or the hub is not reached and the cache does not have it
 */
export const openHubModel = (id: HubId, access?: HubAccess): Promise<Snapshot> =>
  openSnapshot(id, selectionOf(id), access);
