/**
 * Models that other programs keep on this disk. Read only.
 *
 *     Ollama         OLLAMA_MODELS, else ~/.ollama/models and where its service on Linux keeps them: manifests/HOST/OWNER/NAME/TAG is
 *                    JSON whose layer of kind `…image.model` names blobs/sha256-…, a GGUF file  -> `ollama:NAME[:TAG]`
 *     llama.cpp      LLAMA_CACHE, else llama.cpp in the system's cache folder                   -> the file's name
 *     Hugging Face   the hub's cache: snapshots with config.json and safetensors, or GGUF files -> `org/name`, or the file's path
 */
import type { Dirent } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, sep } from 'node:path';
import { didYouMean } from '../shared/nearest.ts';
import { hubSettings } from './settings.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export type LocalModel = {
  readonly keeper: 'Ollama' | 'llama.cpp' | 'Hugging Face';
  /** What to give as --model. */
  readonly argument: string;
  /** The GGUF file, or the folder in Hugging Face's layout. */
  readonly path: string;
  readonly bytes: number;
};

const MAX_MANIFEST_BYTES = 2 ** 20;
/** Ollama's own models lie in this folder of every host. */
const LIBRARY = 'library';

const entries = (folder: string): Promise<Dirent[]> =>
  readdir(folder, { withFileTypes: true }).then(
    (list) => list.sort((a, b) => (a.name < b.name ? -1 : 1)),
    () => [],
  );
const folders = async (folder: string): Promise<string[]> =>
  (await entries(folder)).filter((entry) => entry.isDirectory()).map(({ name }) => name);
const sizeOf = (path: string): Promise<number | undefined> =>
  stat(path).then(
    (info) => (info.isFile() ? info.size : undefined),
    () => undefined,
  );

/** The home of the user `ollama`, whom Ollama's installer for Linux makes to run the service. */
const OLLAMA_SERVICE = '/usr/share/ollama';

/** Where Ollama keeps models, in the order in which they are looked for. */
export function ollamaFolders(env: Environment = process.env): string[] {
  if (env.OLLAMA_MODELS) return [env.OLLAMA_MODELS];
  const homes = [homedir(), ...(process.platform === 'linux' ? [OLLAMA_SERVICE] : [])];
  return homes.map((home) => join(home, '.ollama', 'models'));
}

export function llamaCppFolder(env: Environment = process.env): string {
  if (env.LLAMA_CACHE) return env.LLAMA_CACHE;
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'llama.cpp');
  if (process.platform === 'win32')
    return join(env.LOCALAPPDATA || join(homedir(), 'AppData', 'Local'), 'llama.cpp');
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'llama.cpp');
}

/** The GGUF file of a manifest; undefined where there is none. */
async function modelBlob(root: string, manifest: string): Promise<string | undefined> {
  if (((await sizeOf(manifest)) ?? Number.POSITIVE_INFINITY) > MAX_MANIFEST_BYTES) return undefined;
  try {
    const { layers } = JSON.parse(await readFile(manifest, 'utf8')) as { layers: Record<string, unknown>[] };
    const layer = layers.find(({ mediaType }) => String(mediaType).endsWith('image.model'));
    const [, digest] = /^sha256:([0-9a-f]{64})$/.exec(String(layer?.digest)) ?? [];
    return digest === undefined ? undefined : join(root, 'blobs', `sha256-${digest}`);
  } catch {
    return undefined;
  }
}

async function ollamaModels(root: string): Promise<LocalModel[]> {
  const found: LocalModel[] = [];
  const manifests = join(root, 'manifests');
  for (const host of await folders(manifests))
    for (const owner of await folders(join(manifests, host)))
      for (const name of await folders(join(manifests, host, owner)))
        for (const { name: tag } of await entries(join(manifests, host, owner, name))) {
          const path = await modelBlob(root, join(manifests, host, owner, name, tag));
          const bytes = path === undefined ? undefined : await sizeOf(path);
          if (path === undefined || bytes === undefined) continue;
          const full =
            owner === LIBRARY
              ? name
              : host.startsWith('hf.')
                ? `${host}/${owner}/${name}`
                : `${owner}/${name}`;
          found.push({ keeper: 'Ollama', argument: `ollama:${full}:${tag}`, path, bytes });
        }
  return found;
}

