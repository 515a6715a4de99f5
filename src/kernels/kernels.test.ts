import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRng, type Rng } from '../shared/rng.ts';
import { pointer as at, createArena } from './arena.ts';
import { createKernels, keyBytes } from './kernels.ts';
import * as reference from './reference.ts';

function setup(megabytes = 8) {
  const arena = createArena(megabytes * 2 ** 20);
  return { arena, kernels: createKernels(arena.memory) };
}

function fill(view: Float32Array, rng: Rng, scale = 1) {
  for (let i = 0; i < view.length; i++) view[i] = scale * rng.normal();
  return view;
}

/** max |a - b| over the root mean square of b. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>) {
  let worst = 0;
  let squared = 0;
  for (let i = 0; i < b.length; i++) {
    worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
    squared += b[i]! ** 2;
  }
  return worst / Math.sqrt(squared / b.length + 1e-30);
}

/** A random problem, selected as the trainer does it: `groups` groups of S / groups shards stream tiles into heaps. */
function problem(seed: number, { B = 37, D = 20, F = 48, K = 5, S = 4, groups = 1 } = {}) {
  const { arena, kernels } = setup();
  const rng = createRng(seed);
  const pre = fill(new Float32Array(B * F), rng);
  // Ties, so that their order is tested too.
  for (let j = 0; j < pre.length; j += 7) pre[j] = 0.75;
  const Fs = F / S;
  const own = S / groups;
  const values = arena.f32(groups * B * K);
  const heapLatents = Array.from({ length: groups }, () => arena.i32(B * K));
  const tile = arena.f32(B * Fs);
  const keys = at(arena.u8(keyBytes));
  heapLatents.forEach((latents, g) => {
    const heap = at(values) + g * B * K * 4;
    for (let s = 0; s < own; s++) {
      for (let b = 0; b < B; b++)
        for (let i = 0; i < Fs; i++) tile[b * Fs + i] = pre[b * F + (g * own + s) * Fs + i]!;
      kernels.selectTile(at(tile), B, Fs, s * Fs, heap, at(latents), K, keys);
    }
    kernels.sortHeaps(heap, at(latents), B, K, keys);
  });
  const entries = heapLatents.map((latents, g) => {
    const rowStart = arena.i32(B * own + 1);
    const chosen = arena.i32(B * K);
    const kept = arena.f32(B * K);
    const heads = arena.i32(groups);
    // biome-ignore format: grouped as in the kernel
    const n = kernels.mergeTopK(
      at(values), groups, B, K, K, g, at(latents), own, Fs, at(heads), at(rowStart), at(chosen), at(kept),
    );
    return { rowStart, latents: chosen, kept, n };
  });
  const heap = heapLatents[0]!;
  return { arena, kernels, rng, B, D, F, K, S, Fs, own, pre, values, heap, entries, ...entries[0]! };
}

