// Many runs: the folders are looked through once for a request, and every run has a name of its own.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import '../platform/node.ts';
import { serveConfigSchema } from '../shared/serve.ts';
import { createLab } from './lab.ts';
import * as scan from './runs.ts';

vi.mock('./runs.ts', async (original) => {
  const actual = await original<typeof scan>();
  return { ...actual, findRuns: vi.fn(actual.findRuns) };
});

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'saekit-lab-'));
  for (const path of ['a/first', 'a/second', 'b/first', 'b/c/first', 'third']) {
    mkdirSync(join(root, path), { recursive: true });
    writeFileSync(join(root, path, 'run.json'), '{}');
  }
});
afterAll(() => rmSync(root, { recursive: true }));

it('are found once for a request', async () => {
  const lab = createLab([root], serveConfigSchema.parse({}), join(root, 'lists.json'));
  const { signal } = new AbortController();
  const looks = async (ask: () => Promise<unknown>): Promise<number> => {
    vi.mocked(scan.findRuns).mockClear();
    await ask().catch(() => {});
    return vi.mocked(scan.findRuns).mock.calls.length;
  };
  const found = await lab.runs();
  expect(found.map(({ run, folder }) => [run, folder])).toEqual([
    ['a~first', join(root, 'a/first')],
    ['second', join(root, 'a/second')],
    ['b~first', join(root, 'b/first')],
    ['third', join(root, 'third')],
  ]);
  expect(await looks(() => lab.runs())).toBe(1);
  expect(await looks(() => lab.models())).toBe(1);
  expect(await looks(() => lab.useModel('none', signal, async () => {}))).toBe(1);
  expect(await looks(() => lab.use(['second', 'third'], signal, async () => {}))).toBe(1);
  expect(await looks(() => lab.summary('second'))).toBe(1);
  await lab.close();
});
