import { afterEach, expect, it, vi } from 'vitest';
import type { TrainingRows } from '../training/source.ts';
import { meterRows } from './rows-speed.ts';

afterEach(() => vi.restoreAllMocks());

const B = 100;

/** Rows whose model takes `ms` for a batch, by a clock of its own. */
function slowRows(ms: number) {
  let now = 0;
  let batches = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  const stages = { data: 0, model: 0, sae: 0 };
  const xs = [new Float32Array(B)];
  const rows = {
    stages,
    get tokensSeen() {
      return batches * B;
    },
    async next() {
      batches++;
      now += ms;
      stages.model += ms;
      return { xs };
    },
    async prepare() {},
  } as unknown as TrainingRows;
  return { rows, batches: () => batches };
}

it('a slow model is not run for every step of the trainer that is timed; its speed is the same', async () => {
  const { rows, batches } = slowRows(20_000);
  const meter = await meterRows(rows, B, undefined);
  const before = batches();
  for (let i = 0; i < 12; i++) expect((await meter.next())[0]).toHaveLength(B);
  expect(batches() - before).toBe(1);
  expect(meter.speed()).toEqual({ data: 0, model: 200 });
});

it('a fast model gives other rows each time, and a slow one those that were made ready', async () => {
  const fast = slowRows(100);
  const meter = await meterRows(fast.rows, B, undefined);
  const before = fast.batches();
  for (let i = 0; i < 12; i++) await meter.next();
  expect(fast.batches() - before).toBe(12);

  const slow = slowRows(20_000);
  const other = await meterRows(slow.rows, B, undefined);
  await other.next();
  const known = slow.batches();
  await other.prepare();
  await other.next();
  await other.next();
  expect(slow.batches() - known).toBe(1);
});
