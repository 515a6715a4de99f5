// The three directions against scikit-learn (test/oracles/steer/vectors.py), and what they do to a text.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import '../platform/node.ts';
import { root } from '../../test/repository.ts';
import { LATE as hook } from '../../test/support/demo.ts';
import { openModel } from '../models/index.ts';
import { fromBytes } from '../platform/index.ts';
import { createVector, directionOf, encodeVector, readVector, steer, vectorMethods } from './index.ts';

const GOLDEN = JSON.parse(readFileSync(join(root, 'test/golden/steer/vectors.json'), 'utf8')) as Record<
  string,
  number[]
>;
const [D, P, N] = [12, 30, 40];

const numbers = (seed: number, size: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => {
    const x = Math.sin((i + 1) * 12.9898 + seed) * 43758.5453;
    return (x - Math.floor(x) - 0.5) * 2;
  });
const stretched = (rows: Float32Array, offset: (d: number) => number): Float32Array =>
  rows.map((value, i) => value * (0.3 + (1.7 * (i % D)) / (D - 1)) + offset(i % D) + 3);
const shift = numbers(3, D);
const plus = stretched(numbers(1, P * D), (d) => 0.4 * shift[d]!);
const minus = stretched(numbers(2, N * D), () => 0);

test.each(vectorMethods)('%s is that of scikit-learn', (method) => {
  const { vector, from, to } = directionOf(plus, minus, D, method);
  const expected = GOLDEN[method]!;
  const size = Math.hypot(...expected);
  for (const [d, value] of expected.entries()) expect(Math.abs(vector[d]! - value) / size).toBeLessThan(1e-4);
  expect(Math.abs(to - from)).toBeCloseTo(Math.hypot(...vector), 5);
});

test('a direction between Greek and English goes through a file and turns the text Greek; the other way it does not', async () => {
  const model = await openModel('demo/model', { threads: 1 });
  try {
    const positive = [
      'Το βιβλίο είναι πάνω στο τραπέζι.',
      'Η συνάντηση θα γίνει αύριο το πρωί.',
      'Δεν ξέρω τι να κάνω τώρα.',
    ];
    const negative = [
      'The book is on the table.',
      'The meeting will be held tomorrow morning.',
      'I do not know what to do now.',
    ];
    for (const method of vectorMethods) {
      const made = await createVector(model, { hook, positive, negative, method });
      const read = await readVector(fromBytes(encodeVector(made)), 'greek.safetensors');
      expect(read).toMatchObject({ hook, metadata: { method, model_hash: model.info.hash } });
      expect(read.vector).toEqual(made.vector);
      const write = async (value: number) =>
        await model.generate('The meeting will be', {
          maxNewTokens: 16,
          interventions: await steer(model, [{ vector: read.vector, hook, value }]),
        });
      const greek = (text: string): number => text.match(/\p{Script=Greek}/gu)?.length ?? 0;
      expect(greek(await write(2)), method).toBeGreaterThan(8);
      expect(greek(await write(-2)), method).toBe(0);
    }
  } finally {
    await model.close();
  }
});

test('what is no vector, and sets that do not differ, are refused', async () => {
  await expect(readVector(fromBytes(new Uint8Array(4)), 'x')).rejects.toThrow(/too short/);
  const { vector } = directionOf(plus, minus, D, 'mean');
  vector[3] = Number.NaN;
  const bad = encodeVector({ vector, hook: 'h', metadata: {} });
  await expect(readVector(fromBytes(bad), 'x')).rejects.toThrow(/not finite/);
  expect(() => directionOf(plus, plus, D, 'mean')).toThrow(/do not differ/);
});