describe('selection by threshold', () => {
  it('keeps what is above the threshold of its latent, scaled and shifted, as the slow version does', () => {
    fc.assert(
      fc.property(
        fc.record({
          rows: fc.integer({ min: 1, max: 9 }),
          width: fc.integer({ min: 1, max: 70 }),
          seed: fc.nat(),
          affine: fc.boolean(),
        }),
        ({ rows, width, seed, affine }) => {
          const { arena, kernels } = setup(1);
          const rng = createRng(seed);
          const pre = fill(arena.f32(rows * width), rng);
          const threshold = fill(arena.f32(width), rng);
          // Equal is not above.
          threshold[0] = pre[0]!;
          const [scale, shift] = [fill(arena.f32(width), rng), fill(arena.f32(width), rng)];
          const [rowStart, latents, values] = [
            arena.i32(rows + 1),
            arena.i32(rows * width),
            arena.f32(rows * width),
          ];
          // biome-ignore format: grouped as in the kernel
          const n = kernels.selectAbove(
            at(pre), rows, width, 100, at(threshold), affine ? at(scale) : 0, affine ? at(shift) : 0,
            at(rowStart), at(latents), at(values),
          );
          const expected = affine
            ? reference.above(pre, rows, width, threshold, scale, shift)
            : reference.above(pre, rows, width, threshold);
          expect(n).toBe(expected.length);
          expect([...latents.subarray(0, n)]).toEqual(expected.map(({ latent }) => latent + 100));
          for (const [i, { row, value }] of expected.entries()) {
            expect(values[i]).toBeCloseTo(value, 5);
            expect(i >= rowStart[row]! && i < rowStart[row + 1]!).toBe(true);
          }
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('selection', () => {
  it('keeps the K best of every row in order, however dense, uneven or wide the rows are', () => {
    fc.assert(
      fc.property(
        fc.record({
          rows: fc.integer({ min: 1, max: 7 }),
          widths: fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 41, max: 2600 })), {
            minLength: 1,
            maxLength: 6,
          }),
          K: fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 65, max: 2200 })),
          mean: fc.constantFrom(-2, 0, 3),
          // The next row's values are all smaller, or larger: what was learnt from the last one misleads.
          growth: fc.constantFrom(0.1, 1, 10),
          levels: fc.constantFrom(0, 4),
          seed: fc.nat(),
        }),
        ({ rows, widths, K, mean, growth, levels, seed }) => {
          const { arena, kernels } = setup(1);
          const rng = createRng(seed);
          const F = widths.reduce((sum, width) => sum + width, 0);
          const drawn = (row: number) => {
            const value = mean + rng.normal();
            return growth ** row * (levels ? Math.round(value * levels) / levels : value);
          };
          const pre = Float32Array.from({ length: rows * F }, (_, i) => drawn(Math.floor(i / F)));
          pre[rng.int(pre.length)] = Number.POSITIVE_INFINITY;
          const missing = rng.int(pre.length);
          const [values, latents] = [arena.f32(rows * K), arena.i32(rows * K)];
          const tile = arena.f32(rows * Math.max(...widths));
          const keys = at(arena.u8(keyBytes));
          pre[missing] = Number.NaN;
          let first = 0;
          for (const width of widths) {
            for (let b = 0; b < rows; b++)
              tile.set(pre.subarray(b * F + first, b * F + first + width), b * width);
            kernels.selectTile(at(tile), rows, width, first, at(values), at(latents), K, keys);
            first += width;
          }
          kernels.sortHeaps(at(values), at(latents), rows, K, keys);
          // The slow version orders numbers only; NaN is never taken.
          pre[missing] = -1;
          const [allValues, allLatents] = [new Float32Array(rows * K), new Int32Array(rows * K)];
          const filled = new Int32Array(rows);
          for (const { row, latent, value } of reference.topK(pre, rows, F, K)) {
            const slot = row * K + filled[row]!++;
            [allValues[slot], allLatents[slot]] = [value, latent];
          }
          expect(latents).toEqual(allLatents);
          expect(values).toEqual(allValues);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('merges the lists of all shards into the exact top K, ties to the lower latent', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000 }), (seed) => {
        const p = problem(seed);
        const found: reference.Entry[] = [];
        for (let b = 0; b < p.B; b++)
          for (let j = p.rowStart[b * p.S]!; j < p.rowStart[(b + 1) * p.S]!; j++)
            found.push({ row: b, latent: p.latents[j]!, value: p.kept[j]! });
        const key = (e: reference.Entry) => e.row * 1e6 + e.latent;
        const expected = reference.topK(p.pre, p.B, p.F, p.K).sort((a, b) => key(a) - key(b));
        expect(found.sort((a, b) => key(a) - key(b))).toEqual(expected);
      }),
      { numRuns: 25 },
    );
  });

  it('gives two groups together the same winners, each its own', () => {
    const p = problem(3, { groups: 2 });
    const found = p.entries.flatMap(({ rowStart, latents, kept }, g) =>
      Array.from({ length: p.B }, (_, row) =>
        Array.from({ length: rowStart[(row + 1) * p.own]! - rowStart[row * p.own]! }, (_, k) => {
          const j = rowStart[row * p.own]! + k;
          return { row, latent: latents[j]! + g * (p.F / 2), value: kept[j]! };
        }),
      ).flat(),
    );
    const key = (e: reference.Entry) => e.row * 1e6 + e.latent;
    const expected = reference.topK(p.pre, p.B, p.F, p.K).sort((a, b) => key(a) - key(b));
    expect(found.sort((a, b) => key(a) - key(b))).toEqual(expected);
  });

  it('takes a shorter top from the same lists', () => {
    const { arena, kernels, pre, B, F, S, Fs, K, n: listed, values, heap } = problem(5);
    const [rowStart, chosen, kept] = [arena.i32(B * S + 1), arena.i32(B * K), arena.f32(B * K)];
    // biome-ignore format: grouped as in the kernel
    const n = kernels.mergeTopK(
      at(values), 1, B, K, 2, 0, at(heap), S, Fs, at(arena.i32(1)), at(rowStart), at(chosen), at(kept),
    );
    const expected = reference.topK(pre, B, F, 2).map(({ value }) => value);
    expect(n).toBeLessThan(listed);
    expect([...kept.subarray(0, n)].sort()).toEqual(expected.sort());
  });

  it('keeps what there is when K exceeds the latents of a shard, and never what is not positive', () => {
    const p = problem(4, { F: 8, S: 4, K: 6, groups: 2 });
    const expected = reference.topK(p.pre, p.B, p.F, p.K);
    expect(p.entries[0]!.n + p.entries[1]!.n).toBe(expected.length);
    expect(expected.length).toBeLessThan(p.B * p.K);
  });

  it('keeps exactly the k largest dead latents over two groups, ties to the lower latent', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000 }), fc.integer({ min: 1, max: 20 }), (seed, k) => {
        const { arena, kernels } = setup(1);
        const rng = createRng(seed);
        const [B, n] = [9, 16];
        const groups = [0, 1].map(() => fill(arena.f32(B * n), rng));
        for (const g of groups) for (let j = 0; j < g.length; j += 3) g[j] = 0.5;
        const hidden = arena.i32(n);
        hidden[4] = -1;
        const joined = new Float32Array(B * 2 * n);
        for (let b = 0; b < B; b++)
          groups.forEach((g, which) => {
            for (let c = 0; c < n; c++) joined[b * 2 * n + which * n + c] = c === 4 ? -1 : g[b * n + c]!;
          });
        const counts = arena.i32(B);
        const maxima = arena.i32(B);
        for (const g of groups) kernels.auxPrepare(at(g), at(hidden), B, n, at(counts), at(maxima));
        const threshold = arena.i32(B);
        const room = arena.i32(1);
        const columns = arena.i32(n).map((_, c) => c);
        const ids = arena.i32(n);
        ids.set(columns);
        const latents = arena.i32(64);
        const values = arena.f32(64);
        const total = arena.i32(B);
        const expected = reference.topK(joined, B, 2 * n, k);
        for (let b = 0; b < B; b++) {
          // The k-th positive value itself as threshold, with room for the equals that still belong.
          const chosen = expected.filter((e) => e.row === b);
          const bits =
            chosen.length < k ? 0 : new Int32Array(Float32Array.of(chosen.at(-1)!.value).buffer)[0]!;
          threshold[b] = bits;
        }
        for (const g of groups) kernels.countAbove(at(g), at(threshold), B, n, at(total));
        const found: reference.Entry[] = [];
        for (let b = 0; b < B; b++) {
          room[0] = k - total[b]!;
          groups.forEach((g, which) => {
            // biome-ignore format: grouped as in the kernel
            const m = kernels.auxCollect(
              at(g) + b * n * 4, n, threshold[b]!, at(room), at(ids), at(latents), at(values), 0,
            );
            for (let j = 0; j < m; j++)
              found.push({ row: b, latent: which * n + latents[j]!, value: values[j]! });
          });
          const positive = [...joined.subarray(b * 2 * n, (b + 1) * 2 * n)].filter((v) => v > 0).length;
          expect(counts[b]).toBe(positive);
          const largest = Math.max(0, ...joined.subarray(b * 2 * n, (b + 1) * 2 * n));
          expect(new Float32Array(maxima.buffer, maxima.byteOffset, B)[b]).toBe(largest);
        }
        const key = (e: reference.Entry) => e.row * 1e6 + e.latent;
        expect(found.sort((a, b) => key(a) - key(b))).toEqual(expected.sort((a, b) => key(a) - key(b)));
      }),
      { numRuns: 40 },
    );
  });

  it('turns entries by row into entries by latent and loses none', () => {
    const p = problem(5);
    const latentStart = p.arena.i32(p.F + 1);
    const rows = p.arena.i32(p.n);
    const sorted = p.arena.f32(p.n);
    // biome-ignore format: grouped as in the kernel
    p.kernels.transposeEntries(
      at(p.rowStart), at(p.latents), at(p.kept), p.B, p.S, p.F, at(latentStart), at(p.arena.i32(p.F)), at(rows),
      at(sorted),
    );
    const found: reference.Entry[] = [];
    for (let i = 0; i < p.F; i++)
      for (let j = latentStart[i]!; j < latentStart[i + 1]!; j++)
        found.push({ row: rows[j]!, latent: i, value: sorted[j]! });
    const expected = reference
      .topK(p.pre, p.B, p.F, p.K)
      .sort((a, b) => a.latent - b.latent || a.row - b.row);
    expect(found).toEqual(expected);
  });
});

