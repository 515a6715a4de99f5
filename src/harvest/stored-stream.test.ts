import fc from 'fast-check';
import { expect, test } from 'vitest';
import { memoryActivations } from '../../test/support/memory-activations.ts';
import { Interrupted } from '../shared/errors.ts';
import { NonFiniteActivations } from './non-finite.ts';
import { splitRows } from './stored-order.ts';
import { createStoredStream, type StoredStreamOptions } from './stored-stream.ts';
import type { ResumableStream } from './stream.ts';

const D = 2;

/** Row numbers of the next `batches` batches, or of all there are. */
async function take(
  stream: ResumableStream,
  B: number,
  batches = Number.POSITIVE_INFINITY,
): Promise<number[]> {
  const rows: number[] = [];
  for (let i = 0; i < batches; i++) {
    const batch = await stream.next(B);
    if (!batch) break;
    for (let b = 0; b < batch.B; b++) {
      rows.push(batch.x[b * D]!);
      // The rest of the row came with it.
      if (batch.x[b * D + 1] !== 1) throw new Error(`row ${rows.at(-1)} is torn`);
    }
  }
  return rows;
}
const stored = (rows: number, options: Partial<StoredStreamOptions> = {}): ResumableStream =>
  createStoredStream({ source: memoryActivations(rows, D), ...options });
const sorted = (rows: Iterable<number>): number[] => [...rows].sort((a, b) => a - b);
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

test('every row is given exactly once per epoch, whatever the sizes, and every epoch has another order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 6000 }),
      fc.integer({ min: 2, max: 8000 }),
      fc.integer({ min: 0, max: 5 }),
      async (rows, shuffleTokens, seed) => {
        const stream = stored(rows, { shuffleTokens, seed });
        const epochs = [
          await take(stream, rows, 1),
          await take(stream, rows, 1),
          await take(stream, 1, rows),
        ];
        for (const epoch of epochs) expect(sorted(epoch)).toEqual(upTo(rows));
        if (rows > 20) expect(epochs[0]).not.toEqual(epochs[1]);
        expect(stream.epochs).toBe(2);
        await stream.close();
      },
    ),
    { numRuns: 40 },
  );
});

test('training and held-out rows are all rows together and none in common, the same for every seed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 30_000 }),
      fc.double({ min: 0.001, max: 0.9, noNaN: true }),
      async (rows, heldout) => {
        const part = (which: 'train' | 'heldout', seed: number): Promise<number[]> =>
          take(stored(rows, { heldout, part: which, seed, endless: false, shuffleTokens: 5000 }), 1);
        const held = await part('heldout', 0);
        expect(sorted([...held, ...(await part('train', 1))])).toEqual(upTo(rows));
        expect(sorted(await part('heldout', 1))).toEqual(sorted(held));
        expect(held.length).toBeGreaterThan(0);
        if (rows > 1000) expect(Math.abs(held.length / rows - heldout)).toBeLessThan(heldout / 2 + 0.01);
      },
    ),
    { numRuns: 25 },
  );
  // Sections, not single rows: neighbours are mostly of the same text.
  expect(splitRows(1_000_000, 0.05).heldout.length).toBeLessThan(20);
  expect(() => splitRows(10, 1)).toThrow(/share is 1/);
});

test('a stream stopped after any step goes on with the same bits, from JSON alone', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 500, max: 4000 }),
      fc.integer({ min: 100, max: 5000 }),
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 0, max: 40 }),
      async (rows, shuffleTokens, B, steps) => {
        const options = { shuffleTokens, seed: 3, heldout: 0.1 };
        const straight = stored(rows, options);
        for (let i = 0; i < steps; i++) await straight.next(B);
        const { position, arrays } = straight.state();
        expect(arrays.size).toBe(0);
        const resumed = stored(rows, options);
        resumed.restore(JSON.parse(JSON.stringify(position)), new Map());
        expect(await take(resumed, B, 6)).toEqual(await take(straight, B, 6));
        expect(resumed.epochs).toBe(straight.epochs);
        // A stream that has read ahead can be set back, too.
        straight.restore(position, new Map());
        resumed.restore(position, new Map());
        expect(await take(straight, B, 3)).toEqual(await take(resumed, B, 3));
        await straight.close();
        await resumed.close();
      },
    ),
    { numRuns: 40 },
  );
});

test('rows that are neighbours on disk come apart: what follows a row is another row of its pool with equal chance', async () => {
  const rows = 80_000;
  const shuffleTokens = 40_000;
  const order = await take(stored(rows, { shuffleTokens, endless: false, seed: 11 }), 1000);
  // P = 20,000 rows a pool, in blocks of b = 78: the next row is of the same block with probability (b - 1) / (P - 1).
  const [P, b] = [20_000, 78];
  let same = 0;
  for (let i = 1; i < rows; i++) if (Math.floor(order[i]! / b) === Math.floor(order[i - 1]! / b)) same++;
  const expected = ((b - 1) / (P - 1)) * rows;
  expect(Math.abs(same - expected)).toBeLessThan(5 * Math.sqrt(expected));
  // Serial correlation of the order is 0 within 5 / sqrt(n); in file order it would be 1.
  const mean = (rows - 1) / 2;
  let [serial, variance] = [0, 0];
  for (let i = 0; i < rows; i++) variance += (order[i]! - mean) ** 2;
  for (let i = 1; i < rows; i++) serial += (order[i]! - mean) * (order[i - 1]! - mean);
  expect(Math.abs(serial / variance)).toBeLessThan(5 / Math.sqrt(rows));
  // Places: the 80,000 rows in 10 x 10 cells of (tenth of the file, tenth of the epoch). Whole blocks go to a pool, so cells scatter by
  // blocks: chi-square of 81 degrees of freedom, inflated by at most b.
  const cells = new Float64Array(100);
  for (let i = 0; i < rows; i++) {
    const tenthOfFile = Math.floor(order[i]! / (rows / 10));
    cells[10 * Math.floor(i / (rows / 10)) + tenthOfFile]! += 1;
  }
  const chiSquare = cells.reduce((sum, n) => sum + (n - rows / 100) ** 2 / (rows / 100), 0);
  expect(chiSquare).toBeLessThan(b * (81 + 5 * Math.sqrt(2 * 81)));
});

