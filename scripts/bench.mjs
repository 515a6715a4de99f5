// npm run bench: builds what the workers run, then bench/run.ts, which explains its flags, or another program of bench/.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { installToTest, root, tryRun } from './lib.mjs';

const others = {
  '--quality': 'quality.ts',
  '--activations': 'activation-dtypes.ts',
  '--controller': 'controller.ts',
  '--tables': 'tables.ts',
  '--app': 'app.ts',
  '--variants': 'variants.ts',
  '--calibration': 'calibration.ts',
  '--visible': 'visible.ts',
};
const other = Object.keys(others).find((flag) => process.argv.includes(flag));
// A figure that is no race between contenders has a program of its own, too.
const only = process.argv[process.argv.indexOf('--only') + 1] ?? '';
const program = /^plan/.test(only)
  ? 'plan.ts'
  : /^steer\.first_token/.test(only)
    ? 'first-token.ts'
    : others[other];
await installToTest();
const node = (...args) => tryRun(process.execPath, args, { stdio: ['inherit', 2, 'inherit'] });
const built = node(join(root, 'scripts', 'build.mjs'), '--if-stale');
// stdout carries nothing but the figures.
process.exitCode =
  built ||
  tryRun(process.execPath, [
    '--import',
    pathToFileURL(join(root, 'node_modules', 'tsx', 'dist', 'loader.mjs')).href,
    join(root, 'bench', program ?? 'run.ts'),
    ...process.argv.slice(2).filter((argument) => argument !== other),
  ]);