async function llamaCppModels(root: string): Promise<LocalModel[]> {
  const found: LocalModel[] = [];
  for (const { name } of await entries(root)) {
    const path = join(root, name);
    const bytes = name.endsWith('.gguf') ? await sizeOf(path) : undefined;
    if (bytes !== undefined) found.push({ keeper: 'llama.cpp', argument: name, path, bytes });
  }
  return found;
}

async function hubModels(cache: string): Promise<LocalModel[]> {
  const found: LocalModel[] = [];
  for (const repo of await folders(cache)) {
    const [kind, ...name] = repo.split('--');
    if (kind !== 'models') continue;
    for (const commit of await folders(join(cache, repo, 'snapshots'))) {
      const snapshot = join(cache, repo, 'snapshots', commit);
      const files = (await entries(snapshot)).map((file) => file.name);
      const sizes = async (ending: string): Promise<[string, number][]> =>
        Promise.all(
          files
            .filter((file) => file.endsWith(ending))
            .map(async (file) => [file, (await sizeOf(join(snapshot, file))) ?? 0] as [string, number]),
        );
      const weights = await sizes('.safetensors');
      if (files.includes('config.json') && weights.length > 0) {
        const main = await readFile(join(cache, repo, 'refs', 'main'), 'utf8').catch(() => '');
        const argument = `${name.join('/')}${main.trim() === commit ? '' : `@${commit}`}`;
        const bytes = weights.reduce((sum, [, size]) => sum + size, 0);
        found.push({ keeper: 'Hugging Face', argument, path: snapshot, bytes });
      }
      for (const [file, bytes] of await sizes('.gguf'))
        found.push({
          keeper: 'Hugging Face',
          argument: join(snapshot, file),
          path: join(snapshot, file),
          bytes,
        });
    }
  }
  return found;
}

/** The models on this disk that other programs keep, in the order in which they are listed above. */
export async function localModels(
  env: Environment = process.env,
  ollama: readonly string[] = ollamaFolders(env),
): Promise<LocalModel[]> {
  const lists = await Promise.all([
    ...ollama.map(ollamaModels),
    llamaCppModels(llamaCppFolder(env)),
    hubModels(hubSettings(env).cache),
  ]);
  const all = lists.flat();
  // A name that lies in two places means the first.
  return all.filter(({ argument }, i) => all.findIndex((one) => one.argument === argument) === i);
}

/** Only GGUF files of a folder, when it is no model folder itself. */
async function ggufInside(folder: string): Promise<string[]> {
  const names = (await entries(folder)).map(({ name }) => name);
  return names.includes('config.json') ? [] : names.filter((name) => name.endsWith('.gguf'));
}

const isOllama = (location: string): boolean => location.startsWith('ollama:');

/**
 * The GGUF file that a model argument means: a path, `ollama:NAME[:TAG]`, the name of a file in llama.cpp's cache, or a folder that holds
 * one GGUF file and no config.json. Undefined for an argument that means something else.
 *
 * @throws when it means a GGUF file that is not there, naming the nearest that are; for a folder with several
 */
export async function findGguf(
  location: string,
  env: Environment = process.env,
): Promise<string | undefined> {
  const info = await stat(location).catch(() => undefined);
  if (info?.isFile()) return location.endsWith('.gguf') ? location : undefined;
  if (info?.isDirectory()) {
    const files = await ggufInside(location);
    if (files.length > 1)
      throw new Error(
        `${location} holds ${files.length} GGUF files: ${files.slice(0, 8).join(', ')}. Name one: ${join(location, files[0]!)}`,
      );
    return files.length === 1 ? join(location, files[0]!) : undefined;
  }
  if (!isOllama(location) && !location.endsWith('.gguf')) return undefined;
  const models = await localModels(env);
  const wanted = isOllama(location) && !/:[^/:]+$/.test(location.slice(7)) ? `${location}:latest` : location;
  const found = models.find(({ argument }) => argument === wanted);
  if (found) return found.path;
  const names = models
    .filter(({ keeper }) => isOllama(location) === (keeper === 'Ollama'))
    .map(({ argument }) => argument);
  const where = isOllama(location)
    ? `Ollama has no such model in ${ollamaFolders(env).join(' or ')}`
    : `no such file${location.includes('/') || location.includes(sep) ? '' : `, here or in ${llamaCppFolder(env)}`}`;
  throw new Error(
    `${location}: ${where}.${didYouMean(wanted, names)} \`saekit models\` lists what is on this disk.`,
  );
}
