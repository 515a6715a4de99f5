import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scalarRecord, versionRecord } from '../../formats/tfevents.ts';
import { disk } from '../atomic.ts';
import { tensorboardSink } from './tensorboard.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'saekit-tb-'));
});
afterEach(() => rm(folder, { recursive: true }));
const now = () => 5000;
const record = (step: number, scalars: Record<string, number>) =>
  scalarRecord({ wallTime: 5, step, scalars });

describe('TensorBoard log', () => {
  it('writes the numbers of every line, and no file before the first', async () => {
    const sink = await tensorboardSink(folder, { now });
    expect(await readdir(folder)).toEqual([]);
    await sink.append({ step: 20, loss: 0.5, fvu: Number.NaN, name: 'x', dead: 3 });
    await sink.append({ step: 40, loss: 0.25 });
    await sink.close();
    expect(await readdir(folder)).toEqual(['events.out.tfevents.5.saekit']);
    const expected = [versionRecord(5), record(20, { loss: 0.5, dead: 3 }), record(40, { loss: 0.25 })];
    expect(Buffer.concat(expected).equals(await readFile(join(folder, 'events.out.tfevents.5.saekit')))).toBe(
      true,
    );
  });

  it('a continued run drops later steps and torn records from the old file and goes on in a later one', async () => {
    const old = [versionRecord(5), record(20, { a: 1 }), record(40, { a: 2 }), record(60, { a: 3 })];
    await writeFile(
      join(folder, 'events.out.tfevents.5.saekit'),
      Buffer.concat([...old, record(80, { a: 4 }).slice(0, 9)]),
    );
    await writeFile(join(folder, 'events.out.tfevents.4.saekit'), versionRecord(5).slice(0, 7));
    await writeFile(join(folder, 'events.out.tfevents.3.saekit'), '');
    const sink = await tensorboardSink(folder, { now, after: 40 });
    expect(await readdir(folder)).toEqual(['events.out.tfevents.5.saekit']);
    await sink.append({ step: 60, a: 3 });
    await sink.close();
    const read = (name: string) => readFile(join(folder, name));
    expect((await read('events.out.tfevents.5.saekit')).equals(Buffer.concat(old.slice(0, 3)))).toBe(true);
    expect(
      (await read('events.out.tfevents.6.saekit')).equals(
        Buffer.concat([versionRecord(5), record(60, { a: 3 })]),
      ),
    ).toBe(true);
  });

  it('says so when the disk is full', async () => {
    const full = Object.assign(new Error('full'), { code: 'ENOSPC' });
    const open = async () => ({
      write: () => Promise.reject(full),
      sync: async () => {},
      close: async () => {},
    });
    const sink = await tensorboardSink(folder, { now, on: { ...disk, open } });
    await expect(sink.append({ step: 1, loss: 1 })).rejects.toThrow(/No space left.*TensorBoard record/);
  });
});
