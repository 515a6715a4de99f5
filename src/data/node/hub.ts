/** Data sets of the Hugging Face hub as data files. */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  type HubAccess,
  HubMissing,
  HubUnreachable,
  openHubDataset,
  parseDatasetArgument,
} from '../../hub/index.ts';
import { type DataFile, KNOWN, kindOf, type ResolveData } from './paths.ts';

/**
 * Resolves `org/name[@revision][:config/split][#column]`. What has the ending of a data file, or begins with a folder that is here, is a
 * mistyped path and not asked for.
 */
export const resolveHubData =
  (access: HubAccess & { readonly stream?: boolean }): ResolveData =>
  async (argument) => {
    const parsed = parseDatasetArgument(argument);
    if (!parsed || KNOWN.test(argument) || existsSync(dirname(parsed.name))) return undefined;
    try {
      const { name, commit, files } = await openHubDataset(parsed, access);
      return files.map(({ path, hash, local, remote }): DataFile => {
        const file = kindOf(local ?? `${name}/${path}`);
        return {
          ...file,
          origin: `${name}@${commit}/${path}`,
          ...(parsed.column === undefined ? {} : { column: parsed.column }),
          ...(remote ? { source: Object.assign(remote, hash.length === 64 ? { sha256: hash } : {}) } : {}),
        };
      });
    } catch (error) {
      if (error instanceof HubMissing || error instanceof HubUnreachable)
        error.message = `${argument}: no such file or folder. ${error.message}`;
      throw error;
    }
  };