describe('decode', () => {
  it('equals the plain sum, for 1, 2 and 4 shards, rows one by one and in blocks', () => {
    for (const [S, block] of [
      [1, 1],
      [2, 1],
      [4, 1],
      [1, 16],
      [4, 16],
    ] as const) {
      const p = problem(11, { S });
      const W_dec = fill(p.arena.f32(p.F * p.D), p.rng);
      const out = p.arena.f32(p.B * p.D);
      // biome-ignore format: grouped as in the kernel
      p.kernels.decodeRows(
        at(p.rowStart), at(p.latents), at(p.kept), at(W_dec), at(p.arena.f32(S * block * p.D)), at(out), p.B, S, p.D, block,
      );
      const expected = reference.decode(reference.topK(p.pre, p.B, p.F, p.K), W_dec, p.B, p.D);
      expect(distance(out, expected)).toBeLessThan(2e-6);
    }
  });

  it('is bit-identical when two groups decode half of the shards each and the halves are added', () => {
    const one = problem(12);
    const two = problem(12, { groups: 2 });
    const weights = fill(new Float32Array(one.F * one.D), createRng(1));
    const run = (p: typeof one, g: number) => {
      const e = p.entries[g]!;
      const W_dec = p.arena.f32(p.F * p.D);
      W_dec.set(weights);
      const out = p.arena.f32(p.B * p.D);
      const W = at(W_dec) + g * p.own * p.Fs * p.D * 4;
      const leaves = p.arena.f32(p.own * p.D);
      // biome-ignore format: grouped as in the kernel
      p.kernels.decodeRows(
        at(e.rowStart), at(e.latents), at(e.kept), W, at(leaves), at(out), p.B, p.own, p.D, 1,
      );
      return out;
    };
    const whole = run(one, 0);
    const halves = [run(two, 0), run(two, 1)];
    two.kernels.sumRows(at(halves[0]!), at(halves[1]!), two.B * two.D);
    expect([...halves[0]!]).toEqual([...whole]);
  });
});