test('rows that fit into memory are permuted uniformly and read once', async () => {
  const source = memoryActivations(1000, D);
  const stream = createStoredStream({ source, shuffleTokens: 1000 });
  const counts = new Float64Array(100);
  const epochs = 200;
  for (let epoch = 0; epoch < epochs; epoch++)
    for (const [i, row] of (await take(stream, 1000, 1)).entries())
      counts[10 * Math.floor(i / 100) + Math.floor(row / 100)]! += 1;
  // Tenth of the file against tenth of the epoch: 81 degrees of freedom.
  const expected = (epochs * 1000) / 100;
  const chiSquare = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
  expect(chiSquare).toBeLessThan(81 + 5 * Math.sqrt(2 * 81));
  expect(source.reads.reduce((sum, { count }) => sum + count, 0)).toBe(1000);
});

test('a pool is read in ascending order, in blocks, each row once', async () => {
  const source = memoryActivations(60_000, D);
  const stream = createStoredStream({ source, shuffleTokens: 20_480, endless: false });
  expect((await take(stream, 100)).length).toBe(60_000);
  const starts = source.reads.map(({ start }) => start);
  const descents = starts.filter((start, i) => i > 0 && start < starts[i - 1]!).length;
  expect(descents).toBe(Math.ceil(60_000 / 10_240) - 1);
  expect(source.reads.reduce((sum, { count }) => sum + count, 0)).toBe(60_000);
});

test('shuffleTokens 0 keeps the order of the files, another seed another order, withTokens reads the ids', async () => {
  expect(await take(stored(9000, { shuffleTokens: 0, endless: false }), 1000)).toEqual(upTo(9000));
  const first = (seed: number): Promise<number[]> => take(stored(9000, { seed, shuffleTokens: 800 }), 50, 1);
  expect(await first(1)).toEqual(await first(1));
  expect(await first(1)).not.toEqual(await first(2));
  const { x, tokens } = (await stored(500, { withTokens: true, shuffleTokens: 100 }).next(60))!;
  for (let b = 0; b < 60; b++) expect(tokens[b]).toBe(7 * x[b * D]!);
  expect([...(await stored(500).next(3))!.tokens]).toEqual([-1, -1, -1]);
});

test('NaN and Infinity stop the stream and name file and row; the state is the one before', async () => {
  for (const bad of [Number.NaN, Number.NEGATIVE_INFINITY]) {
    const make = (damaged: boolean): ResumableStream =>
      createStoredStream({
        source: memoryActivations(3000, D, {
          fill: (i, d) => (damaged && i === 1234 && d === 1 ? bad : d === 0 ? i : 1),
        }),
        shuffleTokens: 600,
      });
    const stream = make(true);
    const reference = make(false);
    const given: number[] = [];
    let error: unknown;
    while (!error)
      given.push(
        ...(await take(stream, 90, 1).catch((e: unknown) => {
          error = e;
          return [];
        })),
      );
    expect(error).toBeInstanceOf(NonFiniteActivations);
    expect((error as Error).message).toContain('row 1234: shard-12.safetensors, row 34');
    expect((error as Error).message).toMatch(/Activation 1 is (NaN|-Infinity)/);
    expect(given).toEqual(await take(reference, 90, given.length / 90));
    await expect(stream.next(90)).rejects.toBe(error);
    const mended = make(false);
    mended.restore(stream.state().position, new Map());
    expect(await take(mended, 90, 3)).toEqual(await take(reference, 90, 3));
  }
});

test('a place of other activations, settings or of a model stream is refused, and a part without rows', () => {
  const { position } = stored(100).state();
  expect(() => stored(101).restore(position, new Map())).toThrow(/memory 100.*memory 101/);
  expect(() => stored(100, { seed: 1 }).restore(position, new Map())).toThrow(/Resume with the same/);
  expect(() => stored(100, { heldout: 0.1 }).restore(position, new Map())).toThrow(/held-out share/);
  expect(() => stored(100, { part: 'heldout' })).toThrow(/none of its 100 rows is left for the heldout part/);
});

test('the signal stops the reading of the first rows, later it does not', async () => {
  const controller = new AbortController();
  const options = { shuffleTokens: 400, signal: controller.signal };
  const running = stored(9000, options);
  await running.next(10);
  controller.abort();
  expect(await take(running, 100, 50)).toHaveLength(5000);
  await expect(stored(9000, options).next(10)).rejects.toBeInstanceOf(Interrupted);
});
