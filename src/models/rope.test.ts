import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseRope, ropeFrequencies, ropeTables } from './rope.ts';

type Golden = {
  config: { head_dim: number; max_position_embeddings: number; rope_parameters: Record<string, unknown> };
  positions: number[];
  length: number;
  frequencies: number[];
  cos: number[];
  sin: number[];
};
const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/models/rope.json', import.meta.url), 'utf8'),
) as Record<string, Golden>;

describe.each(Object.entries(golden))(
  '%s, as transformers computes it',
  (_name, { config, positions, length, frequencies, cos, sin }) => {
    const spec = parseRope(config, config.max_position_embeddings, config.head_dim);

    test('frequencies', () => {
      const ours = ropeFrequencies(spec, length);
      // Two units in the last place: PyTorch's float32 power is not correctly rounded.
      for (const [i, f] of frequencies.entries()) expect(Math.abs(ours[i]! - f) / f).toBeLessThan(2.5e-7);
    });

    test('cos and sin up to position 8,000', () => {
      const tables = ropeTables(spec, Int32Array.from(positions), [length]);
      let worst = 0;
      for (const [i, c] of cos.entries())
        worst = Math.max(worst, Math.abs(tables.cos[i]! - c), Math.abs(tables.sin[i]! - sin[i]!));
      // One unit in the last place of a frequency, at 8,000 positions.
      expect(worst).toBeLessThan(1e-3);
    });

    test('the old spelling of the same configuration means the same', () => {
      const { rope_theta, rope_type, ...scaling } = config.rope_parameters;
      const old = {
        rope_theta,
        rope_scaling: rope_type === 'default' ? null : { type: rope_type, ...scaling },
      };
      expect(parseRope(old, config.max_position_embeddings, config.head_dim)).toEqual(spec);
    });
  },
);

test('what is missing or not supported is named', () => {
  const parse = (rope_parameters: object) => () => parseRope({ rope_parameters }, 2048, 64);
  expect(parse({ rope_type: 'linear' })).toThrow(/RoPE parameter factor is undefined, expected a number/);
  expect(parse({ rope_type: 'longrope' })).toThrow(
    /"longrope" is not supported. Supported: default, linear, dynamic, llama3, yarn/,
  );
  expect(parse({ partial_rotary_factor: 0.5 })).toThrow(/partial_rotary_factor 0.5 is not supported/);
});