describe('dense helpers', () => {
  it('centre, rowError, columnSums and squaredSum equal plain loops', () => {
    const { arena, kernels } = setup(1);
    const rng = createRng(2);
    const [B, D] = [7, 12];
    const x = fill(arena.f32(B * D), rng);
    const bias = fill(arena.f32(D), rng);
    const out = arena.f32(B * D);
    kernels.centre(at(x), at(bias), 1.5, at(out), B, D);
    expect(
      distance(
        out,
        x.map((v, j) => 1.5 * v - bias[j % D]!),
      ),
    ).toBeLessThan(1e-6);
    const error = arena.f32(B * D);
    const squared = arena.f64(B);
    kernels.rowError(at(x), at(out), at(error), at(squared), B, D);
    const rows = Array.from({ length: B }, (_, b) =>
      Array.from({ length: D }, (_, d) => (x[b * D + d]! - out[b * D + d]!) ** 2).reduce((a, v) => a + v),
    );
    expect(distance(squared, rows)).toBeLessThan(1e-6);
    const sums = arena.f64(D);
    kernels.columnSums(at(x), at(sums), B, D);
    expect(
      distance(
        sums,
        Array.from({ length: D }, (_, d) => x.reduce((a, v, j) => a + (j % D === d ? v : 0), 0)),
      ),
    ).toBeLessThan(1e-12);
    expect(kernels.squaredSum(at(x), B, D)).toBeCloseTo(
      x.reduce((a, v) => a + v * v, 0),
      4,
    );
  });
});

