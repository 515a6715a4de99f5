import { expect, test } from 'vitest';
import { PIECE, rowsTogether } from './pieces.ts';

test('rows of one length run together up to 2,048 tokens', () => {
  expect(rowsTogether(new Array(8).fill(512), 0)).toBe(4);
  expect(rowsTogether(new Array(8).fill(256), 0)).toBe(8);
  expect(rowsTogether(new Array(80).fill(1), 4000)).toBe(80);
});

test('a short row is not padded to a long one, unless all are short', () => {
  expect(rowsTogether([512, 100, 100, 100], 0)).toBe(1);
  expect(rowsTogether([512, 500, 256, 512], 0)).toBe(2);
  // The last would make 5 x 120 = 600 of the 420 tokens.
  expect(rowsTogether([120, 20, 120, 40, 120], 0)).toBe(4);
});

test('long texts run alone, and ended rows not at all', () => {
  expect(rowsTogether([512, 512, 512, 512], 1536)).toBe(4);
  expect(rowsTogether([512, 512, 512, 512], 3584)).toBe(2);
  expect(rowsTogether([PIECE, PIECE], 100_000)).toBe(1);
  expect(rowsTogether([-3, 10], 0)).toBe(0);
  expect(rowsTogether([10, 0, 10], 0)).toBe(1);
});
