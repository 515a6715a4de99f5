/**
 * `npm run bench -- --app [--quick] [--runs FOLDER]`
 *
 *     app.paint.feature, app.paint.list, app.paint.search
 *                      seconds from opening the address, in a browser that was never here, of a server that has just started, to the first
 *                      frame with passages or names: the page of a latent, the list, a search for a word. Largest of five.
 *     app.query        one latent over HTTP: 95th percentile over 300 latents drawn by tokens that fire (dense ones come more often)
 *     app.search       a word, again and again, each time another one
 *     app.typed        from a key to the frame with the colours of the new text, on the bundled model and its largest SAE; 95th percentile of 40
 *
 * The first five on a run of 131,072 latents and 50 million activations, made of the bundled one (lib/wide-run.ts). Kept in
 * bench/results/app-<date>.json; `--quick`: 16,384 latents, printed only; `--runs`: a folder that has the wide run already, else it gets one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium, type Page } from 'playwright-core';
import type { Feature, FeaturePage } from '../src/shared/api.ts';
import { createRng } from '../src/shared/rng.ts';
import { LATE, late } from '../test/support/demo.ts';
import { quantile } from './lib/quantile.ts';
import { WIDE, writeWideRun } from './lib/wide-run.ts';

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, runs: { type: 'string' } },
});
const [F, activations] = flags.quick ? [16_384, 6e6] : [131_072, 50e6];
const [ROUNDS, QUERIES] = flags.quick ? [2, 60] : [5, 300];
const root = fileURLToPath(new URL('..', import.meta.url));
const work = flags.runs ?? mkdtempSync(join(tmpdir(), 'saekit-app-'));

type Server = { readonly url: string; stop(): Promise<void> };

const running = new Set<ChildProcess>();

async function serve(): Promise<Server> {
  const server: ChildProcess = spawn(
    process.execPath,
    [join(root, 'dist', 'cli', 'main.js'), 'serve', work, '--port', '0'],
    { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  running.add(server);
  const url = await new Promise<string>((resolve, reject) => {
    let printed = '';
    server.stdout!.on('data', (bytes) => {
      printed += bytes;
      const found = /^(http:\S+)\n/.exec(printed);
      if (found) resolve(found[1]!);
    });
    // Once there is an address this is too late to matter.
    server.once('exit', (status) => reject(new Error(`saekit serve ended with status ${status}.`)));
  });
  return {
    url,
    stop: () =>
      new Promise((resolve) => {
        server.once('exit', () => {
          running.delete(server);
          resolve();
        });
        server.kill('SIGINT');
      }),
  };
}

/** Until the frame that shows what `selector` names. */
async function paint(path: string, selector: string): Promise<number> {
  const server = await serve();
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    bypassCSP: true,
  });
  const page = await context.newPage();
  await page.addInitScript(`
    requestAnimationFrame(function look() {
      if (!document.querySelector(${JSON.stringify(selector)})) requestAnimationFrame(look);
      else requestAnimationFrame(() => setTimeout(() => { window.painted = performance.now(); }));
    });`);
  await page.goto(server.url + path, { waitUntil: 'commit' });
  const seconds = await painted(page);
  await context.close();
  await server.stop();
  return seconds;
}

async function painted(page: Page): Promise<number> {
  const found = await page.waitForFunction('window.painted', null, { timeout: 60_000 });
  return Number(await found.jsonValue()) / 1000;
}

/** Of the most interesting latents the one with the most passages. */
async function latentWithPassages(): Promise<number> {
  const server = await serve();
  const get = async (path: string) => (await fetch(server.url + path)).json();
  const { features } = (await get(`/api/features/${WIDE}?limit=20`)) as FeaturePage;
  let best = { latent: 0, passages: 0 };
  for (const { latent } of features) {
    const { passages = 0 } = (await get(`/api/feature/${WIDE}/${latent}`)) as Feature;
    if (passages > best.passages) best = { latent, passages };
  }
  await server.stop();
  if (best.passages === 0) throw new Error(`None of the first latents of ${WIDE} has a passage.`);
  return best.latent;
}

