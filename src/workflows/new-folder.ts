/** Folders that a command writes anew. */
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../shared/errors.ts';

/** @throws UsageError when there is something in the folder already */
export async function requireNewFolder(out: string): Promise<void> {
  const there = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new UsageError(`${out} is no folder: name one to write.`);
  });
  if (there.length > 0)
    throw new UsageError(`${out} is not empty (${there.slice(0, 3).join(', ')}). Name a new folder.`);
}

/** Fills a new or empty folder; when that fails, what was written is removed. */
export async function filled<T>(out: string, write: () => Promise<T>): Promise<T> {
  const before = existsSync(out);
  try {
    return await write();
  } catch (error) {
    const left = before ? (await readdir(out)).map((name) => join(out, name)) : [out];
    for (const path of left) await rm(path, { recursive: true, force: true });
    throw error;
  }
}
