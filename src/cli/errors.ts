/** From an error to what a person reads and the exit status: 1 failed, 2 bad usage, 130 stopped on request. */
import { CommanderError } from 'commander';
import { Interrupted, UsageError } from '../shared/errors.ts';

export type Failure = { readonly status: number; readonly message: string };

const hints: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full. Free some space and run the command again; what was saved before is intact.',
  EDQUOT:
    'The disk quota is used up. Free some space and run the command again; what was saved before is intact.',
  EACCES: 'Permission denied. Choose another folder or change its permissions.',
  EROFS: 'The file system is read-only. Choose another folder with --out.',
  ENOENT: 'There is no such file or folder. Check the path.',
  EISDIR: 'That is a folder; a file was expected.',
  ENOTDIR: 'That is a file; a folder was expected.',
};

/** @param error whatever was thrown */
export function describeFailure(error: unknown): Failure {
  if (error instanceof CommanderError) return { status: error.exitCode === 0 ? 0 : 2, message: '' };
  if (error instanceof Interrupted) return { status: 130, message: error.message };
  if (error instanceof UsageError) return { status: 2, message: error.message };
  // The deriving functions throw RangeError for values that cannot go together: those came from flags.
  if (!(error instanceof Error)) return { status: 1, message: String(error) };
  const code = (error as NodeJS.ErrnoException).code;
  const hint = code === undefined ? undefined : hints[code];
  return {
    status: 1,
    message: hint && !error.message.includes(hint) ? `${error.message}\n${hint}` : error.message,
  };
}
