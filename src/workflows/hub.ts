/** What comes from the hub into a job: whom to tell of downloads, where an SAE of it lies, and which commits a run was made with. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { HubMissing, HubUnreachable, openHubSae, parseSaeId, resolveSaeName } from '../hub/index.ts';
import type { HubAccess } from '../hub/types.ts';
import type { OpenModelOptions } from '../models/index.ts';
import type { TrainConfig } from '../shared/config.ts';
import type { Device } from '../shared/device.ts';
import type { Provenance } from '../shared/run.ts';

/** The part of a job's options that downloads need. */
export const hubAccess = ({ signal, onDownload, onNote }: HubAccess): HubAccess => ({
  ...(signal ? { signal } : {}),
  ...(onDownload ? { onDownload } : {}),
  ...(onNote ? { onNote } : {}),
});

/** How a config wants its model opened. */
export const modelOptions = (
  { device, lowMemory }: { readonly device: Device; readonly lowMemory: boolean },
  access: HubAccess,
): OpenModelOptions => ({ ...hubAccess(access), device, mapped: lowMemory });

/** The folder or file of an SAE: a path, or the place in the cache of `org/name[@revision][/path]`. What is neither is given back: loading says so. */
export async function saeFolder(given: string, access?: HubAccess): Promise<string> {
  const { location } = await resolveSaeName(given, access);
  const id = parseSaeId(location);
  // A name in a folder that is there is a mistyped path.
  if (!id || existsSync(location) || existsSync(dirname(location))) return location;
  try {
    const { path, id: found } = await openHubSae(id, access);
    return found.path === undefined ? path : join(path, found.path);
  } catch (error) {
    if (error instanceof HubMissing || error instanceof HubUnreachable)
      error.message = `${location}: no such folder. ${error.message}`;
    throw error;
  }
}

/** A run's config with what came from the hub at the commits that it was made with; paths stay as they are. */
export function pinned(
  config: TrainConfig,
  { model, data }: Pick<Provenance, 'model' | 'data'>,
): TrainConfig {
  const commits = new Map<string, string>();
  for (const { path } of data) {
    const [, name, commit] = /^([^/]+\/[^/@]+)@([0-9a-f]{40})\//.exec(path) ?? [];
    if (name !== undefined && commit !== undefined) commits.set(name, commit);
  }
  const pin = (argument: string): string => {
    const [, name = '', rest = ''] = /^([^/]+\/[^/@:#=]+)(?:@[^:#=]+)?(.*)$/.exec(argument) ?? [];
    const commit = commits.get(name);
    return commit === undefined ? argument : `${name}@${commit}${rest}`;
  };
  return {
    ...config,
    ...(model?.commit === undefined ? {} : { model: `${model.name}@${model.commit}` }),
    ...(config.data ? { data: config.data.map(pin) } : {}),
    ...(config.heldout ? { heldout: config.heldout.map(pin) } : {}),
  };
}
