/** Folders that appear by one rename: who looks finds all of one or nothing, whatever stops the program. */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isThere } from './cache.ts';

/** A folder half made that nobody has written to for this long is of a process that died. */
const ABANDONED_MS = 60 * 60 * 1000;

const changed = (path: string): Promise<number> =>
  stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );

/** Removes what processes that died left half made. */
async function removeAbandoned(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (!name.includes('.tmp-')) continue;
    const folder = join(root, name);
    const inside = await readdir(folder, { recursive: true }).catch(() => []);
    const times = await Promise.all([folder, ...inside.map((file) => join(folder, file))].map(changed));
    if (Date.now() - Math.max(...times) > ABANDONED_MS) await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Makes `folder` out of what `fill` puts into an empty one beside it; nothing is kept when `fill` throws. When another process was faster,
 * its folder is as good.
 */
export async function makeWholeFolder(
  folder: string,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  const root = dirname(folder);
  await mkdir(root, { recursive: true });
  await removeAbandoned(root);
  const temporary = `${folder}.tmp-${randomUUID()}`;
  try {
    await mkdir(temporary);
    await fill(temporary);
    await rename(temporary, folder);
  } catch (error) {
    if (!(await isThere(folder))) throw error;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}
