import fc from 'fast-check';
import { expect, test } from 'vitest';
import { dense } from './decode.ts';
import { editLatent, latentColumn } from './edit.ts';
import type { SparseCode } from './types.ts';

const F = 7;
/** Rows of distinct latents; a value of 0 is a free slot, whatever its index. */
const codes = fc.integer({ min: 1, max: 4 }).chain((K) =>
  fc
    .array(
      fc.tuple(
        fc.shuffledSubarray(
          Array.from({ length: F }, (_, f) => f),
          { minLength: K, maxLength: K },
        ),
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: K, maxLength: K }),
      ),
      { minLength: 1, maxLength: 5 },
    )
    .map(
      (rows): SparseCode => ({
        B: rows.length,
        K,
        values: Float32Array.from(rows.flatMap(([, values]) => values)),
        indices: Int32Array.from(rows.flatMap(([latents]) => latents)),
      }),
    ),
);

test('an edit is that of one column of the dense code, whatever the function does', () => {
  const changes: ((value: number, row: number) => number)[] = [
    () => 0,
    () => 5,
    (value) => value - 2,
    (value) => value,
    (value, row) => (row === 1 ? 9 : value),
  ];
  fc.assert(
    fc.property(codes, fc.nat(F - 1), fc.constantFrom(...changes), (code, latent, change) => {
      const before = structuredClone(code);
      const expected = dense(code, F);
      for (let b = 0; b < code.B; b++) expected[b * F + latent] = change(expected[b * F + latent]!, b);
      const edited = editLatent(code, latent, change);
      expect(dense(edited, F)).toEqual(expected);
      expect(latentColumn(edited, latent)).toEqual(expected.filter((_, i) => i % F === latent));
      expect(edited.K - code.K).toBeOneOf([0, 1]);
      // No latent stands in two slots of a row: both would count.
      for (let b = 0; b < edited.B; b++) {
        const on = [...edited.indices.subarray(b * edited.K, (b + 1) * edited.K)].filter(
          (_, k) => edited.values[b * edited.K + k] !== 0,
        );
        expect(new Set(on).size).toBe(on.length);
      }
      expect(code).toEqual(before);
    }),
  );
});

test('K grows only where a row has no free slot', () => {
  const code = { B: 2, K: 1, values: Float32Array.of(2, 0), indices: Int32Array.of(3, 0) };
  expect(editLatent(code, 3, (value) => 2 * value).K).toBe(1);
  expect(editLatent(code, 4, (_, row) => row).K).toBe(1);
  expect(editLatent(code, 4, () => 1).K).toBe(2);
});

test('what is no latent, and what is no number, is refused', () => {
  const code: SparseCode = { B: 1, K: 1, values: Float32Array.of(2), indices: Int32Array.of(1) };
  for (const latent of [1.5, -1, Number.NaN]) {
    expect(() => editLatent(code, latent, () => 50)).toThrow(
      /Latent .* is not there: expected a whole number/,
    );
    expect(() => latentColumn(code, latent)).toThrow(/is not there/);
  }
  expect(() => editLatent(code, 1, () => Number.NaN)).toThrow(/row 0 would be NaN, expected a finite number/);
  expect(() => editLatent(code, 1, () => 1e39)).toThrow(/would be Infinity/);
});
