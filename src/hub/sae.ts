/** `org/name[@revision]` -> the folder of an SAE in SAELens's format in the cache, with run.json where the repository has one. */
import { HubError } from './errors.ts';
import { openSnapshot, type Selection } from './snapshot.ts';
import type { HubAccess, HubFile, HubId, Snapshot } from './types.ts';

const NEEDED = ['cfg.json', 'sae_weights.safetensors'];
const BESIDE = ['run.json'];

const selectionOf = ({ name }: HubId): Selection => ({
  recursive: false,
  async choose(files) {
    const has = new Map(files.map((file) => [file.path, file]));
    const missing = NEEDED.filter((path) => !has.has(path));
    if (missing.length > 0)
      throw new HubError(
        `${name} has no ${missing.join(' and no ')} at its top, so it is no SAE that can be read here. It holds ${[...has.keys()].slice(0, 5).join(', ') || 'nothing'}.`,
      );
    return [...NEEDED, ...BESIDE].flatMap((path) => has.get(path) ?? []);
  },
  async cached(find) {
    const found: HubFile[] = [];
    for (const path of [...NEEDED, ...BESIDE]) {
      const file = await find(path);
      if (file) found.push(file);
      else if (NEEDED.includes(path)) return undefined;
    }
    return found;
  },
});

/**
 * Brings an SAE into the cache, or finds it there.
 *
 * @throws HubError as `openHubModel` does
 */
export const openHubSae = (id: HubId, access?: HubAccess): Promise<Snapshot> =>
  openSnapshot(id, selectionOf(id), access);
