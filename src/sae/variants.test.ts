import { expect, test } from 'vitest';
import '../platform/node.ts';
import { createRng } from '../shared/rng.ts';
import { checkSae, describeSae } from './check.ts';
import { decode, dense } from './decode.ts';
import { encode } from './encode.ts';
import type { Sae, SharedConfig } from './types.ts';
import type { VariantSettings } from './variants/registry.ts';

const rng = createRng('variants');
const fill = (n: number, scale = 1, mean = 0) =>
  Float32Array.from({ length: n }, () => mean + scale * rng.normal());

function randomSae(
  settings: VariantSettings,
  { D = 6, F = 40, ...shared }: Partial<SharedConfig> = {},
  more: Partial<Sae> = {},
): Sae {
  const Dout = shared.Dout ?? D;
  return {
    config: { ...settings, D, F, metadata: {}, ...shared },
    W_enc: fill(F * D),
    b_enc: fill(F, 0.3),
    W_dec: fill(F * Dout),
    b_dec: fill(Dout, 0.5),
    ...more,
  };
}

/** The code [F] of one row that is already normalised and centred, all latents compared anew at each step. */
function slowPursuit(
  { F, residualThreshold, steps, revisits }: VariantSettings<'matching-pursuit'> & SharedConfig,
  W: Float32Array,
  row: readonly number[],
): number[] {
  const z = new Array<number>(F).fill(0);
  const rest = [...row];
  const D = rest.length;
  for (let step = 0; step < steps; step++) {
    const before = z.filter((v) => v !== 0).length;
    const scores = z.map((_, f) =>
      Math.max(
        0,
        rest.reduce((sum, v, d) => sum + v * W[f * D + d]!, 0),
      ),
    );
    const best = scores.indexOf(Math.max(...scores));
    z[best]! += scores[best]!;
    for (let d = 0; d < D; d++) rest[d]! -= scores[best]! * W[best * D + d]!;
    if (!revisits && z.filter((v) => v !== 0).length === before) break;
    if (residualThreshold > 0 && Math.sqrt(rest.reduce((sum, v) => sum + v * v, 0)) < residualThreshold)
      break;
  }
  return z;
}

/** z [B,F] and xhat [B,Dout] by the equations of each variant's file, in float64, one number at a time. */
function slow(sae: Sae, x: Float32Array, ids: readonly number[] = []): { z: number[]; xhat: number[] } {
  const { config, W_enc, b_enc, W_dec, b_dec } = sae;
  const { D, F } = config;
  const Dout = config.Dout ?? D;
  const subtracted = config.Dout === undefined && (config.subtractDecoderBias ?? true);
  const z: number[] = [];
  const xhat: number[] = [];
  for (let b = 0; b < x.length / D; b++) {
    const row = [...x.subarray(b * D, (b + 1) * D)];
    const mean = row.reduce((p, q) => p + q) / D;
    const std = Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (D - 1));
    const length = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0));
    const input =
      config.inputNorm === 'layer'
        ? row.map((v) => (v - mean) / (std + 1e-5))
        : config.inputNorm === 'norm'
          ? row.map((v) => (v * Math.sqrt(D)) / length)
          : config.inputNorm === 'centre'
            ? row.map((v) => v - mean)
            : row;
    const c = Array.from({ length: F }, (_, f) =>
      input.reduce((sum, v, d) => sum + (v - (subtracted ? b_dec[d]! : 0)) * W_enc[f * D + d]!, 0),
    );
    const pre = c.map((v, f) => v + b_enc[f]!);
    const signed = config.architecture === 'topk' && config.signed;
    const size = (v: number): number => (signed ? Math.abs(v) : v);
    const ranked = pre.map(size).sort((u, v) => v - u);
    const least = config.architecture === 'topk' ? ranked[config.K - 1]! : 0;
    const active = (p: number, f: number): number => {
      switch (config.architecture) {
        case 'relu':
          return Math.max(0, p);
        case 'jumprelu':
          return p > sae.threshold![f]! ? Math.max(0, p) : 0;
        case 'gated':
          return p > 0 ? Math.max(0, Math.exp(sae.r_mag![f]!) * c[f]! + sae.b_mag![f]!) : 0;
        case 'batchtopk':
        case 'matryoshka':
          return p > config.threshold ? p : 0;
        case 'topk':
          return size(p) >= least ? (config.signed ? p : Math.max(0, p)) : 0;
        case 'groupmax': {
          const size = F / config.K;
          const group = pre.slice(f - (f % size), f - (f % size) + size);
          return group.indexOf(Math.max(...group)) === f % size ? Math.max(0, p) : 0;
        }
        case 'matching-pursuit':
          return pursued[f]!;
        case 'temporal':
          throw new Error('A row needs those before it: temporal.test.ts has the equations.');
      }
    };
    const minus = (v: number, d: number): number => v - (subtracted ? b_dec[d]! : 0);
    const pursued =
      config.architecture === 'matching-pursuit' ? slowPursuit(config, W_dec, input.map(minus)) : [];
    const code = pre.map(active);
    z.push(...code);
    for (let o = 0; o < Dout; o++) {
      let sum = code.reduce((total, value, f) => total + value * W_dec[f * Dout + o]!, b_dec[o]!);
      if (sae.W_skip) sum += row.reduce((total, v, d) => total + v * sae.W_skip![o * D + d]!, 0);
      if (sae.b_token) sum += sae.b_token[ids[b]! * Dout + o]!;
      if (config.inputNorm === 'layer') sum = sum * std + mean;
      if (config.inputNorm === 'centre') sum += mean;
      if (config.inputNorm === 'norm') sum = (sum * length) / Math.sqrt(D);
      xhat.push(sum);
    }
  }
  return { z, xhat };
}

