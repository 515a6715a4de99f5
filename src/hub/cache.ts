/**
 * The cache on disk, laid out as Python's huggingface_hub does:
 *
 *     models--org--name/
 *         blobs/HASH                       the bytes of a file, once
 *         snapshots/COMMIT/PATH            a link to them: ../../blobs/HASH
 *         refs/REVISION                    the commit that a branch or tag was last seen at
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import {
  access,
  copyFile,
  mkdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { HubError } from './errors.ts';
import type { HubFile, HubId } from './types.ts';

export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);
const isHash = (text: string): boolean => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text);

export type RepoCache = ReturnType<typeof repoCache>;

/** Where the parts of one repository lie. Paths come from a server: none may leave the folder. */
export function repoCache(cache: string, { type, name }: Pick<HubId, 'type' | 'name'>) {
  const root = join(cache, [`${type}s`, ...name.split('/')].join('--'));
  const inside = (...parts: string[]): string => {
    const path = join(root, ...parts);
    const [area = ''] = parts;
    if (parts.some((part) => part.includes('\0')) || !path.startsWith(join(root, area, '/')))
      throw new HubError(
        `${name}: the hub names a file ${JSON.stringify(parts.at(-1))}, which is no plain path.`,
      );
    return path;
  };
  return {
    root,
    blob(hash: string): string {
      if (!isHash(hash)) throw new HubError(`${name}: the hub gives no sha256 or git id for a file.`);
      return inside('blobs', hash);
    },
    snapshot: (commit: string): string => inside('snapshots', commit),
    file: (commit: string, path: string): string => inside('snapshots', commit, path),

    /** The commit that the revision was last seen at. */
    async readRef(revision: string): Promise<string | undefined> {
      if (isCommit(revision)) return revision;
      const text = await readFile(inside('refs', revision), 'utf8').catch(() => '');
      return isCommit(text.trim()) ? text.trim() : undefined;
    },
    async writeRef(revision: string, commit: string): Promise<void> {
      if (isCommit(revision)) return;
      const path = inside('refs', revision);
      await mkdir(dirname(path), { recursive: true });
      const temporary = `${path}.tmp-${randomUUID()}`;
      await writeFile(temporary, commit);
      await rename(temporary, path);
    },
  };
}

export const isThere = (path: string): Promise<boolean> =>
  access(path, constants.R_OK).then(
    () => true,
    () => false,
  );

/** What the snapshot holds of a path; the hash is known where the snapshot is made of links. */
export async function cachedFile(
  repo: RepoCache,
  commit: string,
  path: string,
): Promise<HubFile | undefined> {
  const place = repo.file(commit, path);
  const info = await stat(place).catch(() => undefined);
  if (!info?.isFile()) return undefined;
  const target = basename(await readlink(place).catch(() => ''));
  return { path, size: info.size, hash: isHash(target) ? target : '' };
}

/** Puts a blob into a snapshot: a relative link, or, on systems that have none, a copy. */
export async function linkBlob(repo: RepoCache, commit: string, { path, hash }: HubFile): Promise<void> {
  const place = repo.file(commit, path);
  if (await isThere(place)) return;
  const blob = repo.blob(hash);
  await mkdir(dirname(place), { recursive: true });
  const link = (): Promise<void> => symlink(relative(dirname(place), blob), place);
  try {
    await link().catch(async (error: NodeJS.ErrnoException) => {
      // Another process was faster, unless it is a link to nothing.
      if (error.code !== 'EEXIST') throw error;
      if (await isThere(place)) return;
      await rm(place, { force: true });
      await link();
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    const temporary = `${place}.tmp-${randomUUID()}`;
    await copyFile(blob, temporary);
    await rename(temporary, place);
  }
}
