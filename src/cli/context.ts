/** What every command gets: where to write, how it looks, and a signal that Ctrl-C raises. */
import type { Command } from 'commander';
import { Interrupted } from '../shared/errors.ts';
import { STOPPING } from './output/live.ts';
import { createStyle, type Style } from './output/style.ts';

export type Context = {
  readonly style: Style;
  /** Results, for a person or, with --json, for a machine. */
  print(text: string): void;
  /** Progress and remarks; never part of a result. */
  note(text: string): void;
  /** Raw writes to the terminal, for the live block. */
  write(text: string): void;
  /** With --json, one value on standard output and everything else on standard error. */
  readonly json: boolean;
  readonly signal: AbortSignal;
};

/** Options that every command has. */
export function addCommonFlags(command: Command): Command {
  return command
    .option('--json', 'Print one JSON value on standard output, everything else on standard error.')
    .option('--debug', 'Print the stack of an error.');
}

/**
 * Runs `action` with a context. The first Ctrl-C asks it to stop at the next step and save; a second one ends the
 * process as if nothing had caught it.
 */
export async function withContext<T>(
  options: { readonly json?: boolean },
  action: (context: Context) => Promise<T>,
  stopping: string = STOPPING,
): Promise<T> {
  const json = options.json === true;
  const stream = json ? process.stderr : process.stdout;
  const style = createStyle(stream, process.env);
  const controller = new AbortController();
  const interrupt = (): void => {
    // On a terminal the live block says it.
    if (!style.terminal) stream.write(`${stopping}\n`);
    controller.abort();
    process.removeListener('SIGINT', interrupt);
    process.removeListener('SIGTERM', interrupt);
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  try {
    return await action({
      json,
      style,
      print: (text) => void process.stdout.write(`${text}\n`),
      note: (text) => void stream.write(`${text}\n`),
      write: (text) => void stream.write(text),
      signal: controller.signal,
    });
  } catch (error) {
    // What was not in the middle of a run has nothing to save.
    if (controller.signal.aborted && error instanceof Error && error.name === 'AbortError')
      throw new Interrupted('Stopped.');
    throw error;
  } finally {
    process.removeListener('SIGINT', interrupt);
    process.removeListener('SIGTERM', interrupt);
  }
}
