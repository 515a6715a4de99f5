// npm start: installs what running needs, builds, opens the app on the bundled run, and trains a fresh one beside it.
//   npm start                  the app, the finished run in the terminal, then a fresh one; the app stays until Ctrl-C
//   npm start -- --no-train    without the fresh one
//   npm start -- --no-serve    without the app: ends by itself
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { installToRun, root, run, statusLine } from './lib.mjs';

const rest = process.argv.slice(2);
const serves = !rest.includes('--no-serve');
const main = join(root, 'dist', 'cli', 'main.js');

if (!(await installToRun('1/3 '))) statusLine('1/3 ').done('install: nothing to do');

const build = statusLine('2/3 ');
const started = Date.now();
build.update('build ...');
run(process.execPath, [join(root, 'scripts', 'build.mjs'), '--if-stale']);
build.done(`build: ${((Date.now() - started) / 1000).toFixed(1)} s`);

// Ctrl-C reaches the children by itself; this process waits for them to save and end.
let stopping = false;
process.on('SIGINT', () => (stopping = true));
const app = serves ? ((await serve(4317)) ?? (await serve(0))) : undefined;
if (app) {
  console.log(`3/3 the app: ${app.url}\n`);
  openBrowser(app.url);
} else console.log('3/3 the demo\n');

const demo = spawn(
  process.execPath,
  [main, 'demo', ...rest.filter((argument) => argument !== '--no-serve')],
  {
    stdio: 'inherit',
    cwd: root,
  },
);
process.on('SIGTERM', () => {
  stopping = true;
  demo.kill('SIGTERM');
  app?.child.kill('SIGTERM');
});
let status = await new Promise((resolve) => {
  demo.on('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 1)));
});
if (app) {
  if (status === 0 && !stopping) {
    console.log(`\nThe app is at ${app.url}, with your run in it. Ctrl-C ends it.`);
    await app.ended;
    status = 0;
  } else app.child.kill('SIGTERM');
  await app.ended;
}
process.exit(status);

/** Starts the server in a process of its own, so that training does not keep pages waiting. undefined when it cannot listen there. */
function serve(port) {
  const runs = join(root, 'runs');
  mkdirSync(runs, { recursive: true });
  const folders = ['runs', join('demo', 'saes')];
  const child = spawn(process.execPath, [main, 'serve', ...folders, '--port', String(port)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: root,
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.stderr.resume();
  return new Promise((resolve) => {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part) => {
      text += part;
      const [, url] = /^(http:\S+)\n/.exec(text) ?? [];
      if (url) resolve({ url, child, ended });
    });
    ended.then(() => resolve(undefined));
  });
}

/** On a terminal of a person with a screen; elsewhere the address is enough. */
function openBrowser(url) {
  if (!process.stdout.isTTY || process.env.CI || process.env.SSH_CONNECTION) return;
  const opener = { darwin: ['open'], win32: ['cmd', '/c', 'start', ''] }[process.platform] ?? ['xdg-open'];
  spawn(opener[0], [...opener.slice(1), url], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref();
}
