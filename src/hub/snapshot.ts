/** A revision of a repository -> the files that are wanted of it, in the cache: from the hub, or, when it is not reached, as they were. */
import { mkdir, statfs } from 'node:fs/promises';
import { cachedFile, isCommit, isThere, linkBlob, type RepoCache, repoCache } from './cache.ts';
import { connectHub, type Hub } from './connect.ts';
import { downloadBlob } from './download.ts';
import { answer, HubError, HubUnreachable } from './errors.ts';
import type { HubAccess, HubFile, HubId, Snapshot } from './types.ts';

/** The commit that a revision stands for now. */
export async function resolveCommit(hub: Hub, id: HubId): Promise<string> {
  if (isCommit(id.revision)) return id.revision;
  const url = `${hub.endpoint}/api/${id.type}s/${id.name}/revision/${encodeURIComponent(id.revision)}`;
  const response = await answer(hub, id, await hub.fetch(url), `revision ${id.revision}`);
  const { sha } = (await response.json()) as { sha?: unknown };
  if (typeof sha !== 'string' || !isCommit(sha))
    throw new HubError(`${hub.endpoint} gives no commit for ${id.name}.`);
  return sha;
}

/** Every file of a commit; without `recursive` those at the top. */
export async function listRepo(
  hub: Hub,
  id: HubId,
  commit: string,
  { recursive }: { recursive: boolean },
): Promise<HubFile[]> {
  const { listFiles } = await import('@huggingface/hub');
  const checked = async (url: Parameters<typeof fetch>[0], init?: RequestInit): Promise<Response> =>
    await answer(hub, id, await hub.fetch(url, init), 'the list of files');
  const files: HubFile[] = [];
  const { type, name } = id;
  for await (const { type: kind, path, size, oid = '', lfs } of listFiles({
    repo: { type, name },
    revision: commit,
    hubUrl: hub.endpoint,
    recursive,
    fetch: checked,
  }))
    if (kind === 'file') files.push({ path, size: lfs?.size ?? size, hash: lfs?.oid ?? oid });
  return files;
}

/** Brings files of a commit into the cache and tells of the bytes that were not there. */
export async function bringFiles(
  hub: Hub,
  id: HubId,
  commit: string,
  files: readonly HubFile[],
): Promise<void> {
  const repo = repoCache(hub.cache, id);
  const missing: HubFile[] = [];
  for (const file of files) {
    if (await isThere(repo.file(commit, file.path))) continue;
    if (await isThere(repo.blob(file.hash))) await linkBlob(repo, commit, file);
    else missing.push(file);
  }
  const total = missing.reduce((sum, { size }) => sum + size, 0);
  if (total > 0) await requireSpace(repo, id, total);
  let done = 0;
  for (const file of missing) {
    await downloadBlob(hub, { id, commit, file, blob: repo.blob(file.hash) }, (bytes) => {
      done += bytes;
      hub.onDownload?.({ name: id.name, done, total });
    });
    await linkBlob(repo, commit, file);
  }
}

/** Before an hour of downloading, not after it. */
async function requireSpace(repo: RepoCache, id: HubId, total: number): Promise<void> {
  await mkdir(repo.root, { recursive: true });
  const { bavail, bsize } = await statfs(repo.root);
  if (bavail * bsize < total)
    throw new HubError(
      `${id.name} needs ${total} bytes in ${repo.root}, where ${bavail * bsize} are free. Free some space, or set HF_HOME to a folder on a larger disk.`,
    );
}

/** What to read of a repository, and how to tell that a snapshot in the cache has it. */
export type Selection = {
  /** The wanted files of a commit, from what it holds; `read` brings a small file and gives its text. */
  choose(files: readonly HubFile[], read: (path: string) => Promise<string>): Promise<readonly HubFile[]>;
  readonly recursive: boolean;
  /** The wanted files of a snapshot in the cache; undefined when some are missing. */
  cached(
    find: (path: string) => Promise<HubFile | undefined>,
    snapshot: string,
  ): Promise<readonly HubFile[] | undefined>;
};

/** @throws HubError when the repository, its revision or access to it is missing, and the cache has no whole snapshot */
export async function openSnapshot(
  id: HubId,
  selection: Selection,
  access: HubAccess = {},
): Promise<Snapshot> {
  const hub = connectHub(access);
  const repo = repoCache(hub.cache, id);
  const fromCache = async (): Promise<Snapshot | undefined> => {
    const commit = await repo.readRef(id.revision);
    if (commit === undefined) return undefined;
    const files = await selection.cached((path) => cachedFile(repo, commit, path), repo.snapshot(commit));
    return files && { id, commit, path: repo.snapshot(commit), files };
  };
  const whole = hub.offline ? await fromCache() : undefined;
  if (whole) return whole;

  let commit: string;
  let listed: HubFile[];
  try {
    commit = await resolveCommit(hub, id);
    listed = await listRepo(hub, id, commit, selection);
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    const earlier = await fromCache();
    if (!earlier) throw error instanceof HubUnreachable ? notCached(error, id, hub) : error;
    hub.onNote?.(`${error.message} Using ${id.name} at ${earlier.commit.slice(0, 7)} from the cache.`);
    return earlier;
  }
  const read = async (path: string): Promise<string> => {
    const file = listed.find((one) => one.path === path);
    if (!file) throw new HubError(`${id.name} has no file ${path}.`);
    await bringFiles(hub, id, commit, [file]);
    const { readFile } = await import('node:fs/promises');
    return await readFile(repo.file(commit, path), 'utf8');
  };
  const files = await selection.choose(listed, read);
  await bringFiles(hub, id, commit, files);
  await repo.writeRef(id.revision, commit);
  return { id, commit, path: repo.snapshot(commit), files };
}

const notCached = (error: HubUnreachable, { name, revision }: HubId, { cache }: Hub): HubUnreachable =>
  new HubUnreachable(`${error.message} ${name} (${revision}) is not whole in the cache ${cache} either.`);
