// Adds lock entries for optional platform packages that the registry in use does not serve (some mirrors lack other systems' binaries).
// Without them `npm ci` refuses the lock file, and people on those systems get no binary. Run it after adding a dependency.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './lib.mjs';

const systems = [
  'android',
  'darwin',
  'freebsd',
  'linux',
  'openharmony',
  'win32',
  'aix',
  'sunos',
  'netbsd',
  'openbsd',
];
const processors = ['arm64', 'x64', 'ia32', 'arm', 'ppc64', 'riscv64', 's390x', 'loong64', 'mips64el'];

for (const folder of ['.', 'scripts/build-tools']) {
  const path = join(root, folder, 'package-lock.json');
  const lock = JSON.parse(readFileSync(path, 'utf8'));
  const added = [];
  for (const [parent, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const key = `node_modules/${name}`;
      if (lock.packages[key] || lock.packages[`${parent}/${key}`]) continue;
      const words = name.split(/[-/]/);
      const os = systems.filter((system) => words.includes(system));
      // 'arm-gnueabihf' is arm; 'arm64' is a word of its own.
      const cpu = processors.filter((processor) => words.includes(processor));
      if (os.length === 0 || !/^\d+\.\d+\.\d+$/.test(version)) {
        console.error(`${name}@${version} is in no lock entry, and its system cannot be told from its name.`);
        process.exitCode = 1;
        continue;
      }
      const libc = words.some((word) => word.startsWith('musl'))
        ? ['musl']
        : words.some((word) => word.startsWith('gnu'))
          ? ['glibc']
          : undefined;
      lock.packages[key] = {
        version,
        ...(cpu.length > 0 ? { cpu } : {}),
        ...(entry.dev ? { dev: true } : {}),
        ...(libc && os.includes('linux') ? { libc } : {}),
        optional: true,
        os,
      };
      added.push(name);
    }
  }
  if (added.length === 0) continue;
  const [top, ...rest] = Object.keys(lock.packages);
  lock.packages = Object.fromEntries([top, ...rest.sort()].map((key) => [key, lock.packages[key]]));
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`${join(folder, 'package-lock.json')}: ${added.length} added`);
}
