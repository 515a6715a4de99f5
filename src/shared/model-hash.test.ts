import { expect, test } from 'vitest';
import { sameModel, shortHash } from './model-hash.ts';

const [s, t] = ['a'.repeat(64), 'b'.repeat(64)];

test.each([
  [`${s}-1`, `${s}-1`, true],
  [`${s}-1`, `${s}-2`, false],
  [`${s}-1`, `${t}-1`, false],
  // Written before weights were looked at.
  [s, `${s}-1`, true],
  [`${s}-1`, s, true],
  [s, s, true],
  [s, `${t}-1`, false],
  [undefined, undefined, true],
  [s, undefined, false],
])('%s and %s: %s', (a, b, same) => {
  expect(sameModel(a, b)).toBe(same);
});

test('short hashes of models that differ in weights alone differ', () => {
  expect(shortHash(s)).toBe('aaaaaaaaaaaa…');
  expect(shortHash(`${s}-0123456789`)).toBe('aaaaaaaaaaaa…01234567');
});
