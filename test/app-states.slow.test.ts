// The app in Chromium, in states that nobody shows on a stage: by keyboard alone, slow, empty, broken, and with hostile names and labels.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../src/platform/node.ts';
import { serve } from '../src/server/index.ts';
import { serveConfigSchema } from '../src/shared/serve.ts';
import { ask, RUN } from './fixtures/server.ts';
import { type App, settled, startApp, web } from './support/app.ts';
import { findBrowser } from './support/chromium.ts';
import { DNA, GREEK } from './support/demo.ts';

const chromium = findBrowser();
const IMAGE = '<img src=x onerror="window.hacked=1">';
const SCRIPT_RUN = 'javascript:window.hacked=1';
const TURNED = 'plain \u202Eturned round';
const PAGES = {
  home: '/',
  feature: `/feature/${RUN}/${DNA}`,
  search: `/search/${RUN}?q=recipe`,
  steer: `/steer?edits=${RUN}:${DNA}:add:80`,
  lists: '/lists',
  runs: '/runs',
  run: `/runs/${RUN}`,
};
let app: App;
beforeAll(async () => {
  if (!chromium) return;
  app = await startApp(chromium, ({ folder }) => {
    cpSync(join(folder, 'tiny'), join(folder, SCRIPT_RUN), { recursive: true });
  });
  const features = [DNA, GREEK].map((latent) => ({ run: RUN, latent }));
  await ask(app.server, 'PUT', '/api/lists/some', { features, description: IMAGE });
}, 120_000);
afterAll(() => app?.close());

describe.runIf(chromium)('an SAE that nobody measured', () => {
  it.each(['/runs/tiny', '/feature/tiny/3', '/?run=tiny', '/runs', '/steer?edits=tiny:3:add:8'])(
    'is marked on %s, with what to do',
    async (path) => {
      const page = await app.open(path);
      const mark = page.getByText('unverified SAE').first();
      await mark.waitFor();
      expect(await mark.getAttribute('title')).toMatch(/Nobody has measured .*saekit index or saekit eval/);
      await page.context().close();
    },
  );

  it.each([`/runs/${RUN}`, `/feature/${RUN}/${DNA}`, `/?run=${RUN}`, `/steer?edits=${RUN}:${DNA}:add:8`])(
    'and one that was is not: %s',
    async (path) => {
      const page = await app.open(path);
      await settled(page);
      expect(await page.getByText(/(unverified|wrong) SAE/).count()).toBe(0);
      await page.context().close();
    },
  );
});

describe.runIf(chromium)('for everybody', () => {
  it.each(Object.entries(PAGES))('axe finds nothing serious on %s, light and dark', async (_, path) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await app.open(path, { colorScheme }, (page) => page.addInitScript(axe.source));
      await settled(page);
      const violations = await page.evaluate(async () => {
        const { axe } = window as unknown as { axe: typeof import('axe-core') };
        const { violations } = await axe.run(document, { resultTypes: ['violations'] });
        return violations
          .filter(({ impact }) => impact === 'serious' || impact === 'critical')
          .map(({ id, nodes }) => [
            id,
            nodes.length,
            nodes[0]!.html.slice(0, 200),
            nodes[0]!.failureSummary?.slice(0, 300),
          ]);
      });
      expect(violations, colorScheme).toEqual([]);
      await page.context().close();
    }
  });

  it.each(Object.entries(PAGES))('Tab reaches everything on %s', async (_, path) => {
    const page = await app.open(path);
    await settled(page);
    const wanted = await page.evaluate(() => {
      const all = [
        ...document.querySelectorAll<HTMLElement>('a[href], button, input, select, textarea, summary'),
      ];
      // Of a radio group Tab reaches the chosen one; arrows the others.
      return all.filter(
        (element) =>
          element.checkVisibility() &&
          !(element instanceof HTMLInputElement && element.type === 'radio' && !element.checked),
      ).length;
    });
    const reached = await page.evaluateHandle(() => {
      const seen = new Set<Element>();
      document.addEventListener('focusin', ({ target }) => seen.add(target as Element));
      return seen;
    });
    for (let i = 0; i < wanted + 8; i++) await page.keyboard.press('Tab');
    const missed = await page.evaluate(
      (seen) =>
        [...document.querySelectorAll<HTMLElement>('a[href], button, input, select, textarea, summary')]
          .filter(
            (element) =>
              element.checkVisibility() &&
              !seen.has(element) &&
              !(element instanceof HTMLInputElement && element.type === 'radio' && !element.checked),
          )
          .map((element) => element.outerHTML.slice(0, 120)),
      reached,
    );
    expect(wanted).toBeGreaterThan(8);
    expect(missed).toEqual([]);
    await page.context().close();
  });

  it('the skip link leads past the bar', async () => {
    const page = await app.open('/runs');
    await settled(page);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.closest('header.bar') === null)).toBe(true);
    await page.context().close();
  });

  it.each(Object.entries(PAGES))('%s says what it waits for, and fits into 390 px', async (name, path) => {
    for (const which of [/\/api\/runs$/, /\/api\/(?!runs$)/]) {
      if (name === 'runs' && which.source.includes('(?!')) continue;
      // These do not wait for the runs.
      if ((name === 'feature' || name === 'search') && !which.source.includes('(?!')) continue;
      const page = await app.open(path, { viewport: { width: 390, height: 844 } }, (page) =>
        page.route(which, async (route) => {
          await new Promise((resolve) => setTimeout(resolve, 900));
          await route.continue().catch(() => {});
        }),
      );
      const words = await page.waitForSelector('.waiting[role=status]', { timeout: 5000 });
      expect((await words.textContent())!.length).toBeGreaterThan(8);
      await settled(page);
      await page.waitForSelector('h1');
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
      await page.context().close();
    }
  });

  it('nothing jumps while texts are written', async () => {
    const page = await app.open(PAGES.feature);
    await settled(page);
    await page.waitForFunction(() => /held\s*\S/.test(document.querySelector('.with p')?.textContent ?? ''));
    const tops = () =>
      page.$$eval('.sample', (all) => all.map((one) => Math.round(one.getBoundingClientRect().top)));
    const before = await tops();
    await page.route('**/api/steer', async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 800));
      await route.continue();
    });
    await page.getByRole('button', { name: 'draw again' }).click();
    await page.waitForSelector('.waiting');
    expect(await tops()).toEqual(before);
    await page.context().close();
  });
});