const wide = { F: 2060 };
const cases: Record<string, Sae> = {
  relu: randomSae({ architecture: 'relu' }),
  'relu, more than a tile': randomSae({ architecture: 'relu' }, wide),
  'relu that reads x itself': randomSae({ architecture: 'relu' }, { subtractDecoderBias: false }),
  'relu of normalised rows': randomSae({ architecture: 'relu' }, { inputNorm: 'layer' }),
  'relu of rows of one length': randomSae({ architecture: 'relu' }, { inputNorm: 'norm' }),
  'relu of centred rows': randomSae({ architecture: 'relu' }, { inputNorm: 'centre' }),
  'relu transcoder': randomSae({ architecture: 'relu' }, { Dout: 9 }),
  'relu skip transcoder': randomSae({ architecture: 'relu' }, { Dout: 9 }, { W_skip: fill(9 * 6) }),
  'relu with token bias': randomSae({ architecture: 'relu' }, {}, { b_token: fill(11 * 6) }),
  jumprelu: randomSae({ architecture: 'jumprelu' }, wide, { threshold: fill(2060, 1, 1) }),
  'jumprelu with thresholds below 0': randomSae(
    { architecture: 'jumprelu' },
    {},
    { threshold: fill(40, 1, -1) },
  ),
  gated: randomSae({ architecture: 'gated' }, wide, { r_mag: fill(2060, 0.3), b_mag: fill(2060, 0.5) }),
  batchtopk: randomSae({ architecture: 'batchtopk', K: 4, threshold: 1.5 }),
  matryoshka: randomSae({ architecture: 'matryoshka', K: 4, threshold: 1.5, prefixes: [10, 40] }),
  topk: randomSae({ architecture: 'topk', K: 5 }, wide),
  groupmax: randomSae({ architecture: 'groupmax', K: 5 }),
  'groupmax, groups across tiles': randomSae({ architecture: 'groupmax', K: 3 }, { F: 6180 }),
  'signed topk': randomSae({ architecture: 'topk', K: 5, signed: true }, wide),
  'topk of normalised rows': randomSae({ architecture: 'topk', K: 5 }, { inputNorm: 'layer' }),
  'matching pursuit': tied({ residualThreshold: 0.1, steps: 6 }),
  'matching pursuit, more than a tile': tied({ residualThreshold: 0.05, steps: 9, revisits: true }, wide),
  'matching pursuit without an end': tied({ residualThreshold: 0, steps: 5 }, { inputNorm: 'layer' }),
};

