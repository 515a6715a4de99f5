// What the cross-cutting tests know about the repository: its root, its tracked files, its imports.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository root, without a trailing separator. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[\\/]$/, '');

/** Files in git and new files that git does not ignore, with forward slashes, that exist. */
export const trackedFiles: readonly string[] = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
  { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
)
  .split('\0')
  .filter((path) => path !== '' && existsSync(join(root, path)));

export const read = (path: string): string => readFileSync(join(root, path), 'utf8');

export type Import = { readonly from: string; readonly to: string; readonly typeOnly: boolean };

/** Static and dynamic imports and re-exports of a TypeScript file; relative ones resolved to repository paths. */
export function importsOf(path: string): Import[] {
  const text = read(path)
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '');
  const found: Import[] = [];
  const statement =
    /\b(?:import|export)\s+(type\s+)?(?:([\w*{][^'"`;]*?)\s+from\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)|new URL\(\s*['"](\.[^'"]+\.ts)['"]/g;
  for (const [, type, names, specifier, dynamic, url] of text.matchAll(statement)) {
    const to = specifier ?? dynamic ?? url;
    if (to === undefined) continue;
    const inner = names
      ?.match(/^\{([^}]*)\}$/)?.[1]
      ?.split(',')
      .filter((name) => name.trim() !== '');
    const typeOnly = type !== undefined || (inner?.every((name) => /^\s*type\s/.test(name)) ?? false);
    found.push({
      from: path,
      to: to.startsWith('.') ? normalize(join(dirname(path), to)).replaceAll('\\', '/') : to,
      typeOnly,
    });
  }
  return found;
}