describe.runIf(chromium)('hostile names', () => {
  const inert = async (page: Page) => {
    await settled(page);
    expect(await page.evaluate(() => (window as { hacked?: unknown }).hacked)).toBe(undefined);
    expect(await page.locator('img, iframe, object, embed, base').count()).toBe(0);
    expect(
      await page.$$eval('[href], [src]', (all) =>
        all
          .map((one) => one.getAttribute('href') ?? one.getAttribute('src')!)
          .filter((to) => /^\s*javascript:/i.test(to)),
      ),
    ).toEqual([]);
  };

  it('labels, notes, texts, prompts and names of runs stay text', async () => {
    await ask(app.server, 'PUT', `/api/label/${RUN}/11`, {
      label: IMAGE,
      note: `<script>hacked=1</script>${IMAGE}`,
    });
    const text = encodeURIComponent(`${IMAGE} <script>hacked=1</script>`);
    const run = encodeURIComponent(SCRIPT_RUN);
    const page = await app.open(`/feature/${RUN}/11?text=${text}&prompt=${text}`);
    await inert(page);
    expect(await page.textContent('h1')).toContain(IMAGE);
    for (const path of [
      `/?text=${text}`,
      `/search/${RUN}?q=onerror`,
      `/search/${RUN}?q=${text}`,
      `/steer?edits=${run}:1:add:8,%25E0%25A4:1:add:1&prompt=${text}`,
      '/lists',
      '/runs',
      `/runs/${run}`,
      `/feature/${run}/1`,
      `/runs/${text}`,
      '/feature/%E0%A4%A/1',
    ]) {
      await page.goto(app.server.url + path);
      await page.waitForFunction(() => (document.querySelector('#root, pre')?.textContent ?? '') !== '');
      if (!path.includes('%A/')) await inert(page);
    }
    await page.goto(`${app.server.url}/runs`);
    await page.getByRole('link', { name: SCRIPT_RUN }).click();
    await page.getByRole('heading', { name: SCRIPT_RUN }).waitFor();
    await inert(page);
    await page.context().close();
    expect(app.errors).toEqual([]);
  });

  it('a label that turns the direction of writing turns nothing beside it', async () => {
    await ask(app.server, 'PUT', `/api/label/${RUN}/12`, { label: TURNED });
    for (const path of [`/feature/${RUN}/12`, `/search/${RUN}?q=turned`]) {
      const page = await app.open(path);
      await settled(page);
      const holders = await page.evaluate(
        (label) =>
          [...document.querySelectorAll('body *')]
            .filter(
              (one) =>
                one.textContent === label && [...one.children].every(({ tagName }) => tagName === 'MARK'),
            )
            .map((one) => getComputedStyle(one))
            .map(({ unicodeBidi, display }) => unicodeBidi === 'isolate' || display === 'block'),
        TURNED,
      );
      expect(holders.length, path).toBeGreaterThan(0);
      expect(holders.every(Boolean), path).toBe(true);
      await page.context().close();
    }
  });

  it('scripts of a page’s text do not run: the policy of contents', async () => {
    const page = await app.open('/runs');
    const policy = (await (await fetch(`${app.server.url}/runs`)).headers.get('content-security-policy'))!;
    expect(policy).toMatch(/script-src 'self' 'wasm-unsafe-eval';/);
    await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'window.hacked = 1';
      document.body.append(script);
      const image = document.createElement('div');
      image.innerHTML = '<img src="x" onerror="window.hacked = 1">';
      document.body.append(image);
    });
    await page.waitForTimeout(300);
    expect(await page.evaluate(() => (window as { hacked?: unknown }).hacked)).toBe(undefined);
    await page.context().close();
  });

  it('no path leads out of the built app', async () => {
    writeFileSync(join(app.fixture.folder, 'secret.txt'), 'secret');
    const { port } = new URL(app.server.url);
    const raw = (path: string) =>
      new Promise<[number, string]>((resolve, reject) => {
        const asked = request(
          { host: '127.0.0.1', port, path, headers: { host: `localhost:${port}` } },
          (answer) => {
            let body = '';
            answer.on('data', (bytes) => (body += bytes));
            answer.on('end', () => resolve([answer.statusCode!, body]));
          },
        );
        asked.on('error', reject).end();
      });
    for (const path of [
      '/../package.json',
      '/..%2fpackage.json',
      '/assets/..%2f..%2f..%2fpackage.json',
      '/%2e%2e/%2e%2e/package.json',
      '/..%5c..%5cpackage.json',
      '//etc/passwd',
      '/assets/%00',
      `/runs/..%2f..%2fsecret.txt`,
      '/feature/..%2f..%2f..%2fetc%2fpasswd/1.json',
    ]) {
      const [status, body] = await raw(path);
      expect(body, path).not.toMatch(/"devDependencies"|root:|^secret/);
      if (status === 200) expect(body, path).toContain('<div id="root">');
      else expect([400, 404], path).toContain(status);
    }
    rmSync(join(app.fixture.folder, 'secret.txt'));
  });
});