/** Rows of unit length, and of the lengths that training leaves: the encoder is the decoder. */
function tied(
  settings: Omit<VariantSettings<'matching-pursuit'>, 'architecture'>,
  shared: Partial<SharedConfig> = {},
): Sae {
  const sae = randomSae({ architecture: 'matching-pursuit', ...settings }, shared);
  const { D, F } = sae.config;
  const W_dec = sae.W_dec.map((w, i) => {
    const row = sae.W_dec.subarray(i - (i % D), i - (i % D) + D);
    return w / Math.hypot(...row) / (i % (3 * D) < D ? 1.05 : 1);
  });
  return { ...sae, W_dec, W_enc: W_dec, b_enc: new Float32Array(F) };
}

test.each(Object.entries(cases))('encodes and decodes by its equations: %s', async (_, sae) => {
  const { D, F } = sae.config;
  // Beyond one row tile where the latents are few; beyond one latent tile elsewhere.
  const B = F > 1000 ? 20 : 530;
  const x = fill(B * D, 1, 0.3);
  const ids = Array.from({ length: B }, (_, b) => b % 11);
  const code = await encode(sae, x);
  const expected = slow(sae, x, ids);
  const z = dense(code, F);
  for (const [i, value] of z.entries())
    if (Math.abs(value - expected.z[i]!) > 1e-4) expect([i, value]).toEqual([i, expected.z[i]]);
  const xhat = decode(sae, code, { x, ids });
  const scale = expected.xhat.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
  for (const [i, value] of xhat.entries())
    if (Math.abs(value - expected.xhat[i]!) > 1e-5 * scale) expect([i, value]).toEqual([i, expected.xhat[i]]);
  // Every active latent once, the largest first.
  for (let b = 0; b < B; b++) {
    const sizes = [...code.values.subarray(b * code.K, (b + 1) * code.K)].map(Math.abs);
    expect(sizes).toEqual([...sizes].sort((p, q) => q - p));
  }
  expect(code.values.filter((v) => v !== 0).length).toBe(z.filter((v) => v !== 0).length);
});

test('an SAE whose arrays or settings do not go together is refused with what is wrong', () => {
  const sae = cases.jumprelu!;
  const { threshold: _, ...without } = sae;
  expect(() => checkSae(without)).toThrow(/threshold is missing: a JumpReLU SAE has .*threshold/);
  expect(() => checkSae({ ...cases.relu!, threshold: fill(40) })).toThrow(
    /threshold would be ignored: a ReLU SAE/,
  );
  expect(() => checkSae({ ...sae, threshold: fill(3) })).toThrow(/threshold has 3 numbers, expected 2060/);
  expect(() => checkSae(randomSae({ architecture: 'batchtopk', K: 4, threshold: -1 }))).toThrow(
    /no threshold was recorded/,
  );
  expect(() =>
    checkSae(randomSae({ architecture: 'matryoshka', K: 4, threshold: 1, prefixes: [10, 30] })),
  ).toThrow(/end at F = 40/);
  expect(() => checkSae(randomSae({ architecture: 'groupmax', K: 7 }))).toThrow(
    /7 groups do not divide F = 40/,
  );
  expect(() => checkSae({ ...sae, config: { ...sae.config, architecture: 'sparsemax' as 'relu' } })).toThrow(
    /no SAE of architecture "sparsemax"; there are relu, gated/,
  );
});

test('what decode needs beside the code is asked for by name', async () => {
  const x = fill(2 * 6);
  for (const [name, need] of [
    ['relu of normalised rows', /decode\(sae, code, \{ x \}\)/],
    ['relu skip transcoder', /skip connection.*\{ x \}/],
    ['relu with token bias', /decode\(sae, code, \{ ids \}\)/],
  ] as const) {
    const code = await encode(cases[name]!, x);
    expect(() => decode(cases[name]!, code)).toThrow(need);
  }
  const code = await encode(cases['relu with token bias']!, x);
  expect(() => decode(cases['relu with token bias']!, code, { ids: [0, 11] })).toThrow(
    /Token 11 is outside the 11/,
  );
});

test('the line for people names kind, widths and what is active', () => {
  expect(describeSae(cases.topk!.config)).toBe('TopK, D 6, F 2060, K 5');
  expect(describeSae(cases['relu skip transcoder']!.config)).toBe('ReLU transcoder, D 6 to 9, F 40');
});
