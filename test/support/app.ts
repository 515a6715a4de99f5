// The app as a person has it: the built pages, a server over copies of the bundled runs, Chromium.
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium as driver, type Page } from 'playwright-core';
import type { RunningServer } from '../../src/server/index.ts';
import { createServerFixture, type Lab } from '../fixtures/server.ts';
import { root } from '../repository.ts';

export type App = {
  readonly fixture: Lab;
  readonly server: RunningServer;
  readonly browser: Browser;
  /** Errors of all pages. */
  readonly errors: string[];
  /** A page of a browser that was never here. */
  open(
    path: string,
    options?: BrowserContextOptions,
    before?: (page: Page) => Promise<unknown>,
  ): Promise<Page>;
  close(): Promise<void>;
};

export const web = join(root, 'dist', 'web');

/** @param program Chromium; {@link prepare} changes the runs before they are served */
export async function startApp(program: string, prepare: (fixture: Lab) => void = () => {}): Promise<App> {
  const fixture = await createServerFixture();
  prepare(fixture);
  const server = await fixture.start({}, { web });
  const browser = await driver.launch({ executablePath: program, args: ['--no-sandbox'] });
  const errors: string[] = [];
  return {
    ...{ fixture, server, browser, errors },
    async open(path, options = {}, before) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
      const page = await context.newPage();
      page.setDefaultTimeout(30_000);
      page.on('pageerror', (error) => errors.push(String(error)));
      await before?.(page);
      await page.goto(new URL(path, server.url).href);
      return page;
    },
    async close() {
      await browser.close();
      await server.close();
      fixture.remove();
    },
  };
}

/** Waits until nothing is asked any more and nothing shown is out of date. */
export async function settled(page: Page): Promise<void> {
  await page.waitForSelector('main');
  await page.waitForLoadState('networkidle').catch(() => {});
  await page.waitForFunction(() => !document.querySelector('.waiting, .old'));
}
