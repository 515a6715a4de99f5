/** `saekit export`: a model as an ONNX file for other programs, in a folder that transformers.js opens. */
import { rename, rm, rmdir } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { Graph } from '../graph/index.ts';
import type { HubAccess } from '../hub/types.ts';
import { bakeInterventions } from '../models/export/bake.ts';
import { type ExportedFiles, writePlainModel } from '../models/export/write.ts';
import { openLocation, openModel, openModelGraph } from '../models/open.ts';
import type { ByteFolder } from '../platform/types.ts';
import { describeSae, type Sae } from '../sae/index.ts';
import { UsageError } from '../shared/errors.ts';
import { type InterventionSpec, steer } from '../steer/index.ts';
import { folderWriter } from '../store/index.ts';
import { requireNewFolder } from './new-folder.ts';

export type ExportOptions = HubAccess & {
  /** Model folder, GGUF file, or org/name[@revision] of the hub. */
  readonly model: string;
  /** Changes that become part of the model. */
  readonly interventions?: readonly InterventionSpec[];
  /** Weights as the model stores them, or all as float32 (the default). */
  readonly dtype?: 'stored' | 'float32';
};

export type Exported = ExportedFiles & {
  readonly model: string;
  readonly family: string;
  readonly layers: number;
  readonly contextLength: number;
  /** Hooks that are changed. */
  readonly changed: readonly string[];
};

/** What was baked in, beside the model. */
const STEERING_FILE = 'steering.json';

/**
 * Writes the folder `out` whole or not at all.
 *
 * @throws what `steer` throws; UsageError when `out` is not empty; for a model that is an ONNX file already, is an encoder, or has angles that change with the
 *   length of the text; StorageFull on a full disk
 */
export async function exportModel(
  out: string,
  { model, interventions = [], dtype = 'float32', ...access }: ExportOptions,
): Promise<Exported> {
  const { signal, onDownload } = access;
  signal?.throwIfAborted();
  await requireNewFolder(out);
  const folder = await openLocation(model, access);
  if (folder.file?.endsWith('.onnx'))
    throw new UsageError(`${model} is an ONNX file already. Name the model's own folder, with safetensors.`);
  const steering = interventions.length > 0 ? await baked(folder, interventions, access) : undefined;
  const opened = await openModelGraph(folder, access);
  // Beside the folder, so that it appears by one rename.
  const temporary = `${resolve(out)}.tmp-${process.pid}`;
  try {
    const name = `${basename(opened.files.name)}: weights`;
    const writer = folderWriter(temporary);
    const written = await writePlainModel(folder, opened, writer, {
      dtype,
      onProgress: ({ done, total }) => onDownload?.({ name, done, total }),
      ...(steering ? { change: steering.change } : {}),
      ...(signal ? { signal } : {}),
    });
    if (steering) await writer.write(STEERING_FILE, [steering.record], steering.record.length);
    signal?.throwIfAborted();
    // An empty folder gives way.
    await rmdir(out).catch(() => undefined);
    await rename(temporary, out);
    const { family, layers, contextLength } = opened.spec;
    const files = steering ? [...written.files, STEERING_FILE] : written.files;
    return {
      ...{ model, family, layers, contextLength, files, weightBytes: written.weightBytes },
      changed: steering?.hooks ?? [],
    };
  } finally {
    await rm(temporary, { recursive: true, force: true });
    await opened.files.close();
  }
}

/** What is done to the graph, and how it is recorded. */
async function baked(folder: ByteFolder, specs: readonly InterventionSpec[], access: HubAccess) {
  const model = await openModel(folder, access);
  try {
    const { hooks, info } = model;
    const interventions = await steer(model, specs, access).catch((error: Error) => {
      if (access.signal?.aborted) throw error;
      throw new UsageError(error.message);
    });
    const name = folder.origin ? info.name : basename(info.name);
    const record = { model: { name, hash: info.hash }, interventions: specs.map(recorded) };
    return {
      change: (graph: Graph) => bakeInterventions(graph, hooks, interventions),
      hooks: [...new Set(interventions.map(({ writes }) => writes))],
      record: new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`),
    };
  } finally {
    await model.close();
  }
}

/** Without paths of this machine. */
function recorded({ sae, vector, when, ...rest }: InterventionSpec): Record<string, unknown> {
  const named = (one: Sae) => ({
    kind: describeSae(one.config),
    hook: one.config.metadata.hook_name ?? null,
  });
  const { sae: looked, ...condition } = when ?? {};
  return {
    ...(sae ? { sae: named(sae) } : {}),
    ...(vector ? { vector: [...vector] } : {}),
    ...rest,
    ...(when ? { when: { ...(looked ? { sae: named(looked) } : {}), ...condition } } : {}),
  };
}
