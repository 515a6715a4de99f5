// npm run check: types, lint and format, unused code, code that stands twice. Runs all of them, fails if one does.
import { join } from 'node:path';
import { duplicates } from './duplicates.mjs';
import { installToTest, root, run, tools, tryRun } from './lib.mjs';

await installToTest();
// The kernels are generated and imported: without them the types do not resolve.
run(process.execPath, [join(root, 'scripts', 'build.mjs'), '--if-stale']);

const node = (...args) => tryRun(process.execPath, args) === 0;
const modules = join(root, 'node_modules');
const steps = {
  types: () =>
    ['tsconfig.json', 'web/tsconfig.json'].every((config) =>
      node(join(tools, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', join(root, config), '--noEmit'),
    ),
  'lint and format': () =>
    node(
      join(modules, '@biomejs', 'biome', 'bin', 'biome'),
      'check',
      '--error-on-warnings',
      '--max-diagnostics=30',
    ),
  'unused code': () => node(join(modules, 'knip', 'bin', 'knip.js')),
  duplicates: () => {
    const found = duplicates();
    for (const { where, lines } of found) console.log(`${lines} equal lines: ${where.join('  and  ')}`);
    return found.length === 0;
  },
};

const failed = [];
for (const [name, step] of Object.entries(steps)) {
  console.log(`check: ${name}`);
  if (!step()) failed.push(name);
}
console.log(failed.length === 0 ? 'All checks passed.' : `Failed: ${failed.join(', ')}.`);
process.exit(failed.length === 0 ? 0 : 1);
