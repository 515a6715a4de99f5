// npm start: installs what running needs, builds, and shows the bundled demo.
//   npm start                  the finished run, then a fresh one trained on this machine
//   npm start -- --no-train    only the finished run
//   npm start -- --no-serve    the same as npm start: for now everything is shown in the terminal
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { installToRun, root, run, statusLine } from './lib.mjs';

if (!(await installToRun('1/3 '))) statusLine('1/3 ').done('install: nothing to do');

const build = statusLine('2/3 ');
const started = Date.now();
build.update('build ...');
run(process.execPath, [join(root, 'scripts', 'build.mjs'), '--if-stale']);
build.done(`build: ${((Date.now() - started) / 1000).toFixed(1)} s`);

console.log('3/3 the demo\n');
const rest = process.argv.slice(2).filter((argument) => argument !== '--no-serve');
const child = spawn(process.execPath, [join(root, 'dist', 'cli', 'main.js'), 'demo', ...rest], {
  stdio: 'inherit',
  cwd: root,
});
// Ctrl-C reaches the child by itself; this process waits for it to save and end.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
