/**
 * What `saekit harvest` makes at a path:
 *
 *     one hook       PATH/manifest.json …           PATH/heldout/manifest.json …
 *     several hooks  PATH/HOOK/manifest.json …      PATH/HOOK/heldout/manifest.json …
 */
import { join } from 'node:path';
import type { ActivationsManifest } from '../../shared/activations.ts';
import { HELDOUT_FOLDER, readManifest } from './manifest.ts';
import { listFolder } from './sources/files.ts';

export type HarvestFolder = { readonly folder: string; readonly manifest: ActivationsManifest };

/** The folders of a path that have a manifest of ours, training rows before held-out ones; none when there is no such path. */
export async function harvestFolders(path: string): Promise<HarvestFolder[]> {
  const { folders } = await listFolder(path).catch(() => ({ folders: [] as string[] }));
  const hooks = folders.filter((name) => name !== HELDOUT_FOLDER);
  const found: HarvestFolder[] = [];
  for (const at of [path, ...hooks.map((name) => join(path, name))])
    for (const folder of [at, join(at, HELDOUT_FOLDER)]) {
      const manifest = await readManifest(folder);
      if (manifest) found.push({ folder, manifest });
    }
  return found;
}
