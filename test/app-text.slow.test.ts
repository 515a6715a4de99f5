// What a person typed in the app is not lost: by reloading, by Back, by the next latent, by another mode. In Chromium.
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../src/platform/node.ts';
import { ask, EARLY, RUN } from './fixtures/server.ts';
import { type App, settled, startApp } from './support/app.ts';
import { findBrowser } from './support/chromium.ts';
import { DNA, GREEK } from './support/demo.ts';

const chromium = findBrowser();
const OWN = 'My precious text';
const LAB = '.editor textarea';
const YOURS = '.yours textarea';
let app: App;
beforeAll(async () => {
  if (chromium) app = await startApp(chromium);
}, 120_000);
afterAll(() => app?.close());

/** Of the page itself: what the driver has heard of its address may be older. */
const param = (page: Page, name: string) =>
  page.evaluate((name) => new URLSearchParams(location.search).get(name), name);
const waitForText = (page: Page, field: string, text: string) =>
  page.waitForFunction(
    ([field, text]) => document.querySelector<HTMLTextAreaElement>(field!)?.value === text,
    [field, text],
  );

describe.runIf(chromium)('a long text', () => {
  const page22k = 'It was a page of text. '.repeat(1000).slice(0, 22_500);

  it.each([
    ['of 22,500 characters', page22k],
    ['of 1,800 Chinese characters', '世界和平'.repeat(450)],
  ])('%s is in the address of the lab and of a latent, which can be opened anew', async (_, text) => {
    const page = await app.open('/');
    for (const [path, field] of [
      ['/', LAB],
      [`/feature/${RUN}/${DNA}`, YOURS],
    ] as const) {
      await page.goto(app.server.url + path);
      await page.fill(field, text);
      expect((await param(page, 'text')) === text).toBe(true);
      expect((await page.reload())!.status()).toBe(200);
      await waitForText(page, field, text);
      expect(await page.getByText('Too long for a link').count()).toBe(0);
    }
    await page.context().close();
  });

  it('beyond that it is kept by the tab, which says so: reloading, a latent, the next one and Back have it', async () => {
    const text = '世界和平'.repeat(10_000);
    const page = await app.open(`/?run=${RUN}`);
    await page.waitForSelector('.card');
    await page.fill(LAB, text);
    await page.getByText('Too long for a link').waitFor();
    expect([await param(page, 'text'), await param(page, 'run')]).toEqual([null, RUN]);
    expect((await page.reload())!.status()).toBe(200);
    await waitForText(page, LAB, text);
    await settled(page);
    await page.locator('.card').first().click();
    await waitForText(page, YOURS, text);
    await page.getByText('Too long for a link').waitFor();
    await page.locator('#steer-strength').press('Home');
    await page.waitForFunction(() => new URLSearchParams(location.search).get('strength') === '-6');
    const before = await page.evaluate(() => location.pathname);
    await page.keyboard.press('j');
    await page.waitForFunction((before) => location.pathname !== before, before);
    await waitForText(page, YOURS, text);
    expect(await page.inputValue('#steer-strength')).toBe('-6');
    await page.goBack();
    await page.goBack();
    await waitForText(page, LAB, text);
    await page.fill(LAB, 'short');
    await page.getByText('Too long for a link').waitFor({ state: 'detached' });
    expect(await param(page, 'text')).toBe('short');
    await page.context().close();
  });
});

