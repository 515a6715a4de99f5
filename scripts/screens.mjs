// Screenshots of every page of the app -> docs/screens: wide, narrow, dark, empty, error, and of a run of 131,072 latents. Needs Chromium.
//   node scripts/screens.mjs               the bundled runs
//   node scripts/screens.mjs FOLDER        a folder with these runs; it is copied
//   node scripts/screens.mjs --wide FOLDER a folder that gets, or has, the wide run: making it takes minutes
//   node scripts/screens.mjs --only dark   those with this in their names
import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { crc32, deflateSync } from 'node:zlib';
import { chromium } from 'playwright-core';
import { installToTest, root, run } from './lib.mjs';

const {
  values: flags,
  positionals: [given],
} = parseArgs({
  options: { wide: { type: 'string' }, only: { type: 'string', default: '' } },
  allowPositionals: true,
});
await installToTest();
run(process.execPath, [join(root, 'scripts', 'build.mjs'), '--if-stale']);

// Named by hooks: the early one first.
const [EARLY, RUN] = readdirSync(join(root, 'demo', 'saes')).sort();
const { cards } = JSON.parse(readFileSync(join(root, 'demo', 'saes', RUN, 'features', 'cards.json'), 'utf8'));
/** The latent that tells a register or concept best. */
const latentOf = (label) => {
  const f1 = ({ best }) => (best?.label.startsWith(label) ? best.f1 : 0);
  return cards.toSorted((a, b) => f1(b) - f1(a))[0].latent;
};
const DNA = latentOf('dna');
const saekit = join(root, 'dist', 'cli', 'main.js');
const out = join(root, 'docs', 'screens');
const PAGES = {
  home: '/',
  feature: `/feature/${RUN}/${DNA}`,
  search: `/search/${RUN}?q=recipe`,
  steer: `/steer?edits=${RUN}:${DNA}:add:40`,
  lists: '/lists',
  runs: '/runs',
  run: `/runs/${RUN}`,
};
const VIEWS = {
  1280: { viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
  390: { viewport: { width: 390, height: 844 }, colorScheme: 'light' },
  dark: { viewport: { width: 1280, height: 800 }, colorScheme: 'dark' },
};

/** Starts saekit serve and waits for the line that says where. */
async function serve(folder) {
  const server = spawn(process.execPath, [saekit, 'serve', folder, '--port', '0'], { cwd: root });
  const url = await new Promise((resolve, reject) => {
    let printed = '';
    server.stdout.on('data', (bytes) => {
      printed += bytes;
      const found = /^(http:\S+)\n/.exec(printed);
      if (found) resolve(found[1]);
    });
    server.once('exit', (status) => reject(new Error(`saekit serve ended with status ${status}.`)));
  });
  const stop = () =>
    new Promise((resolve) => {
      server.removeAllListeners('exit').once('exit', resolve);
      server.kill('SIGINT');
    });
  return { url, stop };
}

/** RGBA [H * W * 4] -> PNG with a palette of 256 colours; the others take the nearest of these. */
function palettePng(rgba, W, H) {
  const pixels = new Uint32Array(rgba.buffer, rgba.byteOffset, W * H);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const channels = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
  const distance = (a, b) => (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2;
  // The next colour is the one that is missed most: pixels times squared distance to the nearest colour so far.
  const rest = [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([pixel, n]) => ({ at: channels(pixel), n, far: Infinity }));
  const palette = [];
  for (let next = rest[0]; next && next.far > 0 && palette.length < 256; ) {
    palette.push(next.at);
    for (const one of rest) one.far = Math.min(one.far, distance(one.at, palette.at(-1)));
    next = rest.reduce((a, b) => (b.n * b.far > a.n * a.far ? b : a));
  }
  const indices = new Map();
  for (const pixel of counts.keys()) {
    const all = palette.map((colour) => distance(colour, channels(pixel)));
    indices.set(pixel, all.indexOf(Math.min(...all)));
  }
  const rows = Buffer.alloc(H * (W + 1));
  for (let y = 0; y < H; y++)
    for (let x = 0; x < W; x++) rows[y * (W + 1) + 1 + x] = indices.get(pixels[y * W + x]);
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const ends = Buffer.alloc(8);
    ends.writeUInt32BE(data.length, 0);
    ends.writeUInt32BE(crc32(body), 4);
    return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(W, 0);
  header.writeUInt32BE(H, 4);
  // 8 bits a pixel, colours from a palette.
  header.set([8, 3], 8);
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('PLTE', Buffer.from(palette.flat())),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

const work = mkdtempSync(join(tmpdir(), 'saekit-screens-'));
const folder = join(work, 'runs');
cpSync(given ?? join(root, 'demo', 'saes'), folder, { recursive: true });
mkdirSync(join(work, 'none'));
mkdirSync(out, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
const decoder = await browser.newPage();

const wanted = (name) => name.includes(flags.only);

/** What the page shows once nothing is asked any more. */
async function shoot(page, name) {
  if (!wanted(name)) return;
  await page.waitForLoadState('load');
  const settled = () =>
    page.waitForFunction(
      () => !document.querySelector('.waiting, .old, [aria-busy=true]') && document.querySelector('main'),
      null,
      { timeout: 120_000 },
    );
  await settled();
  await page.waitForTimeout(700);
  await settled();
  const png = await page.screenshot({ animations: 'disabled' });
  const [W, H, base64] = await decoder.evaluate(async (text) => {
    const blob = await (await fetch(`data:image/png;base64,${text}`)).blob();
    const bitmap = await createImageBitmap(blob);
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    let binary = '';
    for (let i = 0; i < data.length; i += 30_000)
      binary += String.fromCharCode(...data.subarray(i, i + 30_000));
    return [bitmap.width, bitmap.height, btoa(binary)];
  }, png.toString('base64'));
  const small = palettePng(Uint8Array.from(Buffer.from(base64, 'base64')), W, H);
  writeFileSync(join(out, `${name}.png`), small);
  console.log(`${name}.png  ${(small.length / 1000).toFixed(0)} kB`);
}

async function inView(options, use) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(120_000);
  await use(page);
  await context.close();
}

async function shootWide() {
  const WIDE = 'wide-131k';
  const pages = Object.entries({
    home: `/?run=${WIDE}`,
    feature: `/feature/${WIDE}/${DNA}`,
    list: `/search/${WIDE}`,
    search: `/search/${WIDE}?q=minutes`,
    runs: '/runs',
  }).filter(([name]) => wanted(`${name}-131k`));
  if (pages.length === 0) return;
  const wide = flags.wide ?? join(work, 'wide');
  if (!existsSync(join(wide, WIDE, 'features', 'index.json')))
    run(process.execPath, [
      ...['--import', pathToFileURL(join(root, 'node_modules', 'tsx', 'dist', 'loader.mjs')).href],
      ...[join(root, 'bench', 'lib', 'wide-run.ts'), join(root, 'demo', 'saes', RUN), join(wide, WIDE)],
    ]);
  const large = await serve(wide);
  for (const [name, path] of pages)
    await inView(VIEWS[1280], async (page) => {
      await page.goto(large.url + path);
      await shoot(page, `${name}-131k`);
    });
  await large.stop();
}

const full = await serve(folder);
if (!existsSync(join(folder, 'lists.json')))
  await fetch(`${full.url}/api/lists/${encodeURIComponent('worth a look')}`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      features: [DNA, latentOf('language/greek'), latentOf('recipe')].map((latent) => ({
        run: RUN,
        latent,
      })),
    }),
  });
