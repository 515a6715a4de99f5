// Shared by the npm scripts. Node built-ins only: these run before anything is installed.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Runs a program with inherited output; ends this process with its status when it fails. */
export function run(program, args, options = {}) {
  const result = spawnSync(program, args, { stdio: 'inherit', ...options });
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
}

/** npm, run through node itself: `npm.cmd` on Windows cannot be spawned without a shell. */
export function npm(args, cwd) {
  const cli = process.env.npm_execpath;
  if (cli) run(process.execPath, [cli, ...args], { cwd });
  else run(process.platform === 'win32' ? 'npm.cmd' : 'npm', args, { cwd, shell: process.platform === 'win32' });
}

/** `npm ci` in a folder unless `probe` is already there. Says what is fetched. */
export function installIfMissing({ folder, probe, what, args = [] }) {
  if (existsSync(`${folder}/node_modules/${probe}/package.json`)) return;
  const started = Date.now();
  console.log(`Installing ${what} ...`);
  npm(['ci', '--no-audit', '--no-fund', '--loglevel=error', ...args], folder);
  console.log(`  done in ${((Date.now() - started) / 1000).toFixed(0)} s`);
}
