// macOS and Windows cannot be run where this is built; these rules keep the doors open.
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { read, root, trackedFiles } from './repository.ts';

const isText = (path: string): boolean => {
  const file = join(root, path);
  if (statSync(file).size > 4_000_000) return false;
  return !readFileSync(file).subarray(0, 8000).includes(0);
};
const textFiles = trackedFiles.filter(isText);

/** Written in pieces, so that this file does not find itself. */
const folders = [
  ['wo', 'rk'],
  ['fa', 'rm'],
  ['ro', 'ot'],
  ['Us', 'ers'],
  ['ho', 'me'],
].map((parts) => parts.join(''));
const machinePath = new RegExp(`(^|[\\s"'\`(=:])/(?:${folders.join('|')})/[\\w.]`);
const hosts = [
  ['regis', 'try\\.(npmjs|yarnpkg)\\.'],
  ['files\\.pytho', 'nhosted'],
  ['pyp', 'i\\.org/(simple|packages)'],
];
const registryHost = new RegExp(hosts.map((parts) => parts.join('')).join('|'));

describe('portability', () => {
  it('starts every npm script with node and a file of scripts/', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    for (const [name, command] of Object.entries(scripts)) {
      expect(command, name).toMatch(/^node scripts\/[\w-]+\.mjs( --?[\w-]+)*$/);
    }
  });

  it('has no symbolic links and no submodules in git', () => {
    const modes = execFileSync('git', ['ls-files', '-s'], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
    expect(modes.split('\n').filter((line) => /^(120000|160000) /.test(line))).toEqual([]);
  });

  it('has no names that differ only in case, and none that Windows refuses', () => {
    const lower = trackedFiles.map((path) => path.toLowerCase());
    expect(trackedFiles.filter((_, i) => lower.indexOf(lower[i] as string) !== i)).toEqual([]);
    const refused = /[<>:"|?*\\]|[. ](\/|$)|(^|\/)(con|prn|aux|nul|com\d|lpt\d)(\.|\/|$)/i;
    expect(trackedFiles.filter((path) => refused.test(path))).toEqual([]);
  });

  it('names no folder of the machine it was written on', () => {
    const found = textFiles
      .filter((path) => !path.startsWith('demo/'))
      .flatMap((path) =>
        read(path)
          .split('\n')
          .map((line, i) => `${path}:${i + 1}: ${line.slice(0, 120)}`)
          .filter((line) => machinePath.test(line)),
      );
    expect(found).toEqual([]);
  });

  it('names packages, never the host they come from', () => {
    const found = textFiles.filter((path) => registryHost.test(read(path)));
    expect(found).toEqual([]);
    for (const lock of trackedFiles.filter((path) => path.endsWith('package-lock.json'))) {
      expect(read(lock), lock).not.toContain('"resolved"');
    }
  });

  it('keeps line ends plain', () => {
    expect(
      textFiles.filter((path) => /\.(ts|mjs|json|md)$/.test(path) && read(path).includes('\r\n')),
    ).toEqual([]);
  });

  it('refuses Math.random and the clock where results are computed', () => {
    const core = /^src\/(graph|kernels|formats|models|sae|data|train|eval|explain|steer)\//;
    const found = textFiles
      .filter((path) => core.test(path) && path.endsWith('.ts') && !path.endsWith('.test.ts'))
      .filter((path) => /Math\.random\(/.test(read(path)));
    expect(found).toEqual([]);
  });
});
