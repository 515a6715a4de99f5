import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fromBlob } from './browser.ts';
import { folderFromBytes, fromBytes } from './memory.ts';
import { openFile, openFolder } from './node.ts';
import type { ByteSource } from './types.ts';
import { serialPort } from './worker-port.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'saekit-platform-'));
});
afterEach(() => rm(folder, { recursive: true }));

const CONTENT = Uint8Array.from({ length: 100 }, (_, i) => i);

test.each(['memory', 'file', 'blob'])(
  'a byte source gives ranges and refuses to leave its bytes: %s',
  async (kind) => {
    await writeFile(join(folder, 'a.bin'), CONTENT);
    const source: ByteSource =
      kind === 'memory'
        ? fromBytes(CONTENT)
        : kind === 'file'
          ? await openFile(join(folder, 'a.bin'))
          : fromBlob(new Blob([CONTENT]));
    expect(source.byteLength).toBe(100);
    expect([...(await source.slice(10, 13))]).toEqual([10, 11, 12]);
    expect(await source.slice(100, 100)).toHaveLength(0);
    for (const [start, end] of [
      [0, 101],
      [-1, 5],
      [7, 3],
      [0.5, 2],
      [Number.NaN, 1],
    ] as const) {
      await expect(source.slice(start, end)).rejects.toThrow(/but it has 100/);
    }
    await source.close?.();
  },
);

describe('folders', () => {
  test('a file knows its real path through symlinks', async () => {
    await writeFile(join(folder, 'blob'), CONTENT);
    await symlink('blob', join(folder, 'name.bin'));
    const opened = await openFolder(folder);
    expect(await opened.has('name.bin')).toBe(true);
    expect(await opened.has('other')).toBe(false);
    const source = await opened.open('name.bin');
    expect(source.realPath).toMatch(/blob$/);
    await source.close?.();
  });

  test('what is missing or of another kind is named', async () => {
    await writeFile(join(folder, 'file'), 'x');
    await expect(openFolder(join(folder, 'none'))).rejects.toThrow(/none: no such folder/);
    await expect(openFolder(join(folder, 'file'))).rejects.toThrow(/file is no model file/);
    await expect(openFile(join(folder, 'none'))).rejects.toThrow(/none: no such file/);
    await expect(openFile(folder)).rejects.toThrow(/not a file/);
    await expect(folderFromBytes('up', new Map()).open('a')).rejects.toThrow('up: no file a; it has none.');
  });
});

describe('a worker inbox', () => {
  test('handles one message at a time, in order, and stops only between two', async () => {
    const log: string[] = [];
    let finish: () => void = () => {};
    const stopped = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const port = serialPort(() => {
      log.push('stop');
      finish();
    });
    port.push({ message: 'early' });
    port.start(async (message) => {
      log.push(`${message} begins`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      log.push(`${message} ends`);
    });
    port.push({ message: 'second' });
    port.push({ stop: true });
    port.push({ message: 'never' });
    await stopped;
    expect(log).toEqual(['early begins', 'early ends', 'second begins', 'second ends', 'stop']);
  });

  test('can be stopped before anything listens', () => {
    let stops = 0;
    serialPort(() => stops++).push({ stop: true });
    expect(stops).toBe(1);
  });
});

test('the engine reports to nobody: it leaves no trace of its telemetry in the home and temporary folders', async () => {
  const script = `await import(${JSON.stringify(new URL('./node.ts', import.meta.url).href)});
    const { createGraphBuilder, createSession } = await import(${JSON.stringify(new URL('../graph/index.ts', import.meta.url).href)});
    const g = createGraphBuilder();
    const x = g.input('x', 'float32', [1]);
    g.named('y', g.add(x, x));
    await (await createSession(g.graph, ['y'])).release();`;
  const run = (env: Record<string, string>) =>
    execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      env: { PATH: process.env.PATH, HOME: folder, TMPDIR: folder, XDG_CACHE_HOME: folder, ...env },
    });
  const traces = async () => (await readdir(folder)).filter((name) => !name.startsWith('tsx'));
  run({});
  expect(await traces()).toEqual([]);
});
