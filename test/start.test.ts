// npm start, when everything is installed and built: the app is there within seconds, stays after the terminal's part, and ends with Ctrl-C.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { buildOnce } from './fixtures/command-line.ts';
import { root } from './repository.ts';
import { LATE } from './support/demo.ts';

beforeAll(buildOnce, 120_000);

it('opens the app on the bundled run and keeps it until Ctrl-C', async () => {
  const child = spawn(process.execPath, [join(root, 'scripts', 'start.mjs'), '--no-train'], {
    cwd: root,
    // A group of its own: Ctrl-C reaches all of it, as on a terminal.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, CI: '1' },
  });
  let text = '';
  let built = 0;
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
    if (built === 0 && text.includes('2/3 build')) built = Date.now();
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    await expect.poll(() => /3\/3 the app: (http:\S+)/.exec(text)?.[1], { timeout: 60_000 }).toBeDefined();
    const [, url] = /3\/3 the app: (http:\S+)/.exec(text)!;
    const seconds = (Date.now() - built) / 1000;
    const page = await fetch(url!);
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('<div id="root">')]);
    // 10 s on a machine that does nothing else.
    expect(seconds).toBeLessThan(40);
    const { runs } = (await (await fetch(`${url}/api/runs`)).json()) as { runs: { run: string }[] };
    expect(runs.map(({ run }) => run)).toContain(LATE);
    await expect.poll(() => text, { timeout: 120_000 }).toContain('Ctrl-C ends it.');
    expect((await fetch(url!)).status).toBe(200);
  } finally {
    process.kill(-child.pid!, 'SIGINT');
  }
  expect(await ended).toBe(0);
}, 240_000);
