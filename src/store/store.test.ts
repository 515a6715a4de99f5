import {
  appendFile,
  cp,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { trainConfigSchema } from '../shared/config.ts';
import type { Run } from '../shared/run.ts';
import { type Disk, StorageFull, writeAtomic } from './atomic.ts';
import {
  type CheckpointArray,
  createRunFolder,
  lockOwner,
  readRun,
  readRunCheckpoint,
  readRunMetrics,
  resumeRunFolder,
  runCheckpoints,
} from './index.ts';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'saekit-store-'));
});
afterEach(() => rm(root, { recursive: true }));

/** A disk that has room for so many bytes, then answers ENOSPC as the system does, after a short write. */
function smallDisk(room: number): Disk & { room: number } {
  const full = (): Error =>
    Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  const state = {
    room,
    rename,
    async open(path: string, flags: string) {
      const handle = await open(path, flags);
      return {
        async write(bytes: Uint8Array, offset: number, length: number) {
          const n = Math.min(length, state.room);
          if (n === 0) throw full();
          state.room -= n;
          return await handle.write(bytes, offset, n);
        },
        sync: () => handle.sync(),
        close: () => handle.close(),
      };
    },
  };
  return state;
}

const run = (extra: Partial<Run> = {}): Run => ({
  schemaVersion: 1,
  status: 'running',
  config: trainConfigSchema.parse({ model: 'm', data: ['d'] }),
  resolved: { hook: 'blocks.3.hook_resid_post', lr: 4e-4 },
  seeds: { seed: 0 },
  provenance: {
    model: { name: 'm', family: 'llama', hash: 'ab', parameters: 10 },
    data: [{ path: 'd', bytes: 3, sha256: 'cd', documents: 1 }],
    split: 'by hash',
    saekit: '0.1.0',
    node: process.version,
    engine: 'onnxruntime-node 1.30.0',
    machine: 'linux x64, 2 threads',
  },
  started: new Date(0).toISOString(),
  step: 0,
  ...extra,
});
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const caught = async (promise: Promise<unknown>): Promise<Error> =>
  await promise.then(
    () => new Error('nothing was thrown'),
    (error: Error) => error,
  );

describe('writing whole or not at all', () => {
  test('an async source that uses one buffer again and again is written in order', async () => {
    const path = join(root, 'f');
    async function* chunks(): AsyncGenerator<Uint8Array> {
      const buffer = new Uint8Array(2);
      for (let i = 0; i < 4; i++) yield buffer.fill(65 + i);
    }
    await writeAtomic(path, chunks(), { byteLength: 8, what: 'letters' });
    expect(await readFile(path, 'utf8')).toBe('AABBCCDD');
    expect(await readdir(root)).toEqual(['f']);
  });

  test('a full disk: says what was written, bytes needed and free, and the old file is intact', async () => {
    const path = join(root, 'weights');
    await writeFile(path, 'old');
    const big = new Uint8Array(5_000_000);
    const error = await caught(
      writeAtomic(path, [big], { byteLength: big.length, what: "the SAE's weights", on: smallDisk(1000) }),
    );
    expect(error).toBeInstanceOf(StorageFull);
    expect(error.message).toMatch(
      /No space left on the disk while writing the SAE's weights to .*weights \(5\.0 MB needed, .* free\)/,
    );
    expect(error.message).toMatch(/keeps its earlier content/);
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(root)).toEqual(['weights']);
    const fresh = await caught(
      writeAtomic(join(root, 'new'), [big], { byteLength: big.length, what: 'it', on: smallDisk(0) }),
    );
    expect(fresh.message).toMatch(/was not created/);
  });

  test('a source that breaks or is shorter than announced leaves nothing behind', async () => {
    const path = join(root, 'f');
    function* broken(): Generator<Uint8Array> {
      yield bytes('ab');
      throw new Error('source failed');
    }
    expect((await caught(writeAtomic(path, broken(), { byteLength: 4, what: 'f' }))).message).toBe(
      'source failed',
    );
    expect((await caught(writeAtomic(path, [bytes('ab')], { byteLength: 4, what: 'f' }))).message).toMatch(
      /2 bytes were written, 4 announced/,
    );
    expect(await readdir(root)).toEqual([]);
  });
});