describe.runIf(chromium)('a text of one’s own', () => {
  it('comes back with Back after a sample was chosen', async () => {
    const page = await app.open('/runs');
    await page.getByRole('link', { name: 'text', exact: true }).click();
    await page.fill(LAB, OWN);
    await page.getByRole('button', { name: 'DNA' }).click();
    await page.getByRole('button', { name: 'JSON' }).click();
    expect(await page.inputValue(LAB)).toContain('Maria Keller');
    await page.goBack();
    await page.goBack();
    await waitForText(page, LAB, OWN);
    await page.goBack();
    await page.waitForFunction(() => location.pathname === '/runs');
    await page.context().close();
  });

  it('is there again when the lab is', async () => {
    const page = await app.open(`/?${new URLSearchParams({ text: OWN })}`);
    const bar = page.getByRole('navigation', { name: 'Pages' });
    await bar.getByRole('link', { name: 'latents' }).click();
    await page.waitForSelector('.name-row');
    await bar.getByRole('link', { name: 'text' }).click();
    await waitForText(page, LAB, OWN);
    expect(await param(page, 'text')).toBe(OWN);
    expect(await bar.getByRole('link', { name: 'text' }).getAttribute('aria-current')).toBe('page');
    // The name of the app leads to the beginning.
    await page.getByRole('link', { name: 'saekit' }).click();
    await page.waitForFunction(() => location.search === '');
    expect(await page.inputValue(LAB)).toContain('Fellow citizens');
    await page.context().close();
  });

  it('goes along to other latents with strength, mode and prompt', async () => {
    const query = '?text=ACGT&strength=2&prompt=Hello&mode=clamp';
    const page = await app.open(`/feature/${RUN}/${DNA}${query}`);
    const at = async (latent: number | RegExp) => {
      await page
        .getByRole('heading', { level: 1, name: typeof latent === 'number' ? `#${latent} ` : latent })
        .waitFor();
      await waitForText(page, YOURS, 'ACGT');
      expect(await page.inputValue('#steer-strength')).toBe('2');
      expect(await page.inputValue('.prompt-field input')).toBe('Hello');
      expect(await page.isChecked('text=clamp')).toBe(true);
      for (const [name, value] of new URLSearchParams(query)) expect(await param(page, name)).toBe(value);
    };
    await at(DNA);
    await page.keyboard.press('j');
    await at(DNA + 1);
    await page.getByRole('button', { name: '←' }).click();
    await at(DNA);
    const neighbour = page.locator('.below .name-row').first();
    const id = Number((await neighbour.locator('.id').textContent())!.slice(1));
    await neighbour.click();
    await at(id);
    await page.context().close();
  });
});

it.runIf(chromium)('an edit has its strength again when it comes back to its mode', async () => {
  const page = await app.open(`/steer?edits=${RUN}:${DNA}:clamp:12,${RUN}:${GREEK}:zero`);
  const mode = (latent: number, to: string) =>
    page.selectOption(`select[aria-label="How to change #${latent}"]`, to);
  const strength = (latent: number) => page.inputValue(`[aria-label="Strength of #${latent}"]`);
  await page.locator('.edit-name bdi').nth(1).filter({ hasText: /./ }).waitFor();
  for (const other of ['zero', 'scale', 'suppress']) {
    await mode(DNA, other);
    await mode(DNA, 'clamp');
    expect([other, await strength(DNA)]).toEqual([other, '12']);
  }
  // Of a latent that had none: as strong as one that is added.
  const { maximum } = (await ask(app.server, 'GET', `/api/feature/${RUN}/${GREEK}`)).body;
  await mode(GREEK, 'clamp');
  expect(await strength(GREEK)).toBe(String(Math.round(3.5 * maximum)));
  await page.context().close();
});

describe.runIf(chromium)('the words of the lab', () => {
  it('name their latents to the arrow keys as to the mouse', async () => {
    const page = await app.open(`/?${new URLSearchParams({ text: 'DNA: ACGTTAGCCATGACC' })}`);
    await page.waitForSelector('.backdrop [data-t="4"]');
    await settled(page);
    await page.focus(LAB);
    await page.keyboard.press('Control+Home');
    const outlined = () =>
      page.$$eval('.backdrop .tok', (all) =>
        all.flatMap((one, i) =>
          one.classList.contains('hovered') ? [[i, one.textContent!.length, all.length]] : [],
        ),
      );
    const [[first, length, count]] = (await outlined()) as [[number, number, number]];
    expect(first).toBe(0);
    for (let i = 0; i < length; i++) await page.keyboard.press('ArrowRight');
    expect((await outlined())[0]![0]).toBe(1);
    await page.keyboard.press('End');
    expect((await outlined())[0]![0]).toBe(count - 1);
    await page.waitForSelector('.detail .fact-chip');
    await page.keyboard.type('T');
    expect(await outlined()).toEqual([]);
    await page.context().close();
  });

  it('written from right to left stand before their number', async () => {
    const page = await app.open(`/?${new URLSearchParams({ text: 'يولد جميع الناس أحرارا', run: EARLY })}`);
    await page.waitForSelector('.card');
    const sides = await page.$$eval('.card bdi', (all) =>
      all
        .filter((one) => /\p{Script=Arabic}/u.test(one.textContent!))
        .map((one) => {
          const range = document.createRange();
          const number = [...one.parentElement!.childNodes].find(({ textContent }) =>
            /\d/.test(textContent!),
          )!;
          range.selectNodeContents(number);
          return one.getBoundingClientRect().right <= range.getBoundingClientRect().left + 1;
        }),
    );
    expect(sides.length).toBeGreaterThan(0);
    expect(sides.every(Boolean)).toBe(true);
    await page.context().close();
  });
});

it.runIf(chromium)('no page had an error', () => expect(app.errors).toEqual([]));
