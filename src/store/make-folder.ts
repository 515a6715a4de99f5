import { mkdir } from 'node:fs/promises';
import { UsageError } from '../shared/errors.ts';

/** Makes a folder and those above it, unless they are there. @throws UsageError when a file stands in the way */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw error;
    throw new UsageError(
      `${path} cannot be made a folder: ${code === 'EEXIST' ? 'it is' : 'on its way there is'} a file. Name another folder with --out.`,
    );
  }
}
