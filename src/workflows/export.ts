/** `saekit export`: a model as an ONNX file for other programs, in a folder that transformers.js opens. */
import { rename, rm, rmdir } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { HubAccess } from '../hub/types.ts';
import { type ExportedFiles, writePlainModel } from '../models/export/write.ts';
import { openLocation, openModelGraph } from '../models/open.ts';
import { UsageError } from '../shared/errors.ts';
import { folderWriter } from '../store/index.ts';
import { requireNewFolder } from './new-folder.ts';

export type ExportOptions = HubAccess & {
  /** Model folder, GGUF file, or org/name[@revision] of the hub. */
  readonly model: string;
};

export type Exported = ExportedFiles & {
  readonly model: string;
  readonly family: string;
  readonly layers: number;
  readonly contextLength: number;
};

/**
 * Writes the folder `out` whole or not at all.
 *
 * @throws UsageError when `out` is not empty; for a model that is an ONNX file already, is an encoder, or has angles that change with the
 *   length of the text; StorageFull on a full disk
 */
export async function exportModel(out: string, { model, ...access }: ExportOptions): Promise<Exported> {
  const { signal, onDownload } = access;
  signal?.throwIfAborted();
  await requireNewFolder(out);
  const folder = await openLocation(model, access);
  if (folder.file?.endsWith('.onnx'))
    throw new UsageError(`${model} is an ONNX file already. Name the model's own folder, with safetensors.`);
  const opened = await openModelGraph(folder, access);
  // Beside the folder, so that it appears by one rename.
  const temporary = `${resolve(out)}.tmp-${process.pid}`;
  try {
    const name = `${basename(opened.files.name)}: weights`;
    const written = await writePlainModel(folder, opened, folderWriter(temporary), {
      onProgress: ({ done, total }) => onDownload?.({ name, done, total }),
      ...(signal ? { signal } : {}),
    });
    signal?.throwIfAborted();
    // An empty folder gives way.
    await rmdir(out).catch(() => undefined);
    await rename(temporary, out);
    const { family, layers, contextLength } = opened.spec;
    return { ...written, model, family, layers, contextLength };
  } finally {
    await rm(temporary, { recursive: true, force: true });
    await opened.files.close();
  }
}
