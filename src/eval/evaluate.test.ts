import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../platform/node.ts';
import type { PackedRows } from '../data/types.ts';
import type { Sae, SparseCode } from '../sae/types.ts';
import type { CandidateResult, EvalResult } from '../shared/eval.ts';
import { createRng } from '../shared/rng.ts';
import { pcaCandidate, saeCandidate } from './candidates.ts';
import { type EvaluateOptions, evaluate } from './evaluate.ts';
import { createMoments } from './moments.ts';
import { fitPca } from './pca.ts';
import { formatEvalTable } from './table.ts';
import type { Candidate, EvalModel } from './types.ts';

const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/eval/metrics.json', import.meta.url), 'utf8'),
);
const { R, T, D, V, F, K, bos } = golden.dims as Record<string, number> & { R: number };

/** logits = tanh(h) U + c, h = E[id] + 0.5 E[previous id]: the model of the golden. */
function tanhModel(E: number[], U: number[], c: number[], width: number, vocabulary: number): EvalModel {
  const logitsOf = (h: Float32Array, dims: readonly number[]) => {
    const n = h.length / width;
    const data = new Float32Array(n * vocabulary);
    for (let i = 0; i < n; i++) {
      for (let v = 0; v < vocabulary; v++) {
        let sum = c[v]!;
        for (let d = 0; d < width; d++) sum += Math.tanh(h[i * width + d]!) * U[d * vocabulary + v]!;
        data[i * vocabulary + v] = sum;
      }
    }
    return { data, dims: [dims[0]!, dims[1]!, vocabulary] };
  };
  return {
    info: { name: 'tanh', hash: '0', D: width },
    async run({ ids, mask, B, T: positions }, { hooks = [], logits }) {
      const h = new Float32Array(B * positions * width);
      for (let i = 0; i < B * positions; i++) {
        if (!mask[i]) continue;
        for (let d = 0; d < width; d++) {
          h[i * width + d] =
            E[ids[i]! * width + d]! + (i % positions > 0 ? 0.5 * E[ids[i - 1]! * width + d]! : 0);
        }
      }
      const dims = [B, positions, width];
      return {
        cache: Object.fromEntries(hooks.map((name) => [name, { data: h, dims }])),
        logits: logits ? logitsOf(h, dims) : undefined,
      };
    },
    lastResidual: async (_batch, { from } = {}) => from!.activations,
    headLogits: async (rows) => logitsOf(rows, [rows.length / width, 1]),
    async lossPerToken({ ids, mask, B, T: positions }, { from } = {}) {
      const { data } = logitsOf(from!.activations.data, from!.activations.dims);
      const losses = new Float32Array(B * (positions - 1));
      for (let b = 0; b < B; b++) {
        for (let t = 0; t + 1 < positions; t++) {
          const i = b * positions + t;
          if (!mask[i] || !mask[i + 1]) continue;
          const row = [...data.subarray(i * vocabulary, (i + 1) * vocabulary)].map(Math.exp);
          losses[b * (positions - 1) + t] = -Math.log(row[ids[i + 1]!]! / row.reduce((p, q) => p + q));
        }
      }
      return { data: losses, dims: [B, positions - 1] };
    },
  };
}

/** Slow TopK: full pre-activations, full sort. */
function encode({ config, W_enc, b_enc, b_dec }: Sae<'topk'>, x: Float32Array, B: number): SparseCode {
  const values = new Float32Array(B * config.K);
  const indices = new Int32Array(B * config.K);
  for (let b = 0; b < B; b++) {
    const pre = Array.from({ length: config.F }, (_, f) => {
      let sum = b_enc[f]!;
      for (let d = 0; d < config.D; d++) sum += (x[b * config.D + d]! - b_dec[d]!) * W_enc[f * config.D + d]!;
      return { f, sum };
    }).sort((p, q) => q.sum - p.sum || p.f - q.f);
    for (let k = 0; k < config.K; k++) {
      values[b * config.K + k] = Math.max(0, pre[k]!.sum);
      indices[b * config.K + k] = pre[k]!.f;
    }
  }
  return { B, K: config.K, values, indices };
}

function decode({ config, W_dec, b_dec }: Sae, { B, K: active, values, indices }: SparseCode): Float32Array {
  const xhat = new Float32Array(B * config.D);
  for (let b = 0; b < B; b++) {
    for (let d = 0; d < config.D; d++) {
      let sum = b_dec[d]!;
      for (let k = b * active; k < (b + 1) * active; k++)
        sum += values[k]! * W_dec[indices[k]! * config.D + d]!;
      xhat[b * config.D + d] = sum;
    }
  }
  return xhat;
}

