/**
 * Node's side of the seam: files through fs, worker_threads, onnxruntime-node. Importing this module sets the platform.
 */
import './no-telemetry.ts';

import { existsSync } from 'node:fs';
import { access as fileAccess, open, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import {
  type HubAccess,
  HubError,
  HubMissing,
  type HubSaeId,
  HubUnreachable,
  modelArgument,
  openHubModel,
  openHubSae,
  openHubSaeByRange,
  parseSaeId,
  resolveSaeName,
} from '../hub/index.ts';
import { convertedFolder } from './converted.ts';
import { setPlatform } from './current.ts';
import { checkRange } from './memory.ts';
import { chooseThreads, readMachine } from './node-cores.ts';
import type { ByteFolder, ByteSource, Conversion, Platform, WorkerHandle } from './types.ts';

/** Opens a file for reading by range. Throws when it is missing or not a file; the message names it. */
export async function openFile(path: string): Promise<ByteSource> {
  const realPath = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${path}: ${error.code === 'ENOENT' ? 'no such file' : error.message}`);
  });
  const handle = await open(realPath, 'r');
  const info = await handle.stat();
  if (!info.isFile()) {
    await handle.close();
    throw new Error(`${path}: not a file`);
  }
  const readInto = async (start: number, bytes: Uint8Array): Promise<void> => {
    checkRange(start, start + bytes.length, info.size, path);
    let done = 0;
    while (done < bytes.length) {
      // One read moves less than 2 GiB, whatever is asked for.
      const length = Math.min(bytes.length - done, 1 << 30);
      const { bytesRead } = await handle.read(bytes, done, length, start + done);
      if (bytesRead === 0)
        throw new Error(
          `${path}: ended at byte ${start + done} of ${info.size}; it changed while being read`,
        );
      done += bytesRead;
    }
  };
  return {
    byteLength: info.size,
    realPath,
    readInto,
    async slice(start, end) {
      checkRange(start, end, info.size, path);
      const bytes = new Uint8Array(end - start);
      await readInto(start, bytes);
      return bytes;
    },
    close: () => handle.close(),
  };
}

/**
 * A folder on disk, or a model or SAE of the hub, brought into the cache. A folder that is there wins.
 *
 * @throws when it is missing, not a folder, or cannot be had from the hub
 */
export async function openFolder(
  path: string,
  access?: HubAccess,
  kind: 'model' | 'sae' | 'sae by range' = 'model',
): Promise<ByteFolder> {
  let id: HubSaeId;
  if (kind === 'model') {
    const found = await modelArgument(path, access);
    if (found.kind === 'folder') return folderAt(found.path, path);
    if (found.kind === 'onnx') return fileInFolder(found.path, path);
    if (found.kind !== 'hub') throw new Error(`${path}: a GGUF file has no files of its own`);
    id = found.id;
  } else {
    const { location, overrides } = await resolveSaeName(path, access);
    if (location !== path)
      return { ...(await openFolder(location, access, kind)), ...(overrides ? { overrides } : {}) };
    const info = await stat(path).catch(() => undefined);
    if (info?.isDirectory()) return folderAt(path, path);
    if (info) return { ...folderAt(dirname(path), dirname(path)), file: basename(path) };
    const named = parseSaeId(path);
    // A name in a folder that is there is a mistyped path.
    if (!named || existsSync(dirname(path)))
      throw new Error(`${path}: no such folder. An SAE of the Hugging Face hub is named org/name.`);
    id = named;
  }
  try {
    const ranged = kind === 'sae by range' ? await rangedFolder(id, access) : undefined;
    if (ranged) return ranged;
    const found = await (kind === 'model' ? openHubModel : openHubSae)(id, access);
    const { path: snapshot, commit, files } = found;
    const origin = { commit, files: Object.fromEntries(files.map((file) => [file.path, file.hash])) };
    return found.id.path === undefined
      ? { ...folderAt(snapshot, id.name), origin }
      : { ...(await partOf(snapshot, id.name, found.id.path)), origin };
  } catch (error) {
    if (error instanceof HubMissing || error instanceof HubUnreachable)
      error.message = `${path}: no such folder. ${error.message}`;
    throw error;
  }
}

/** Files up to this size are brought, not read by range. */
const SMALL_BYTES = 2 ** 20;

/** An SAE whose weights stay on the hub; undefined when the hub is not reached, or knows the name only as a branch. */
async function rangedFolder(id: HubSaeId, access?: HubAccess): Promise<ByteFolder | undefined> {
  const sae = await openHubSaeByRange(id, access).catch((error: unknown) => {
    if (error instanceof HubError) return undefined;
    throw error;
  });
  if (!sae) return undefined;
  const { path: place = '' } = id;
  const sizes = new Map(sae.files.map((file) => [file.path, file.size]));
  const isFile = sizes.has(place);
  const folder = isFile ? dirname(place).replace(/^\.$/, '') : place;
  const full = (file: string): string => (folder === '' ? file : `${folder}/${file}`);
  return {
    name: folder === '' ? id.name : `${id.name}/${folder}`,
    origin: {
      commit: sae.commit,
      files: Object.fromEntries(sae.files.map((file) => [file.path, file.hash])),
    },
    ...(isFile ? { file: basename(place) } : {}),
    has: async (file) => sizes.has(full(file)),
    async open(file) {
      const path = full(file);
      const size = sizes.get(path);
      if (size === undefined) throw new Error(`${id.name}: no file ${path}`);
      if (size <= SMALL_BYTES || (await sae.isHere(path))) return await openFile(await sae.bring(path));
      let here: Promise<ByteSource> | undefined;
      return {
        ...sae.remote(path),
        local: () => (here ??= sae.bring(path).then(openFile)),
        close: async () => await (await here)?.close?.(),
      };
    },
  };
}

/** A folder of a snapshot, or a file of it. */
async function partOf(snapshot: string, name: string, path: string): Promise<ByteFolder> {
  const place = join(snapshot, path);
  const isFile = (await stat(place)).isFile();
  if (!isFile) return folderAt(place, `${name}/${path}`);
  return { ...folderAt(dirname(place), dirname(`${name}/${path}`)), file: basename(place) };
}

/** A model that is one file; what belongs to it stands beside it, or above a folder called onnx, as in repositories for transformers.js. */
function fileInFolder(path: string, location: string): ByteFolder {
  const folder = dirname(path);
  const above = dirname(folder);
  const inside =
    basename(folder) === 'onnx' &&
    ['config.json', 'tokenizer.json'].some(
      (file) => existsSync(join(above, file)) && !existsSync(join(folder, file)),
    );
  const root = inside ? above : folder;
  // Called as it was asked for: not by its place in a cache.
  const name = inside ? dirname(dirname(location)) : dirname(location);
  return { ...folderAt(root, name), file: inside ? `onnx/${basename(path)}` : basename(path) };
}

const folderAt = (path: string, name: string): ByteFolder => ({
  name,
  // A snapshot of the hub is named by its repository, which says more than its place in the cache.
  ...(name === path ? { place: resolve(path).replaceAll('\\', '/') } : {}),
  has: (file) =>
    fileAccess(join(path, file)).then(
      () => true,
      () => false,
    ),
  open: (file) => openFile(join(path, file)),
});

async function openConverted(
  location: string,
  conversion: Conversion,
  access: HubAccess = {},
): Promise<ByteFolder | undefined> {
  const found = await modelArgument(location, access);
  if (found.kind !== 'gguf') return undefined;
  const source = await openFile(found.path);
  try {
    const onDisk = { ...source, realPath: source.realPath! };
    return folderAt(await convertedFolder(onDisk, location, conversion, access), location);
  } finally {
    await source.close?.();
  }
}

/** The compiled bootstrap: Node 20 runs no TypeScript, so a worker started from the sources still runs from dist. */
function workerBootstrap(): string {
  const here = import.meta.url;
  const compiled = here.endsWith('.ts')
    ? new URL('../../dist/platform/node-worker.js', here)
    : new URL('./node-worker.js', here);
  const path = fileURLToPath(compiled);
  if (!existsSync(path))
    throw new Error(`${path} is missing: worker threads run compiled code. Run \`npm run build\` first.`);
  return path;
}