/** The code of the K best by latent, as transposeEntries leaves it, made in plain loops. */
function sparse({ arena, pre, B, F }: ReturnType<typeof problem>, K: number) {
  const entries = reference.topK(pre, B, F, K).sort((a, b) => a.latent - b.latent || a.row - b.row);
  const latentStart = arena.i32(F + 1);
  const rows = arena.i32(entries.length);
  const values = arena.f32(entries.length);
  for (const [j, { latent, row, value }] of entries.entries()) {
    latentStart.fill(j + 1, latent + 1);
    rows[j] = row;
    values[j] = value;
  }
  return { entries, latentStart, rows, values };
}

describe('backward', () => {
  // Multi-TopK: a second code of the 4K best, with its own error, an eighth of the weight.
  it.each([
    ['one code', [[3, 0.7]]],
    [
      'a code and a wider one',
      [
        [2, 0.7],
        [8, 0.7 / 8],
      ],
    ],
  ] as const)('the reference gradients equal central finite differences of the loss: %s', (_, codes) => {
    const rng = createRng(21);
    const [B, D, F] = [6, 5, 9];
    const normals = (n: number) => Float64Array.from({ length: n }, () => rng.normal());
    const x = normals(B * D);
    const p = { W_enc: normals(F * D), W_dec: normals(F * D), b_enc: normals(F), b_dec: normals(D) };
    const centred = () => x.map((v, j) => v - p.b_dec[j % D]!);
    const forward = () => {
      const xc = centred();
      const pre = new Float64Array(B * F);
      for (let b = 0; b < B; b++)
        for (let i = 0; i < F; i++) {
          pre[b * F + i] = p.b_enc[i]!;
          for (let d = 0; d < D; d++) pre[b * F + i]! += xc[b * D + d]! * p.W_enc[i * D + d]!;
        }
      return codes.map(([K, g]) => {
        const entries = reference.topK(pre, B, F, K);
        const out = reference.decode(entries, p.W_dec, B, D);
        return { g, entries, xc, error: xc.map((v, j) => v - out[j]!) };
      });
    };
    const loss = () =>
      forward().reduce((sum, { g, error }) => sum + (g / 2) * error.reduce((a, e) => a + e * e, 0), 0);
    const names = ['W_enc', 'W_dec', 'b_enc', 'b_dec'] as const;
    const analytic = Object.fromEntries(names.map((name) => [name, new Float64Array(p[name].length)]));
    for (const { g, entries, xc, error } of forward()) {
      const part = reference.gradients(entries, g, xc, error, p.W_enc, p.W_dec, F, D);
      // b_dec also shifts the reconstruction: - g sum_b e_b.
      for (let j = 0; j < error.length; j++) part.b_dec[j % D]! -= g * error[j]!;
      for (const name of names) for (const [j, v] of part[name].entries()) analytic[name]![j]! += v;
    }
    for (const name of names) {
      for (let j = 0; j < p[name].length; j++) {
        const h = 1e-6;
        const kept = p[name][j]!;
        p[name][j] = kept + h;
        const up = loss();
        p[name][j] = kept - h;
        const down = loss();
        p[name][j] = kept;
        expect(Math.abs((up - down) / (2 * h) - analytic[name]![j]!)).toBeLessThan(
          1e-5 * (1 + Math.abs(analytic[name]![j]!)),
        );
      }
    }
  });

  it.each([
    ['without', false],
    ['with', true],
  ])(
    'updateLatents equals gradients, projection, Adam and renormalisation done apart, %s a wider code',
    (_, wide) => {
      const p = problem(31, { B: 300 });
      const { arena, kernels, rng, B, D, F } = p;
      const [g, t, lr] = [0.03, 3, 1e-2];
      const matrix = () => fill(arena.f32(F * D), rng);
      const x = fill(arena.f32(B * D), rng);
      const error = fill(arena.f32(B * D), rng);
      const [W_enc, mEnc, vEnc, W_dec, mDec, vDec] = [
        matrix(),
        matrix(),
        matrix(),
        matrix(),
        matrix(),
        matrix(),
      ];
      const [b_enc, mBias, vBias] = [
        fill(arena.f32(F), rng),
        fill(arena.f32(F), rng),
        fill(arena.f32(F), rng),
      ];
      for (const v of [vEnc, vDec, vBias]) for (let j = 0; j < v.length; j++) v[j] = 1e-3 * v[j]! ** 2;
      for (const m of [mEnc, mDec, mBias]) for (let j = 0; j < m.length; j++) m[j]! *= 1e-2;
      const unit = Float64Array.from(W_dec);
      reference.normaliseInPlace(unit, F, D);
      W_dec.set(unit);
      const copy = (v: Float32Array) => Float64Array.from(v);
      const expected = { W_enc: copy(W_enc), W_dec: copy(W_dec), b_enc: copy(b_enc) };
      const moments = [copy(mEnc), copy(vEnc), copy(mDec), copy(vDec), copy(mBias), copy(vBias)] as const;
      const grads = reference.gradients(reference.topK(p.pre, B, F, p.K), g, x, error, W_enc, W_dec, F, D);
      const wideCode = sparse(p, 4 * p.K);
      const wideError = fill(arena.f32(B * D), rng);
      if (wide) {
        const added = reference.gradients(wideCode.entries, g / 8, x, wideError, W_enc, W_dec, F, D);
        for (const name of ['W_enc', 'W_dec', 'b_enc', 'b_dec'] as const)
          for (const [j, v] of added[name].entries()) grads[name][j]! += v;
      }
      reference.projectInPlace(grads.W_dec, W_dec, F, D);
      const adam = { lr, beta1: 0.9, beta2: 0.999, eps: 6.25e-10, t };
      reference.adamInPlace(expected.W_enc, moments[0], moments[1], grads.W_enc, { ...adam, lr: lr / 4 });
      reference.adamInPlace(expected.W_dec, moments[2], moments[3], grads.W_dec, adam);
      reference.adamInPlace(expected.b_enc, moments[4], moments[5], grads.b_enc, adam);
      reference.normaliseInPlace(expected.W_dec, F, D);

      const latentStart = arena.i32(F + 1);
      const rows = arena.i32(p.n);
      const sorted = arena.f32(p.n);
      // biome-ignore format: grouped as in the kernel
      kernels.transposeEntries(
      at(p.rowStart), at(p.latents), at(p.kept), B, p.S, F, at(latentStart), at(arena.i32(F)), at(rows),
      at(sorted),
    );
      const biasGradient = arena.f32(D);
      // Every third latent takes the road of the dead ones: gradients row block by row block, then the same update.
      const learning = arena.i32(F);
      const auxIndex = arena.i32(F);
      let n = 0;
      for (let i = 0; i < F; i += 3) {
        learning[n++] = i;
        auxIndex[i] = n;
      }
      const auxGradients = arena.f32(n * 2 * D);
      const auxSums = arena.f32(n);
      // biome-ignore format: grouped as in the kernel
      kernels.accumulateAux(
      at(learning), n, B, D, at(x), g, at(error), at(latentStart), at(rows), at(sorted), at(W_dec),
      at(auxGradients), at(auxSums), at(arena.i32(n)),
    );
      // biome-ignore format: grouped as in the kernel
      kernels.updateLatents(
      0, F, D, at(x), g, at(error), at(latentStart), at(rows), at(sorted), at(auxIndex), at(auxGradients), at(auxSums),
      at(W_enc), at(mEnc), at(vEnc), at(W_dec), at(mDec), at(vDec), at(b_enc), at(mBias), at(vBias),
      at(biasGradient), at(arena.f32(2 * D)),
      lr / (1 - 0.9 ** t), 1 / Math.sqrt(1 - 0.999 ** t), 0.9, 0.999, 6.25e-10, 0, 0,
      g / 8, at(wideError), wide ? at(wideCode.latentStart) : 0, at(wideCode.rows), at(wideCode.values),
      lr / 4 / (1 - 0.9 ** t),
    );
      expect(distance(W_enc, expected.W_enc)).toBeLessThan(1e-5);
      expect(distance(W_dec, expected.W_dec)).toBeLessThan(1e-5);
      expect(distance(b_enc, expected.b_enc)).toBeLessThan(1e-5);
      expect(distance(biasGradient, grads.b_dec)).toBeLessThan(1e-5);
    },
  );
});

