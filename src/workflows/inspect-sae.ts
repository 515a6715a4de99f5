/** What `saekit inspect` says of an SAE: kind and origin, what its weights look like, and whether it is what it says it is. */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { readTensors } from '../formats/index.ts';
import { parseSaeId } from '../hub/index.ts';
import type { HubAccess } from '../hub/types.ts';
import { openFile } from '../platform/node.ts';
import { TRANSCODER_FILE } from '../sae/formats/circuit-tracer.ts';
import { loadPlan } from '../sae/formats/format.ts';
import { LAYER_FILE } from '../sae/formats/gemma-scope-layers.ts';
import { formats, openSae, type SaeConfig, type SelfTest } from '../sae/index.ts';
import { crossLayerFiles } from '../shared/cross-layer-files.ts';
import { hubAccess } from './hub.ts';
import { requireSae } from './run-state.ts';
import { SAE_FOLDERS } from './sae-files.ts';
import { type SaeStatistics, saeStatistics } from './sae-statistics.ts';
import { type TestOn, testOn } from './self-test.ts';

export type SaeInspection = {
  readonly kind: 'sae';
  readonly format: string;
  readonly config: SaeConfig;
  /** What was assumed or folded when it was read. */
  readonly notes: readonly string[];
  readonly statistics: SaeStatistics;
  readonly test: SelfTest;
};

/**
 * Whether a path is to be taken for an SAE: a folder with the file that a format is known by, one of the files that such a folder has its weights
 * in, a .pt file, or a path within a repository of the hub.
 */
export function looksLikeSae(path: string, isFolder: boolean | undefined): boolean {
  if (isFolder === undefined)
    return /^(saelens|neuronpedia):/.test(path) || parseSaeId(path)?.path !== undefined;
  const within = (folder: string) => SAE_FOLDERS.filter(([known]) => existsSync(join(folder, known!)));
  if (isFolder) return within(path).length > 0;
  return (
    /\.(pt|pth)$/.test(path) ||
    path.endsWith('params.npz') ||
    (path.endsWith('.safetensors') && within(dirname(path)).some((files) => files.includes(basename(path))))
  );
}

/** Whether a file is a transcoder of one layer: the name may be that of activations, the tensors are not. */
export async function isTranscoderFile(path: string): Promise<boolean> {
  const name = basename(path);
  if (crossLayerFiles(name) || LAYER_FILE.test(name)) return true;
  if (!TRANSCODER_FILE.test(name)) return false;
  const source = await openFile(path);
  try {
    const { tensors } = await readTensors(source, path);
    return tensors.has('W_enc') && tensors.has('W_dec');
  } finally {
    await source.close?.();
  }
}

/** @throws as `loadSae` does */
export async function inspectSae(path: string, options: HubAccess & TestOn): Promise<SaeInspection> {
  await requireSae(path);
  const opened = await openSae(path, hubAccess(options));
  try {
    const sae = await loadPlan(opened.plan, opened.where, options.signal);
    return {
      kind: 'sae',
      format: formats[opened.format].title,
      config: sae.config,
      notes: opened.plan.notes,
      statistics: await saeStatistics(sae, options.signal),
      test: await testOn(sae, path, options),
    };
  } finally {
    await opened.close();
  }
}
