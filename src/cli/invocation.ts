/** How a person in this folder starts the command line again, for the commands that output proposes. */
import { basename, relative } from 'node:path';

export function invocation(script = process.argv[1] ?? '', cwd = process.cwd()): string {
  if (basename(script) !== 'main.js') return 'saekit';
  return `node ${relative(cwd, script) || script}`;
}