const packed: PackedRows = {
  R,
  T: T!,
  ids: Int32Array.from(golden.ids),
  mask: Uint8Array.from(golden.mask),
  documents: Int32Array.from(golden.documents),
  starts: new Int32Array(R * T!).fill(-1),
  ends: new Int32Array(R * T!).fill(-1),
};
const sae: Sae = {
  config: { architecture: 'topk', D: D!, F: F!, K: K!, metadata: {} },
  W_enc: Float32Array.from(golden.W_enc),
  b_enc: Float32Array.from(golden.b_enc),
  W_dec: Float32Array.from(golden.W_dec),
  b_dec: Float32Array.from(golden.b_dec),
};
const moments = createMoments(D!);
// In two unequal parts: the merge of batches is part of what is checked.
await moments.add(Float32Array.from(golden.train.slice(0, 7 * D!)), 7);
await moments.add(Float32Array.from(golden.train.slice(7 * D!)), 33);
const pca = fitPca(moments, K!);
const model = tanhModel(golden.E, golden.U, golden.c, D!, V!);
const hook = 'blocks.0.hook_resid_post';
const base: EvaluateOptions = {
  model,
  hook,
  batches: [packed],
  candidates: [saeCandidate('SAE', sae, { encode, decode }), pcaCandidate(pca)],
  mean: moments.mean(),
  specialIds: new Set([bos!]),
  resamples: 200,
};

/** Rows [from, to) of the packed batch. */
function sequences(from: number, to: number): PackedRows {
  const cut = <A extends Int32Array | Uint8Array>(a: A) => a.slice(from * T!, to * T!) as A;
  return {
    R: to - from,
    T: T!,
    ids: cut(packed.ids),
    mask: cut(packed.mask),
    documents: cut(packed.documents),
    starts: cut(packed.starts),
    ends: cut(packed.ends),
  };
}

const metrics = ['fvu', 'cosine', 'ce', 'deltaCe', 'recoveredZero', 'recoveredMean', 'kl'] as const;

describe('evaluate against PyTorch', () => {
  const { expected } = golden;

  it.each([
    ['one batch', [packed]],
    ['four batches', [0, 1, 2, 3].map((r) => sequences(r, r + 1))],
  ])('gives every metric of the golden from %s', async (_name, batches) => {
    const result = await evaluate({ ...base, batches });
    expect(result.rows).toBe(expected.rows);
    expect(result.excludedRows).toBe(expected.excludedRows);
    expect(result.ceTokens).toBe(expected.ceTokens);
    expect(result.klTokens).toBe(expected.ceTokens);
    for (const key of ['cleanCe', 'zeroCe', 'meanCe'] as const)
      expect(result[key].value).toBeCloseTo(expected[key], 5);
    for (const [c, name] of (['sae', 'pca'] as const).entries()) {
      for (const metric of metrics) {
        const { value, low, high } = result.candidates[c]![metric];
        const error = Math.abs(value! - expected[name][metric]);
        expect(error, `${name} ${metric}`).toBeLessThan(1e-5 * Math.max(1, Math.abs(value!)));
        expect(low!).toBeLessThanOrEqual(value! + 1e-9);
        expect(high!).toBeGreaterThanOrEqual(value! - 1e-9);
      }
    }
    const { latents } = result.candidates[0]!;
    expect(latents!.l0.value).toBeCloseTo(expected.sae.l0, 12);
    expect(latents!.dead).toBe(expected.sae.dead);
    expect(latents!.density.never).toBe(expected.sae.dead);
    expect(latents!.density.counts.reduce((a, b) => a + b)).toBe(F! - expected.sae.dead);
    expect(result.candidates[1]!.latents).toBeUndefined();
  });

  it('gives the same cross-entropies without logits, from losses made in the engine', async () => {
    const result = await evaluate({ ...base, klTokens: 0 });
    expect(result.klTokens).toBe(0);
    expect(result.candidates[0]!.kl.value).toBeNull();
    expect(result.cleanCe.value).toBeCloseTo(expected.cleanCe, 5);
    for (const [c, name] of (['sae', 'pca'] as const).entries())
      expect(result.candidates[c]!.ce.value).toBeCloseTo(expected[name].ce, 5);
  });

  it('has the mean, covariance and eigenvalues of numpy', () => {
    for (const [d, v] of moments.mean().entries()) expect(v).toBeCloseTo(expected.mean[d], 10);
    for (const [i, v] of moments.covariance().entries()) expect(v).toBeCloseTo(expected.covariance[i], 10);
    for (const [i, v] of pca.eigenvalues.entries()) expect(v).toBeCloseTo(expected.eigenvalues[i], 10);
  });

  it('compares the first candidate with the others', async () => {
    const [comparison] = (await evaluate(base)).comparisons;
    expect(comparison!.name).toBe(`PCA-${K}`);
    expect(comparison!.fvuDifference.value).toBeCloseTo(expected.sae.fvu - expected.pca.fvu, 5);
    expect(comparison!.deltaCeRatio.value).toBeCloseTo(expected.sae.deltaCe / expected.pca.deltaCe, 4);
  });
});

