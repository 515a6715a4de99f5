// Shared by the npm scripts. Node built-ins only: these run before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository, without a trailing separator. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[\\/]$/, '');
export const tools = join(root, 'scripts', 'build-tools');

/** Runs a program with inherited output; ends this process with its status when it fails. */
export function run(program, args, options = {}) {
  const status = tryRun(program, args, options);
  if (status !== 0) process.exit(status);
}

/** Runs a program with inherited output; returns its exit status. */
export function tryRun(program, args, options = {}) {
  const result = spawnSync(program, args, { stdio: 'inherit', cwd: root, ...options });
  if (result.error) throw result.error;
  return result.status ?? 1;
}

/** Runs a program without a word unless it fails; then its output is printed and this process ends with its status. */
export function runQuietly(program, args) {
  const result = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
  if (result.error) throw result.error;
  if (result.status === 0) return;
  process.stderr.write(result.stdout + result.stderr);
  process.exit(result.status ?? 1);
}

/** How to start npm: through node itself, because `npm.cmd` on Windows cannot be spawned without a shell. */
export function npmCommand(args) {
  const cli = process.env.npm_execpath;
  if (cli && /npm-cli\.c?js$/.test(cli))
    return { program: process.execPath, args: [cli, ...args], shell: false };
  return { program: 'npm', args, shell: process.platform === 'win32' };
}

/** Runs this platform and this Node's part of a lock file: what `npm ci` will put on the disk. */
function wantedPackages(folder, { omitDev }) {
  const lock = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8'));
  const fits = (list, value) => !list || (list.includes(value) && !list.includes(`!${value}`));
  return Object.entries(lock.packages)
    .filter(
      ([path, entry]) => path.startsWith('node_modules/') && !(omitDev && entry.dev) && !entry.extraneous,
    )
    .filter(([, entry]) => fits(entry.os, process.platform) && fits(entry.cpu, process.arch))
    .map(([path, entry]) => ({
      path,
      version: entry.version,
      optional: entry.optional === true || entry.peer === true,
    }));
}

/** True when every package of the lock file is installed in the wanted version. */
function isInstalled(folder, wanted) {
  const list = join(folder, 'node_modules', '.package-lock.json');
  if (!existsSync(list)) return false;
  const present = JSON.parse(readFileSync(list, 'utf8')).packages;
  return wanted.every(({ path, version, optional }) => optional || present[path]?.version === version);
}

function bytesUnder(folder) {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    try {
      if (entry.isDirectory()) bytes += bytesUnder(path);
      else if (entry.isFile()) bytes += statSync(path).size;
    } catch {
      // npm moves files while we look.
    }
  }
  return bytes;
}

const megabytesUnder = (folder) => bytesUnder(folder) / 1e6;

/** One line that is rewritten on a terminal; elsewhere only `done` prints. */
export function statusLine(prefix) {
  const tty = process.stdout.isTTY;
  return {
    update(text) {
      if (tty)
        process.stdout.write(`\r\x1b[2K${`${prefix}${text}`.slice(0, (process.stdout.columns || 80) - 1)}`);
    },
    done(text) {
      process.stdout.write(`${tty ? '\r\x1b[2K' : ''}${prefix}${text}\n`);
    },
  };
}

/**
 * `npm ci` in `folder` unless the lock file's packages are all there; says what is fetched and how far it is.
 * `megabytes` is what stands on the disk in the end, `download` what comes over the line; both for the status line.
 */
export async function install({ folder, what, download, megabytes, omitDev = false, prefix = '' }) {
  const wanted = wantedPackages(folder, { omitDev });
  if (isInstalled(folder, wanted)) return false;
  const line = statusLine(prefix);
  const started = Date.now();
  const modules = join(folder, 'node_modules');
  if (!process.stdout.isTTY)
    console.log(`${prefix}install ${what}: ${wanted.length} packages, about ${download} MB to download`);
  line.update(`install ${what}: about ${download} MB to download`);
  const { program, args, shell } = npmCommand([
    'ci',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    ...(omitDev ? ['--omit=dev'] : []),
  ]);
  // Without this the install script of onnxruntime-node fetches CUDA libraries from outside the registry.
  const env = {
    ...process.env,
    ONNXRUNTIME_NODE_INSTALL: 'skip',
    npm_config_onnxruntime_node_install: 'skip',
  };
  const child = spawn(program, args, { cwd: folder, shell, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const timer = setInterval(() => {
    if (!process.stdout.isTTY || !existsSync(modules)) return;
    const done = wanted.filter(({ path }) => existsSync(join(folder, path, 'package.json'))).length;
    const onDisk = Math.min(megabytes, megabytesUnder(modules));
    const seconds = (Date.now() - started) / 1000;
    const left =
      onDisk > megabytes / 10 ? `, ${Math.ceil((seconds * (megabytes - onDisk)) / onDisk)} s left` : '';
    line.update(
      `install ${what} (${download} MB to download): ${done}/${wanted.length} packages, ${onDisk.toFixed(0)} of ${megabytes} MB on disk${left}`,
    );
  }, 700);
  const status = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).finally(() => clearInterval(timer));
  if (status !== 0) {
    line.done(`install ${what} failed`);
    console.error(output.trim());
    console.error(
      `npm ci in ${relative(process.cwd(), folder) || '.'} ended with status ${status}. It needs the npm registry and ${megabytes} MB of disk.`,
    );
    process.exit(1);
  }
  line.done(
    `install ${what}: ${wanted.length} packages, ${megabytesUnder(modules).toFixed(0)} MB on disk, ${((Date.now() - started) / 1000).toFixed(0)} s`,
  );
  return true;
}

// Measured from the lock files' packages (Linux, x64).
const runtime = { folder: root, what: 'the engine', download: 125, megabytes: 358 };
const everything = { folder: root, what: 'the engine and the test tools', download: 195, megabytes: 580 };

/** What running needs: the engine and the two compilers. An installation that has the test tools keeps them. */
export async function installToRun(prefix = '') {
  const hasTests = existsSync(join(root, 'node_modules', 'vitest', 'package.json'));
  const first = await install({ ...(hasTests ? everything : { ...runtime, omitDev: true }), prefix });
  const second = await installCompilers(prefix);
  return first || second;
}

/** The compilers, kept apart from the package so that installing the package does not bring them. */
export function installCompilers(prefix = '') {
  return install({ folder: tools, what: 'the compilers', download: 40, megabytes: 170, prefix });
}

/** What the tests and the checks need: all of it. */
export async function installToTest() {
  await install(everything);
  await installCompilers();
}

/** A digest of the files under `paths` by content, for "is this build still true?". */
export function digest(paths, skip = () => false) {
  const hash = createHash('sha256');
  const visit = (path) => {
    if (!existsSync(path) || skip(path)) return;
    if (statSync(path).isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
    else hash.update(`${relative(root, path).replaceAll('\\', '/')}\n`).update(readFileSync(path));
  };
  for (const path of paths) visit(path);
  return hash.digest('hex').slice(0, 16);
}