describe('run folder', () => {
  test('run.json, metrics and checkpoints come back as they were written', async () => {
    const path = join(root, 'deep', 'run');
    const folder = await createRunFolder(path);
    await folder.writeRun(run());
    for (let step = 20; step <= 60; step += 20)
      await folder.appendMetrics({ step, loss: 1 / step, fvu: Number.NaN });
    const arrays = new Map<string, CheckpointArray>([
      ['W', Float32Array.of(1.5, -0, 3e-42)],
      ['n', Int32Array.of(-1, 2 ** 31 - 1)],
      ['counts', Float64Array.of(2 ** 40, 0.1)],
      ['none', new Int32Array(0)],
    ]);
    await folder.saveCheckpoint({
      step: 40,
      arrays,
      json: { cursor: { epoch: 1, offset: 3 }, rng: [1, 2, 3, 4294967295] },
    });
    await folder.writeRun(
      run({ status: 'finished', step: 60, finished: new Date(1).toISOString(), metrics: { fvu: 0.1 } }),
    );
    await folder.close();

    expect((await readRun(path)).metrics).toEqual({ fvu: 0.1 });
    expect(await readRunMetrics(path)).toEqual([
      { step: 20, loss: 0.05, fvu: null },
      { step: 40, loss: 0.025, fvu: null },
      { step: 60, loss: 1 / 60, fvu: null },
    ]);
    const back = await readRunCheckpoint(path);
    expect(back.step).toBe(40);
    expect(back.json).toEqual({ cursor: { epoch: 1, offset: 3 }, rng: [1, 2, 3, 4294967295] });
    expect(new Map(back.arrays)).toEqual(arrays);
    expect(Object.is(back.arrays.get('W')![1], -0)).toBe(true);
  });

  test('the last two checkpoints are kept; one of the same step is replaced', async () => {
    const path = join(root, 'run');
    const folder = await createRunFolder(path);
    for (const step of [5, 10, 100, 100])
      await folder.saveCheckpoint({ step, arrays: new Map(), json: { v: step } });
    expect(await runCheckpoints(path)).toEqual([10, 100]);
    expect((await readdir(join(path, 'checkpoints'))).sort()).toEqual(['step-10', 'step-100']);
    await folder.writeRun(run());
    await folder.close();
    // What a process leaves that dies before it removes the oldest.
    await cp(join(path, 'checkpoints/step-10'), join(path, 'checkpoints/step-5'), { recursive: true });
    await (await resumeRunFolder(path)).folder.close();
    expect(await runCheckpoints(path)).toEqual([10, 100]);
  });

  test('a checkpoint that is replaced is never gone: neither when that fails nor when the process dies between the renames', async () => {
    const path = join(root, 'run');
    const checkpoints = join(path, 'checkpoints');
    const on = smallDisk(1e9);
    const folder = await createRunFolder(path, { on });
    await folder.writeRun(run());
    await folder.saveCheckpoint({ step: 5, arrays: new Map(), json: { v: 1 } });
    on.rename = () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }));
    const again = folder.saveCheckpoint({ step: 5, arrays: new Map(), json: { v: 2 } });
    expect((await caught(again)).message).toMatch(/checkpoint of step 5 is intact/);
    expect(await readdir(checkpoints)).toEqual(['step-5']);
    await folder.close();

    await cp(join(checkpoints, 'step-5'), join(checkpoints, '.tmp-step-5'), { recursive: true });
    await rename(join(checkpoints, 'step-5'), join(checkpoints, '.tmp-old-step-5'));
    const resumed = await resumeRunFolder(path);
    expect(resumed.checkpoint?.json).toEqual({ v: 1 });
    expect(await readdir(checkpoints)).toEqual(['step-5']);
    await resumed.folder.close();
  });

  test('a disk that fills up during a checkpoint leaves the one before it, and no half one', async () => {
    const path = join(root, 'run');
    const on = smallDisk(1e9);
    const folder = await createRunFolder(path, { on });
    const arrays = new Map([['x', Float32Array.from({ length: 1000 }, (_, i) => i)]]);
    await folder.saveCheckpoint({ step: 1, arrays, json: {} });
    for (const room of [0, 100, 4000, 4150]) {
      on.room = room;
      const error = await caught(folder.saveCheckpoint({ step: 2, arrays, json: { text: 'y'.repeat(200) } }));
      expect(error).toBeInstanceOf(StorageFull);
      expect(error.message).toMatch(
        /checkpoint of step 2 .*\(4\d\d\d bytes needed.*checkpoint of step 1 is intact/,
      );
      expect(await readdir(join(path, 'checkpoints'))).toEqual(['step-1']);
    }
    on.room = 3;
    expect((await caught(folder.appendMetrics({ step: 2 }))).message).toMatch(/a line of metrics/);
    await folder.close();
    expect(await readRunMetrics(path)).toEqual([]);
    expect((await readRunCheckpoint(path)).arrays.get('x')).toEqual(arrays.get('x'));
  });

  test('resuming drops metrics after the checkpoint, half-written folders and the line that a crash cut off', async () => {
    const path = join(root, 'run');
    const folder = await createRunFolder(path);
    await folder.writeRun(run());
    for (const step of [1, 2, 3]) await folder.appendMetrics({ step });
    await folder.saveCheckpoint({ step: 2, arrays: new Map(), json: { at: 'two' } });
    await folder.close();
    await appendFile(join(path, 'metrics.jsonl'), '{"step":4,"lo');
    await mkdir(join(path, 'checkpoints/.tmp-step-4'));
    await mkdir(join(path, 'checkpoints/.tmp-gone-step-1'));
    await mkdir(join(path, 'features'));
    for (const name of ['run.json', 'sae_weights.safetensors', 'features/cards.json'])
      await writeFile(join(path, `${name}.tmp-4711-2`), '{"sch');
    expect((await readRunMetrics(path)).length).toBe(3);

    const resumed = await resumeRunFolder(path);
    expect(resumed.run.status).toBe('running');
    expect(resumed.checkpoint?.json).toEqual({ at: 'two' });
    await resumed.folder.appendMetrics({ step: 3, again: true });
    await resumed.folder.close();
    expect(await readRunMetrics(path)).toEqual([{ step: 1 }, { step: 2 }, { step: 3, again: true }]);
    expect(await readdir(join(path, 'checkpoints'))).toEqual(['step-2']);
    expect(await readdir(join(path, 'features'))).toEqual([]);
    expect((await readdir(path)).sort()).toEqual(['checkpoints', 'features', 'metrics.jsonl', 'run.json']);
  });

  test('refusals: a folder with a run, with other files, without a run, of a newer saekit, with a damaged checkpoint', async () => {
    const path = join(root, 'run');
    const folder = await createRunFolder(path);
    await folder.writeRun(run());
    await folder.saveCheckpoint({ step: 1, arrays: new Map([['x', new Float32Array(9)]]), json: {} });
    await folder.saveCheckpoint({ step: 2, arrays: new Map([['x', new Float32Array(9)]]), json: {} });
    await folder.close();
    expect((await caught(createRunFolder(path))).message).toMatch(
      /already holds a run \(running at step 0.*--resume/,
    );
    await truncate(join(path, 'checkpoints/step-2/state.safetensors'), 60);
    expect((await caught(resumeRunFolder(path))).message).toMatch(
      /step-2: damaged checkpoint .*resume from step 1/,
    );
    expect(await lockOwner(path)).toBeUndefined();

    await writeFile(join(root, 'notes.txt'), 'x');
    expect((await caught(createRunFolder(root))).message).toMatch(
      /is not empty \(.*notes\.txt.*\) and holds no run/,
    );
    expect((await caught(readRun(root))).message).toMatch(/no run folder: no run\.json \(it holds /);
    expect((await caught(resumeRunFolder(join(root, 'nowhere')))).message).toMatch(/no such folder/);

    const file = join(path, 'run.json');
    await writeFile(file, JSON.stringify({ ...run(), schemaVersion: 9 }));
    expect((await caught(readRun(path))).message).toMatch(/schema version 9.*Update saekit/);
    await writeFile(file, JSON.stringify({ ...run(), step: 'x' }));
    expect((await caught(readRun(path))).message).toMatch(/run\.json: step:/);
  });
});