describe('evaluate on cases with a known answer', () => {
  const perfect: Candidate = { name: 'truth', kind: 'control', reconstruct: (x) => ({ xhat: x.slice() }) };
  const zero: Candidate = {
    name: 'zero',
    kind: 'control',
    reconstruct: (x) => ({ xhat: new Float32Array(x.length) }),
  };
  const byName = (result: EvalResult, name: string) =>
    result.candidates.find((c) => c.name === name) as CandidateResult;

  it('a reconstruction equal to the truth loses nothing, in every resample', async () => {
    const truth = byName(await evaluate({ ...base, candidates: [perfect] }), 'truth');
    for (const [metric, value] of [
      ['fvu', 0],
      ['deltaCe', 0],
      ['recoveredZero', 1],
      ['recoveredMean', 1],
      ['kl', 0],
    ] as const) {
      expect(truth[metric].value).toBeCloseTo(value, 10);
      expect(truth[metric].low).toBeCloseTo(value, 10);
      expect(truth[metric].high).toBeCloseTo(value, 10);
    }
    expect(truth.cosine.value).toBeCloseTo(1, 10);
  });

  it('a planted SAE whose latents are the truth has FVU 0, and its dead and single-token latents are the planted ones', async () => {
    // One latent per token id, x = E[id] exactly: latent v fires on token v alone. Latents V and V + 1 never fire.
    const vocabulary = 6;
    const width = 6;
    const rng = createRng('planted');
    const E = Array.from({ length: vocabulary * width }, (_, i) =>
      i % width === Math.floor(i / width) ? 2 : 0,
    );
    const U = Array.from({ length: width * vocabulary }, () => rng.normal());
    const tanh = tanhModel(E, U, new Array(vocabulary).fill(0), width, vocabulary);
    const planted: EvalModel = {
      ...tanh,
      async run(batch) {
        const h = new Float32Array(batch.B * batch.T * width);
        for (let i = 0; i < batch.ids.length; i++)
          for (let d = 0; d < width; d++) h[i * width + d] = E[batch.ids[i]! * width + d]!;
        const dims = [batch.B, batch.T, width];
        return {
          cache: { [hook]: { data: h, dims } },
          logits: undefined,
        };
      },
    };
    const W = new Float32Array((vocabulary + 2) * width);
    for (let v = 0; v < vocabulary; v++) W[v * width + v] = 1;
    const truth: Sae = {
      config: { architecture: 'topk', D: width, F: vocabulary + 2, K: 1, metadata: {} },
      W_enc: W,
      b_enc: new Float32Array(vocabulary + 2),
      W_dec: W,
      b_dec: new Float32Array(width),
    };
    const ids = Int32Array.from({ length: 400 }, () => rng.int(vocabulary));
    const rows: PackedRows = {
      R: 20,
      T: 20,
      ids,
      mask: new Uint8Array(400).fill(1),
      documents: Int32Array.from(ids, (_, i) => Math.floor(i / 10)),
      starts: new Int32Array(400).fill(-1),
      ends: new Int32Array(400).fill(-1),
    };
    const result = await evaluate({
      model: planted,
      hook,
      batches: [rows],
      candidates: [saeCandidate('SAE', truth, { encode, decode })],
      mean: new Float32Array(width).fill(0.3),
    });
    const [{ fvu, recoveredZero, recoveredMean, latents }] = result.candidates as [CandidateResult];
    expect(fvu.value).toBe(0);
    expect(recoveredZero.value).toBe(1);
    expect(recoveredMean.value).toBe(1);
    expect(latents!.l0.value).toBe(1);
    expect(latents!.dead).toBe(2);
    expect(latents!.singleToken.value).toBe(1);
    expect(latents!.singleToken.n).toBe(vocabulary);
    expect(result.deadTokensEnough).toBe(false);
    expect(result.notes.join(' ')).toContain('only 400 tokens');
  });

  it('zeros and the mean recover nothing of their own ablation, and the mean has FVU 1', async () => {
    // The mean of the measured rows themselves, so that FVU is exactly its definition's reference.
    const seen = createMoments(D!, { covariance: false });
    await evaluate({ ...base, observe: ({ x, positions }) => seen.add(x, positions.length) });
    const mean = seen.mean();
    const constant: Candidate = {
      name: 'mean',
      kind: 'control',
      reconstruct: (x) => ({ xhat: x.map((_, i) => mean[i % D!]!) }),
    };
    const result = await evaluate({ ...base, mean, candidates: [constant, zero] });
    expect(byName(result, 'mean').fvu.value).toBeCloseTo(1, 6);
    expect(byName(result, 'mean').recoveredMean.value).toBeCloseTo(0, 5);
    expect(byName(result, 'zero').recoveredZero.value).toBeCloseTo(0, 5);
    expect(byName(result, 'zero').ce.value).toBeCloseTo(result.zeroCe.value!, 6);
  });

  it('a permutation of the latents changes no number', async () => {
    const before = await evaluate(base);
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray([...Array(F).keys()], { minLength: F!, maxLength: F! }),
        async (order) => {
          const rows = (W: Float32Array, width: number) =>
            Float32Array.from(order.flatMap((f) => [...W.subarray(f * width, (f + 1) * width)]));
          const permuted: Sae = {
            ...sae,
            W_enc: rows(sae.W_enc, D!),
            W_dec: rows(sae.W_dec, D!),
            b_enc: rows(sae.b_enc, 1),
          };
          const after = await evaluate({
            ...base,
            candidates: [saeCandidate('SAE', permuted, { encode, decode }), base.candidates[1]!],
          });
          expect(after).toEqual(before);
        },
      ),
      { numRuns: 10 },
    );
  });

  it('is the same for the same seed and has other intervals for another', async () => {
    const [a, b, c] = await Promise.all([evaluate(base), evaluate(base), evaluate({ ...base, seed: 1 })]);
    expect(a).toEqual(b);
    expect(c.candidates[1]!.fvu.value).toBe(a.candidates[1]!.fvu.value);
    expect([c.candidates[0]!.ce.low, c.candidates[0]!.ce.high]).not.toEqual([
      a.candidates[0]!.ce.low,
      a.candidates[0]!.ce.high,
    ]);
  });
});

