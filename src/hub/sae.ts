/**
 * `org/name[@revision][/path]` -> an SAE of the hub in the cache: the files of one folder of the repository that an SAE of any known format
 * is made of, or one file that is named and the configs beside it.
 */
import { crossLayerFiles } from '../shared/cross-layer-files.ts';
import { isThere, repoCache } from './cache.ts';
import { connectHub } from './connect.ts';
import { HubError, HubNoRevision } from './errors.ts';
import { openRemote, type RemoteFile } from './range.ts';
import { bringFiles, listRepo, openSnapshot, resolveCommit, type Selection } from './snapshot.ts';
import type { HubAccess, HubFile, HubId, Snapshot } from './types.ts';

/** One of these makes a folder an SAE (sae/formats, whose test compares). */
export const WEIGHTS = [
  ...['sae_weights.safetensors', 'sae.safetensors', 'ae.pt', 'params.npz', 'params.safetensors'],
  ...['checkpoints/final.safetensors', 'weights.safetensors', 'latest_ckpt.safetensors'],
];
export const BESIDE = [
  ...['cfg.json', 'config.json', 'hyperparams.json', 'activation_scaler.json', 'saekit.json', 'run.json'],
  ...['sae.json', 'config.yaml', 'conf.yaml', 'activation_whitening.safetensors'],
];
const WEIGHT_FILE = /\.(safetensors|npz|pt|pth|bin)$/;

/** An SAE of a repository: the whole of it, or what lies at a path. */
export type HubSaeId = HubId & { readonly path?: string };

const LOCATION = /^([a-z0-9][\w.-]*\/[a-z0-9_][\w.-]*)(?:@([\w.-]+))?(?:\/([\w.@=+:/-]+))?$/i;

/** `org/name`, `org/name@revision`, `org/name/path/in/it`; undefined for what cannot be one. */
export function parseSaeId(text: string): HubSaeId | undefined {
  const [, name, revision = 'main', path] = LOCATION.exec(text) ?? [];
  if (name === undefined || text.includes('..') || text.includes('//')) return undefined;
  return { type: 'model', name, revision, ...(path === undefined ? {} : { path: path.replace(/\/$/, '') }) };
}

const folderOf = (path: string): string => (path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '');
const join = (folder: string, file: string): string => (folder === '' ? file : `${folder}/${file}`);

function wanted(path: string): { required: readonly string[]; beside: readonly string[] } {
  if (WEIGHT_FILE.test(path))
    return {
      required: crossLayerFiles(path) ?? [path],
      beside: [...BESIDE.map((file) => join(folderOf(path), file)), path.replace(/\.\w+$/, '_cfg.json')],
    };
  return {
    required: WEIGHTS.map((file) => join(path, file)),
    beside: BESIDE.map((file) => join(path, file)),
  };
}

function selectionOf({ name, path = '' }: HubSaeId): Selection {
  const { required, beside } = wanted(path);
  return {
    recursive: true,
    async choose(files) {
      const has = new Map(files.map((file) => [file.path, file]));
      const weights = required.flatMap((file) => has.get(file) ?? []);
      if (weights.length === 0)
        throw new HubError(
          `${name} has no SAE ${path === '' ? 'at its top' : `at ${path}`} that can be read here.${hint(files, path)}`,
        );
      return [...weights, ...beside.flatMap((file) => has.get(file) ?? [])];
    },
    async cached(find) {
      const found: HubFile[] = [];
      for (const file of [...required, ...beside])
        found.push(...(await find(file).then((one) => (one ? [one] : []))));
      // Of a file that is named all are needed; else they are the forms that a folder may have.
      const has = (file: string): boolean => found.some((one) => one.path === file);
      const whole = required.includes(path) ? required.every(has) : required.some(has);
      return whole ? found : undefined;
    },
  };
}

/** Where in the repository SAEs lie. */
function hint(files: readonly HubFile[], path: string): string {
  const places = files.flatMap((file) => {
    const at = WEIGHTS.find((weights) => file.path === weights || file.path.endsWith(`/${weights}`));
    if (at !== undefined) return [file.path.slice(0, -at.length).replace(/\/$/, '')];
    return /\.(pt|pth|npz)$|(?:^|\/)(?:layer|W_enc|params_layer)_\d+\.safetensors$/.test(file.path)
      ? [file.path]
      : [];
  });
  const near = places.filter((place) => place.startsWith(path));
  const shown = (near.length > 0 ? near : places).slice(0, 4);
  if (shown.length > 0)
    return ` ${places.length === 1 ? 'There is one' : `There are ${places.length}`}, at ${shown.join(', ')}${places.length > shown.length ? ', …' : ''}: write the path behind the name.`;
  return ` It holds ${
    files
      .slice(0, 5)
      .map((file) => file.path)
      .join(', ') || 'nothing'
  }.`;
}

/**
 * Brings an SAE into the cache, or finds it there. Of a big repository only the files of this SAE are fetched. A branch may have a slash in
 * its name: what is no revision with a path behind it is tried as a revision altogether.
 *
 * @throws HubError as `openHubModel` does
 */
export async function openHubSae(id: HubSaeId, access?: HubAccess): Promise<Snapshot> {
  try {
    return await openSnapshot(id, selectionOf(id), access);
  } catch (error) {
    if (!(error instanceof HubNoRevision) || id.path === undefined) throw error;
    const branch: HubSaeId = { type: id.type, name: id.name, revision: `${id.revision}/${id.path}` };
    return await openSnapshot(branch, selectionOf(branch), access).catch((second) => {
      throw second instanceof HubNoRevision ? error : second;
    });
  }
}

/** The files of an SAE, none of them brought yet. */
export type RangedSae = Pick<Snapshot, 'commit' | 'files'> & {
  isHere(path: string): Promise<boolean>;
  /** Brings a file into the cache and gives its place. */
  bring(path: string): Promise<string>;
  /** Reads a file where it is. */
  remote(path: string): RemoteFile;
};

/** As `openHubSae`, but nothing is downloaded before it is asked for. @throws HubError also when only the cache is at hand */
export async function openHubSaeByRange(id: HubSaeId, access: HubAccess = {}): Promise<RangedSae> {
  const hub = connectHub(access);
  const commit = await resolveCommit(hub, id);
  const selection = selectionOf(id);
  const files = await selection.choose(await listRepo(hub, id, commit, selection), async () => '');
  const repo = repoCache(hub.cache, id);
  const fileAt = (path: string): HubFile => files.find((file) => file.path === path)!;
  return {
    ...{ commit, files },
    isHere: (path) => isThere(repo.file(commit, path)),
    async bring(path) {
      await bringFiles(hub, id, commit, [fileAt(path)]);
      return repo.file(commit, path);
    },
    remote: (path) => openRemote(hub, id, commit, fileAt(path)),
  };
}