function spawnWorker(name: string, data: unknown): WorkerHandle {
  const worker = new Worker(workerBootstrap(), {
    workerData: { name, data },
    // A worker is a file, also where the program came by --eval.
    ...(process.execArgv.some((flag) => flag.startsWith('--input-type')) ? { execArgv: [] } : {}),
  });
  let failure: Error | undefined;
  let reportError: ((error: Error) => void) | undefined;
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  worker.on('error', (error) => {
    failure = error instanceof Error ? error : new Error(String(error));
    reportError?.(failure);
  });
  let receiver: ((message: unknown) => void) | undefined;
  const early: unknown[] = [];
  worker.on('message', (message: unknown) => (receiver ? receiver(message) : early.push(message)));
  let closing = false;
  return {
    postMessage: (message, transfer = []) => worker.postMessage({ message }, [...transfer]),
    onMessage(receive) {
      receiver = receive;
      for (const message of early.splice(0)) receive(message);
    },
    onError(receive) {
      reportError = receive;
      if (failure) receive(failure);
    },
    keepAlive: (on) => (on ? worker.ref() : worker.unref()),
    async close() {
      if (!closing) worker.postMessage({ stop: true });
      closing = true;
      await exited;
      if (failure && !reportError) throw failure;
    },
  };
}

const threads = chooseThreads(readMachine());

/** Node's platform: everything the core needs from the machine. */
export const nodePlatform: Platform = {
  kind: 'node',
  ort,
  threads: threads.usable,
  sessionThreads: threads,
  availableMemory: () => process.availableMemory(),
  spawnWorker,
  openFolder,
  openConverted,
  now: () => performance.now(),
};

setPlatform(nodePlatform);