describe('options and bad input', () => {
  const batches = [0, 1, 2, 3].map((r) => sequences(r, r + 1));

  it('stops at maxRows, and takes cross-entropy and KL on the stated numbers of predictions', async () => {
    const result = await evaluate({ ...base, batches, maxRows: 10, ceTokens: 1, klTokens: 1 });
    expect(result.rows).toBeGreaterThanOrEqual(10);
    expect(result.rows).toBeLessThan(golden.expected.rows);
    expect(result.ceTokens).toBeLessThan(golden.expected.ceTokens);
    const noCe = await evaluate({ ...base, batches, ceTokens: 0 });
    expect(noCe.ceTokens).toBe(0);
    expect(noCe.candidates[0]!.deltaCe.value).toBeNull();
    expect(noCe.candidates[0]!.fvu.value).toBeCloseTo(golden.expected.sae.fvu, 5);
  });

  it('resamples sequences when asked, and excludes first positions', async () => {
    const result = await evaluate({ ...base, resample: 'sequences', excludeFirst: 2 });
    expect(result.candidates[0]!.fvu).toMatchObject({ n: R, unit: 'sequences' });
    expect(result.rows + result.excludedRows).toBe(golden.expected.rows + golden.expected.excludedRows);
    expect(result.rows).toBeLessThan(golden.expected.rows);
    expect((await evaluate(base)).candidates[0]!.fvu).toMatchObject({ n: 5, unit: 'documents' });
  });

  it('stops on abort', async () => {
    const controller = new AbortController();
    const run = evaluate({
      ...base,
      batches,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('stop')),
    });
    await expect(run).rejects.toThrow('stop');
  });

  it('names the candidate whose reconstruction is not finite, and refuses empty text', async () => {
    const broken: Candidate = {
      name: 'broken',
      kind: 'control',
      reconstruct: (x) => ({ xhat: x.map(() => Number.NaN) }),
    };
    await expect(evaluate({ ...base, candidates: [broken] })).rejects.toThrow('broken');
    await expect(evaluate({ ...base, batches: [] })).rejects.toThrow('no held-out token');
    await expect(evaluate({ ...base, candidates: [] })).rejects.toThrow('no candidates');
    await expect(evaluate({ ...base, mean: [0] })).rejects.toThrow('wide');
  });

  it('prints every metric of every candidate', async () => {
    const table = formatEvalTable(await evaluate(base));
    for (const word of ['SAE', `PCA-${K}`, 'FVU', 'recovered vs mean', 'KL', 'dead', 'single-token', 'L0'])
      expect(table).toContain(word);
    expect(table).toContain(`SAE against PCA-${K}: FVU difference`);
    expect(table).toMatch(/density of SAE: .* never 2/);
    expect(table).not.toMatch(/NaN|undefined/);
  });
});
