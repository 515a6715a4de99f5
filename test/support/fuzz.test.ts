import { expect, test } from 'vitest';
import { fuzz } from './fuzz.ts';

const seeds = [Uint8Array.from({ length: 64 }, (_, i) => i)];
/** Refuses whatever begins differently; breaks as `how` does when a later byte is damaged. */
const reader = (how: () => void) => (bytes: Uint8Array) => {
  if (bytes[0] !== 0) throw new Error('not this format');
  if (bytes[40] !== 40) how();
};
const broken: [string, () => void, RegExp][] = [
  [
    'an accident of JavaScript',
    () => void (undefined as never as { x: number }).x,
    /broke the reader: TypeError/,
  ],
  [
    'an array without end',
    () => void new Array(2 ** 32),
    /broke the reader: RangeError: Invalid array length/,
  ],
  [
    'an error that says nothing',
    () => {
      throw new Error('');
    },
    /broke the reader/,
  ],
  [
    'much memory',
    () => void new Uint8Array(64 * 2 ** 20).fill(1),
    /broke the reader: Error: it took \d+ MiB/,
  ],
];

test.each(broken)('finds %s', async (_, how, message) => {
  await expect(fuzz({ seeds, read: reader(how), seconds: 5, maxBytes: 32 * 2 ** 20 })).rejects.toThrow(
    message,
  );
});

test('a sound reader passes, and the same seed damages alike', async () => {
  const seen: string[][] = [[], []];
  for (const list of seen)
    await fuzz({
      seeds,
      seconds: 0.1,
      read: (bytes) => {
        list.push(bytes.join());
        reader(() => undefined)(bytes);
      },
    });
  const both = Math.min(seen[0]!.length, seen[1]!.length);
  expect(both).toBeGreaterThan(20);
  expect(seen[0]!.slice(0, both)).toEqual(seen[1]!.slice(0, both));
  expect(new Set(seen[0]).size).toBeGreaterThan(both / 2);
});