describe.runIf(chromium)('empty and broken', () => {
  const starting = async (folder: string) =>
    await serve([folder], serveConfigSchema.parse({ port: 0 }), { version: '0.0.0', web });

  it('no runs: says how to make one', async () => {
    const folder = join(app.fixture.path, 'none');
    mkdirSync(folder);
    const empty = await starting(folder);
    const page = await app.open(`${empty.url}/`);
    await page.getByRole('heading', { name: 'No runs yet' }).waitFor();
    expect(await page.textContent('pre')).toMatch(/npx saekit train --model/);
    await page.context().close();
    await empty.close();
  });

  it('a run without an index: says how to make one', async () => {
    const page = await app.open('/search/tiny');
    await page.getByRole('heading', { name: 'This run has no index yet' }).waitFor();
    expect(await page.textContent('pre')).toBe(`npx saekit index ${join(app.fixture.folder, 'tiny')}`);
    await page.goto(`${app.server.url}/feature/tiny/3`);
    await page.getByText(`npx saekit index ${join(app.fixture.folder, 'tiny')}`).waitFor();
    await page.context().close();
  });

  it.each([
    [`/feature/${RUN}/99999`, 'has no latent 99999: it has 0 to 4095'],
    ['/feature/nothing/1', 'nothing'],
    ['/runs/nothing', 'nothing'],
    [`/search/${RUN}?q=${encodeURIComponent('#x')}`, 'expected a number of a latent'],
  ])('%s says what is wrong', async (path, message) => {
    const page = await app.open(path);
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toContain(message);
    expect(await page.getByRole('link').count()).toBeGreaterThan(4);
    await page.context().close();
  });

  it('a run that has cards alone shows what they have, and says what an index adds', async () => {
    const { folder } = app.fixture;
    const features = join(folder, RUN, 'features');
    const run = join(folder, 'cards-alone');
    cpSync(join(folder, RUN), run, {
      recursive: true,
      filter: (path) => !path.startsWith(features) || path === features || path.endsWith('cards.json'),
    });
    const { cards } = JSON.parse(readFileSync(join(run, 'features', 'cards.json'), 'utf8'));
    const page = await app.open(`/feature/cards-alone/${cards[0].latent}`);
    await page.getByText(`npx saekit index ${run}`).waitFor();
    expect(await page.locator('.reads .chips button').allTextContents()).toEqual(['deciles', 'top']);
    for (const name of ['deciles', 'top']) {
      await page.getByRole('button', { name, exact: true }).click();
      expect(await page.locator('.reads .row').count()).toBeGreaterThan(0);
      expect(await page.getByText('It never fired').count()).toBe(0);
    }
    await page.context().close();
    rmSync(run, { recursive: true });
  });

  it.each(['/nope', '/steer/x', '/lists/my-list'])('%s: there is no such page', async (path) => {
    const page = await app.open(path);
    await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
    expect(await page.getByRole('navigation', { name: 'Pages' }).count()).toBe(1);
    await page.context().close();
  });

  it.each([
    ['/runs/', 'Runs'],
    ['/lists/', 'Lists'],
    ['/steer/', 'Steer'],
  ])('%s is the page without the slash', async (path, title) => {
    const page = await app.open(path);
    await page.getByRole('heading', { level: 1, name: title }).waitFor();
    await page.context().close();
  });

  it('a server that is gone is named, and asked again', async () => {
    const page = await app.open('/');
    await page.waitForSelector('.card');
    await page.route('**/api/**', (route) => route.abort());
    await page.fill('.editor textarea', 'Is anybody there?');
    await page.getByText('Start it again: npx saekit serve').waitFor();
    await page.unroute('**/api/**');
    await page.getByRole('button', { name: 'try again' }).click();
    await page.getByRole('alert').waitFor({ state: 'hidden' });
    await page.waitForSelector('.backdrop [data-t="3"]');
    await page.context().close();
  });
});
