// Options of commands beside `train` (every-option.test.ts) whose effect no other test sees: each changes what a person gets.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { saekit } from './fixtures/command-line.ts';
import { createWorkspace, type Workspace } from './fixtures/workspace.ts';
import { root } from './repository.ts';
import { late } from './support/demo.ts';

const SAE = late.folder;

let workspace: Workspace;
beforeAll(() => {
  workspace = createWorkspace();
}, 120_000);
afterAll(() => workspace.remove());

async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await saekit([...args, '--json']);
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

it('push --message and --no-features', async () => {
  const shown = async (...flags: string[]) => {
    const { message, files } = await json('push', SAE, 'lab/sae', ...flags);
    return { message, files: JSON.stringify(files) };
  };
  const [plain, said, bare] = [
    await shown(),
    await shown('--message', 'first'),
    await shown('--no-features'),
  ];
  expect([plain.message === 'first', said.message]).toEqual([false, 'first']);
  expect(plain.files).toContain('features/cards.json');
  expect(bare.files).not.toContain('features/');
});

it('inspect --features', async () => {
  const heads = async (n: string) =>
    (await saekit(['inspect', SAE, '--features', n])).stdout.match(/^#\d+ /gm)?.length;
  expect([await heads('2'), await heads('7')]).toEqual([2, 7]);
});

it('--debug shows where an error was thrown', async () => {
  const failing = ['inspect', join(workspace.path, 'nothing')];
  const [plain, debugged] = [await saekit(failing), await saekit([...failing, '--debug'])];
  expect([plain.status, debugged.status]).toEqual([1, 1]);
  expect(plain.stderr).not.toMatch(/^ +at /m);
  expect(debugged.stderr).toMatch(/^ +at .*main\.js/m);
});

it('harvest --exclude-first', async () => {
  const rows = async (...flags: string[]) => {
    const out = workspace.newFolder();
    const size = ['--hooks', 'blocks.0.hook_resid_post', '--tokens', '2000', '--context-length', '32'];
    await json(
      'harvest',
      '--model',
      workspace.model,
      '--data',
      workspace.corpus,
      '--out',
      out,
      ...size,
      ...flags,
    );
    return (await json('inspect', out)) as { excludeFirst?: number };
  };
  expect(JSON.stringify(await rows('--exclude-first', '4'))).not.toBe(JSON.stringify(await rows()));
}, 60_000);

it('generate --threads: the engine has them, the text is the same', async () => {
  const preload = [pathToFileURL(join(root, 'test/fixtures/say-threads.mjs')).href];
  const writes = async (threads: string) => {
    const prompt = ['--prompt', 'the river', '--max-tokens', '4', '--threads', threads];
    const { status, stdout, stderr } = await saekit(['generate', '--model', workspace.model, ...prompt], {
      preload,
    });
    expect(status, stderr).toBe(0);
    return { stdout, threads: [...new Set(stderr.match(/^threads .*/gm))] };
  };
  const [one, two] = [await writes('1'), await writes('2')];
  expect([one.threads, two.threads]).toEqual([['threads 1'], ['threads 2']]);
  expect(two.stdout).toBe(one.stdout);
});

it('demo --seconds', async () => {
  const tokens = async (seconds: string): Promise<number> => {
    const cwd = workspace.newFolder();
    mkdirSync(cwd);
    let all = '';
    // Ten times the seconds: the speed is measured anew and may differ by a third.
    await saekit(['demo', '--seconds', seconds], {
      cwd,
      onOutput(text, interrupt) {
        all += text;
        if (/tokens take about/.test(all)) interrupt();
      },
    });
    const [, number, unit] = /so ([\d.,]+) ?([kM]?) tokens take about/.exec(all)!;
    return Number(number!.replaceAll(',', '')) * ({ k: 1e3, M: 1e6 }[unit!] ?? 1);
  };
  expect(await tokens('600')).toBeGreaterThan(3 * (await tokens('60')));
}, 240_000);

it('eval --screen int8: the same numbers, and a note of what was computed', async () => {
  const out = workspace.newFolder();
  expect((await saekit(workspace.small(out))).status).toBe(0);
  const measured = async (...flags: string[]) =>
    (await json('eval', out, '--max-tokens', '400', ...flags)) as { notes: string[]; candidates: unknown };
  const [plain, screened] = [await measured(), await measured('--screen', 'int8')];
  const rounded = (value: unknown) =>
    JSON.stringify(value, (_, v: unknown) => (typeof v === 'number' ? Number(v.toPrecision(4)) : v));
  expect(rounded(screened.candidates)).toBe(rounded(plain.candidates));
  expect(plain.notes.join()).not.toContain('screening');
  expect(screened.notes.join()).toMatch(/int8 screening: of 128 latents \d+ a row were computed/);
  expect((await saekit(['eval', out, '--screen', 'int4'])).status).toBe(2);
}, 120_000);