for (const [view, options] of Object.entries(VIEWS))
  for (const [name, path] of Object.entries(PAGES)) {
    if (!wanted(`${name}-${view}`)) continue;
    await inView(options, async (page) => {
      await page.goto(full.url + path);
      await shoot(page, `${name}-${view}`);
    });
  }
const STATES = ['empty-search', 'empty-steer', 'error-latent', 'error-server'];
await inView(VIEWS[1280], async (page) => {
  if (!STATES.some(wanted)) return await full.stop();
  await page.goto(`${full.url}/search/${EARLY}?q=logit:zzz`);
  await shoot(page, 'empty-search');
  await page.goto(`${full.url}/steer`);
  await shoot(page, 'empty-steer');
  await page.goto(`${full.url}/feature/${RUN}/99999`);
  await shoot(page, 'error-latent');
  await page.goto(`${full.url}/`);
  await page.waitForSelector('.card');
  await full.stop();
  await page.fill('.editor textarea', 'Is anybody there?');
  await page.waitForSelector('[role=alert]');
  await shoot(page, 'error-server');
});
const none = await serve(join(work, 'none'));
for (const view of ['1280', '390'].filter((view) => wanted(`empty-runs-${view}`)))
  await inView(VIEWS[view], async (page) => {
    await page.goto(`${none.url}/`);
    await shoot(page, `empty-runs-${view}`);
  });
await none.stop();
await shootWide();
await browser.close();
rmSync(work, { recursive: true });
