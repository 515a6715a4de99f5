/** The gradients of every variant against float64 finite differences of its loss, written out densely and slowly here. */
import { describe, expect, it } from 'vitest';
import '../../platform/node.ts';
import { expectGradients, type Params } from '../../../test/support/finite-differences.ts';
import { topK } from '../../kernels/reference.ts';
import { createRng } from '../../shared/rng.ts';
import type { TrainerConfig } from '../types.ts';

const [B, D, F] = [72, 10, 32];
const base: TrainerConfig = {
  D,
  F,
  K: 5,
  B,
  totalSteps: 10,
  lr: 1e-3,
  warmupSteps: 0,
  decaySteps: 0,
  adam: { beta1: 0.5, beta2: 0.999, eps: 1e-9 },
  auxk: 0,
  auxkCoefficient: 0,
  deadSteps: 5,
  freeze: 'none',
  seed: 1,
  shards: 4,
  workers: 0,
};
const inputScale = 1;
const mseScale = 0.7;
const fixed = (coefficient: number) => ({ coefficient, l0: 0, warmupSteps: 0 });

type Loss = (params: Params, x: Float64Array) => number;
type Case = {
  readonly config: Partial<TrainerConfig>;
  readonly extra?: readonly string[];
  /** Added to b_enc: with 4 nearly every latent is active, more than the lists of the whole batch hold. */
  readonly raised?: number;
  /** Gated and JumpReLU hold something fixed in part of their loss: `at` are the parameters that the gradient is taken at. */
  readonly loss: (at: Params) => Loss;
};

/** Rows that are sums of few directions, and parameters in general position. */
function problem(
  extra: readonly string[],
  raised: number,
): { x: Float32Array; params: Record<string, Float32Array> } {
  const rng = createRng(3);
  const random = (n: number, scale: number) => Float32Array.from({ length: n }, () => scale * rng.normal());
  const W_dec = random(F * D, 1);
  for (let i = 0; i < F; i++) {
    const row = W_dec.subarray(i * D, (i + 1) * D);
    const norm = Math.hypot(...row);
    for (let d = 0; d < D; d++) row[d]! /= norm;
  }
  const W_enc = W_dec.map((w) => 0.6 * w + 0.1 * rng.normal());
  const params: Record<string, Float32Array> = {
    W_enc,
    W_dec,
    b_enc: random(F, 0.3).map((b) => b + raised),
    b_dec: random(D, 0.2),
  };
  for (const name of extra)
    params[name] = name === 'threshold' ? random(F, 0.2).map((v) => 0.4 + Math.abs(v)) : random(F, 0.3);
  return { x: random(B * D, 1), params };
}

/** (x - b_dec) W_enc^T + b [B,F] */
function preOf({ W_enc, b_enc, b_dec }: Params, x: Float64Array): Float64Array {
  const pre = new Float64Array(B * F);
  for (let b = 0; b < B; b++)
    for (let i = 0; i < F; i++) {
      let sum = b_enc![i]!;
      for (let d = 0; d < D; d++) sum += (x[b * D + d]! - b_dec![d]!) * W_enc![i * D + d]!;
      pre[b * F + i] = sum;
    }
  return pre;
}

/** sum |x - b_dec - z W_dec|^2 over latents below `end`. */
function squared(z: ArrayLike<number>, { W_dec, b_dec }: Params, x: Float64Array, end = F): number {
  let sum = 0;
  for (let b = 0; b < B; b++)
    for (let d = 0; d < D; d++) {
      let e = x[b * D + d]! - b_dec![d]!;
      for (let i = 0; i < end; i++) e -= z[b * F + i]! * W_dec![i * D + d]!;
      sum += e * e;
    }
  return sum;
}

const toLoss = mseScale / (B * D);
const relu = (v: number): number => Math.max(0, v);
const total = (values: Float64Array): number => values.reduce((a, b) => a + b, 0);

/** The B K largest, in the place of each. */
function batchTop(pre: Float64Array, K: number): Float64Array {
  const z = new Float64Array(B * F);
  for (const { latent, value } of topK(pre, 1, B * F, B * K)) z[latent] = value;
  return z;
}

const penalisedRelu = (): Loss => (params, x) => {
  const z = preOf(params, x).map(relu);
  return toLoss * (squared(z, params, x) + 0.8 * total(z));
};

