/** Folders that a command writes anew. */
import { readdir } from 'node:fs/promises';
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