async function typed(url: string, run: string): Promise<number[]> {
  const page = await browser.newPage({ bypassCSP: true });
  await page.goto(`${url}/?run=${encodeURIComponent(run)}`);
  await page.waitForSelector('.card');
  const times = await page.evaluate<number[]>(`(async () => {
    const field = document.querySelector('.editor textarea');
    const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set;
    const frame = () => new Promise(requestAnimationFrame);
    const found = [];
    for (let i = 0; i < ${flags.quick ? 10 : 40}; i++) {
      const start = performance.now();
      set.call(field, 'In the year ' + (1900 + i) + ' the city was rebuilt after the war. The answer is ' + i);
      field.dispatchEvent(new Event('input', { bubbles: true }));
      do await frame();
      while (document.querySelector('.editor[aria-busy=true]') && performance.now() - start < 10000);
      found.push(performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    return found;
  })()`);
  await page.close();
  return times;
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
try {
  const wide = join(work, WIDE);
  if (!existsSync(wide)) {
    mkdirSync(work, { recursive: true });
    await writeWideRun(late.folder, wide, { F, activations });
    for (const name of readdirSync(join(root, 'demo', 'saes')))
      cpSync(join(root, 'demo', 'saes', name), join(work, name), { recursive: true });
  }
  const rng = createRng('queries');
  const figures: Record<string, unknown>[] = [];
  const say = (figure: Record<string, unknown>): void => {
    figures.push(figure);
    process.stdout.write(`${JSON.stringify(figure)}\n`);
  };
  const pages = {
    feature: [`/feature/${WIDE}/${await latentWithPassages()}`, '.concordance .row'],
    list: [`/search/${WIDE}`, '.name-row'],
    search: [`/search/${WIDE}?q=minutes`, '.name-row'],
  } as const;
  for (const [name, [path, selector]] of Object.entries(pages)) {
    const seconds: number[] = [];
    for (let round = 0; round < ROUNDS; round++) seconds.push(await paint(path, selector));
    const most = Math.max(...seconds);
    say({
      name: `app.paint.${name}`,
      F,
      activations,
      s: most,
      target: 1.5,
      holds: most < 1.5,
      all: seconds,
    });
  }
  const server = await serve();
  const ask = async (path: string): Promise<number> => {
    const began = performance.now();
    const answer = await fetch(server.url + path);
    await answer.arrayBuffer();
    if (!answer.ok) throw new Error(`${path}: status ${answer.status}`);
    return performance.now() - began;
  };
  await ask(`/api/feature/${WIDE}/0`);
  const densities: number[] = [];
  for (let offset = 0; offset < 4000; offset += 200) {
    const answer = await fetch(`${server.url}/api/features/${WIDE}?offset=${offset * 30}&limit=200`);
    const { features } = (await answer.json()) as { features: { latent: number; density: number }[] };
    for (const { latent, density } of features) densities[latent] = density;
  }
  const drawn = [...densities.entries()].filter(([, density]) => density > 0);
  const total = drawn.reduce((sum, [, density]) => sum + density, 0);
  const queries: number[] = [];
  for (let i = 0; i < QUERIES; i++) {
    let place = rng.uniform() * total;
    const [latent] = drawn.find(([, density]) => (place -= density) <= 0) ?? drawn[0]!;
    queries.push(await ask(`/api/feature/${WIDE}/${latent}`));
  }
  const p95 = quantile(queries, 0.95);
  say({
    name: 'app.query',
    F,
    activations,
    p50_ms: quantile(queries, 0.5),
    p95_ms: p95,
    target: 60,
    holds: p95 < 60,
  });
  const words = ['minutes', 'import', 'citizens', 'rouge', 'const', 'year', 'sea', 'meeting'];
  const searches: number[] = [];
  for (const word of words) searches.push(await ask(`/api/features/${WIDE}?query=${word}`));
  say({
    name: 'app.search',
    p50_ms: quantile(searches, 0.5),
    most_ms: Math.max(...searches),
    first_ms: searches[0],
  });
  const keys = await typed(server.url, LATE);
  const typed95 = quantile(keys, 0.95);
  say({
    name: 'app.typed',
    p50_ms: quantile(keys, 0.5),
    p95_ms: typed95,
    target: 100,
    holds: typed95 < 100,
  });
  await server.stop();
  if (!flags.quick) {
    const folder = join(root, 'bench', 'results');
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, `app-${new Date().toISOString().slice(0, 10)}.json`),
      `${JSON.stringify(figures, null, 2)}\n`,
    );
  }
  if (figures.some(({ holds }) => holds === false)) process.exitCode = 1;
} finally {
  for (const server of running) server.kill('SIGKILL');
  await browser.close();
  if (flags.runs === undefined) rmSync(work, { recursive: true, force: true });
}