it('movingAverage equals the weighted sum of everything it was shown', () => {
  const { arena, kernels } = setup(1);
  const rng = createRng(8);
  const [n, decay] = [24, 0.9];
  const mean = arena.f32(n);
  const w = arena.f32(n);
  const shown = Array.from({ length: 7 }, () => fill(new Float32Array(n), rng));
  for (const values of shown) {
    w.set(values);
    kernels.movingAverage(at(mean), at(w), n, decay);
  }
  const expected = Array.from({ length: n }, (_, i) =>
    shown.reduce((sum, values, t) => sum + (1 - decay) * decay ** (6 - t) * values[i]!, 0),
  );
  expect(distance(mean, expected)).toBeLessThan(1e-6);
});

describe('signs in the last bit', () => {
  it('order values by magnitude, keep the sign, change at most the last bit, and leave 0 alone', () => {
    const { arena, kernels } = setup();
    const rng = createRng(17);
    const given = Float32Array.from({ length: 501 }, () => rng.normal() * 10 ** (8 * rng.uniform() - 4));
    given.set([0, -0, 1, -1]);
    const values = arena.f32(given.length);
    values.set(given);
    kernels.foldSign(at(values), values.length);
    for (const [j, folded] of values.entries())
      expect(Math.abs(folded - Math.abs(given[j]!))).toBeLessThanOrEqual(Math.abs(given[j]!) * 2 ** -23);
    expect([...values.subarray(0, 2)]).toEqual([0, 0]);
    kernels.unfoldSign(at(values), values.length);
    for (const [j, back] of values.entries()) {
      expect(Math.sign(back)).toBe(Math.sign(given[j]!) + 0);
      expect(Math.abs(back - given[j]!)).toBeLessThanOrEqual(Math.abs(given[j]!) * 2 ** -23);
    }
  });
});
