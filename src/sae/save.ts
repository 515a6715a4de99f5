/** Writes an SAE in one of the formats that are written (formats/registry.ts); SAELens's unless another is named. */
import type { FolderWriter } from '../store/types.ts';
import { checkSae, describeSae } from './check.ts';
import type { Format } from './formats/format.ts';
import { type FormatName, formats, writtenFormats } from './formats/registry.ts';
import type { Sae } from './types.ts';

export { CFG_FILE, WEIGHTS_FILE } from './formats/saelens-write.ts';

export type SaveOptions = { readonly format?: FormatName; readonly signal?: AbortSignal };

/**
 * Writes an SAE into a folder; each file is there whole or not at all.
 *
 * @param folder in Node `folderWriter(path)` of the store, or a run folder's `writer`
 * @throws when arrays do not fit the config or hold NaN, when the format has no place for what the SAE does, and StorageFull on a full disk
 */
export async function saveSae(
  folder: FolderWriter,
  sae: Sae,
  { format = 'saelens', signal }: SaveOptions = {},
): Promise<void> {
  checkSae(sae);
  const { write, title } = formats[format] as Format;
  if (!write) throw new Error(`${title} is read, not written. Written are ${writtenFormats.join(', ')}.`);
  if (sae.config.places !== undefined)
    throw new Error(
      `${describeSae(sae.config)}: a layer of a cross-layer transcoder is read, not written: no format here has a place for it.`,
    );
  await write(sae, folder, signal);
}