const losses: Record<string, Case> = {
  topk: {
    config: {},
    loss: () => (params, x) => {
      const z = new Float64Array(B * F);
      for (const { row, latent, value } of topK(preOf(params, x), B, F, 5)) z[row * F + latent] = value;
      return toLoss * squared(z, params, x);
    },
  },
  'topk, signed': {
    config: { signed: true },
    loss: () => (params, x) => {
      const pre = preOf(params, x);
      const z = new Float64Array(B * F);
      for (const { row, latent } of topK(pre.map(Math.abs), B, F, 5))
        z[row * F + latent] = pre[row * F + latent]!;
      return toLoss * squared(z, params, x);
    },
  },
  'batch-topk': {
    config: { variant: 'batch-topk' },
    loss: () => (params, x) => toLoss * squared(batchTop(preOf(params, x), 5), params, x),
  },
  matryoshka: {
    config: { variant: 'matryoshka', prefixes: [3, 8, 19, 32] },
    loss: () => (params, x) => {
      const z = batchTop(preOf(params, x), 5);
      return (toLoss / 4) * [3, 8, 19, 32].reduce((sum, end) => sum + squared(z, params, x, end), 0);
    },
  },
  relu: {
    config: { variant: 'relu', sparsity: fixed(0.8) },
    loss: penalisedRelu,
  },
  'relu, in chunks': {
    config: { variant: 'relu', sparsity: fixed(0.8) },
    raised: 4,
    loss: penalisedRelu,
  },
  'relu, p 0.6': {
    config: { variant: 'relu', sparsity: { ...fixed(0.8), anneal: { end: 0.6, from: -1000 } } },
    loss: () => (params, x) => {
      const z = preOf(params, x).map(relu);
      return toLoss * (squared(z, params, x) + 0.8 * total(z.map((v) => (v > 0 ? v ** 0.6 : 0))));
    },
  },
  gated: {
    config: { variant: 'gated', sparsity: fixed(0.8) },
    extra: ['r_mag', 'b_mag'],
    loss: (at) => (params, x) => {
      const pi = preOf(params, x);
      const z = pi.map((v, j) => {
        const [r, bias] = [params.r_mag![j % F]!, params.b_mag![j % F]!];
        return v > 0 ? relu(Math.exp(r) * (v - params.b_enc![j % F]!) + bias) : 0;
      });
      const gate = pi.map(relu);
      const held = { ...params, W_dec: at.W_dec!, b_dec: at.b_dec! };
      return toLoss * (squared(z, params, x) + squared(gate, held, x) + 0.8 * total(gate));
    },
  },
  jumprelu: {
    config: { variant: 'jumprelu', sparsity: { ...fixed(0.8), bandwidth: 0.3 } },
    extra: ['threshold'],
    loss: (at) => (params, x) => {
      // Rectangle of width 0.3 under the step: the step's own ramp H, which finite differences can follow. Through z it moves by theta.
      const ramp = (pre: number, theta: number) => Math.min(1, Math.max(0, (pre - theta) / 0.3 + 0.5));
      const pre = preOf(params, x);
      const still = preOf(at, x);
      const moved = (j: number) =>
        ramp(still[j]!, params.threshold![j % F]!) - ramp(still[j]!, at.threshold![j % F]!);
      const z = pre.map(
        (v, j) => (still[j]! > at.threshold![j % F]! ? v : 0) + at.threshold![j % F]! * moved(j),
      );
      const on = pre.map((_, j) => (still[j]! > at.threshold![j % F]! ? 1 : 0) + moved(j));
      return toLoss * (squared(z, params, x) + 0.8 * total(on));
    },
  },
};

describe('gradients', () => {
  for (const [name, { config, extra = [], raised = 0, loss }] of Object.entries(losses))
    it(`${name}: loss, and gradients within 1e-4 of finite differences`, async () => {
      const { x, params } = problem(extra, raised);
      const at = Object.fromEntries(
        Object.entries(params).map(([key, values]) => [key, Float64Array.from(values)]),
      ) as Params;
      const value = loss(at);
      const rows = Float64Array.from(x);
      const scalars = [0, inputScale, mseScale];
      await expectGradients({ ...base, ...config }, { params, scalars }, x, (moved) => value(moved, rows));
    });
});

describe('AuxK of signed codes', () => {
  it('takes the largest magnitudes of dead latents with their signs', async () => {
    const { x, params } = problem([], 0);
    // The last eight latents are too weak to be active, so they are dead.
    const weak = F - 8;
    params.W_enc!.subarray(weak * D).forEach((w, j) => void (params.W_enc![weak * D + j] = 0.02 * w));
    params.b_enc!.fill(0, weak);
    const [kAux, alpha] = [3, 0.5];
    const rows = Float64Array.from(x);
    const at = Object.fromEntries(
      Object.entries(params).map(([key, values]) => [key, Float64Array.from(values)]),
    ) as Params;
    const code = (pre: Float64Array, K: number, allowed: (latent: number) => boolean) => {
      const z = new Float64Array(B * F);
      const magnitudes = pre.map((v, j) => (allowed(j % F) ? Math.abs(v) : 0));
      for (const { row, latent } of topK(magnitudes, B, F, K)) z[row * F + latent] = pre[row * F + latent]!;
      return z;
    };
    const error = (z: Float64Array, { W_dec, b_dec }: Params) =>
      rows.map((v, j) => {
        const [b, d] = [Math.floor(j / D), j % D];
        let e = v - b_dec![d]!;
        for (let i = 0; i < F; i++) e -= z[b * F + i]! * W_dec![i * D + d]!;
        return e;
      });
    const main = code(preOf(at, rows), 5, () => true);
    expect(main.every((z, j) => z === 0 || j % F < weak)).toBe(true);
    const e = error(main, at);
    const mean = Float64Array.from({ length: D }, (_, d) =>
      e.reduce((sum, v, j) => (j % D === d ? sum + v / B : sum), 0),
    );
    const variance = e.reduce((sum, v, j) => sum + (v - mean[j % D]!) ** 2, 0);
    let negative = 0;
    const value = (p: Params): number => {
      const pre = preOf(p, rows);
      const aux = code(pre, kAux, (latent) => latent >= weak);
      negative = aux.filter((z) => z < 0).length;
      let squares = 0;
      for (let j = 0; j < e.length; j++) {
        const [b, d] = [Math.floor(j / D), j % D];
        let left = e[j]! - (p.b_dec![d]! - at.b_dec![d]!);
        for (let i = weak; i < F; i++) left -= aux[b * F + i]! * p.W_dec![i * D + d]!;
        squares += left ** 2;
      }
      return (
        toLoss *
          squared(
            code(pre, 5, () => true),
            p,
            rows,
          ) +
        (alpha * squares) / variance
      );
    };
    const config = { ...base, signed: true, auxk: kAux, auxkCoefficient: alpha, deadSteps: 1 };
    await expectGradients(config, { params, scalars: [0, inputScale, mseScale] }, x, value);
    expect(negative).toBeGreaterThan(B);
  });
});
