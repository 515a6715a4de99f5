import { expect, it } from 'vitest';
import { createRng } from './rng.ts';

it('reproduces the reference stream of xoshiro128** from the state 1, 2, 3, 4', () => {
  const rng = createRng(0);
  rng.restore([1, 2, 3, 4]);
  // Output of the authors’ C program, published in the tests of the Rust crate rand_xoshiro.
  const reference = [
    11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
  ];
  expect(reference.map(() => rng.u32())).toEqual(reference);
});

it('gives the same stream for the same seed, another one for another seed', () => {
  const draw = (seed: string | number) => {
    const rng = createRng(seed);
    return Array.from({ length: 8 }, () => rng.u32());
  };
  expect(draw('chess/17')).toEqual(draw('chess/17'));
  expect(draw(17)).toEqual(draw(17));
  const streams = ['chess/17', 'chess/18', 17, 18, 17 + 2 ** 32].map((seed) => draw(seed).join());
  expect(new Set(streams).size).toBe(streams.length);
});

it('continues from a stored state', () => {
  const rng = createRng('state');
  rng.normal();
  const state = rng.state();
  const next = [rng.uniform(), rng.int(1000), rng.normal()];
  rng.restore(state);
  expect([rng.uniform(), rng.int(1000), rng.normal()]).toEqual(next);
});

it('draws whole numbers evenly: chi-square of 7 cells stays below its 99.9 % point', () => {
  const rng = createRng('even');
  const cells = new Array<number>(7).fill(0);
  for (let i = 0; i < 70_000; i++) cells[rng.int(7)]! += 1;
  const chiSquare = cells.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
  expect(chiSquare).toBeLessThan(22.46);
});

it('has the moments of uniform and normal numbers', () => {
  const rng = createRng('moments');
  const n = 100_000;
  const uniforms = Array.from({ length: n }, () => rng.uniform());
  const normals = Array.from({ length: n }, () => rng.normal());
  const moment = (values: number[], power: number) => values.reduce((sum, x) => sum + x ** power, 0) / n;
  // Five standard errors each.
  expect(Math.abs(moment(uniforms, 1) - 1 / 2)).toBeLessThan(5 * Math.sqrt(1 / 12 / n));
  expect(Math.abs(moment(normals, 1))).toBeLessThan(5 / Math.sqrt(n));
  expect(Math.abs(moment(normals, 2) - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
  expect(Math.abs(moment(normals, 4) - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
  expect(uniforms.every((x) => x >= 0 && x < 1)).toBe(true);
});

it('refuses what has no answer', () => {
  const rng = createRng(1);
  expect(() => rng.int(0)).toThrow('from 1 to 2^32');
  expect(() => rng.int(1.5)).toThrow('from 1 to 2^32');
  expect(() => rng.pick([])).toThrow('non-empty');
});
