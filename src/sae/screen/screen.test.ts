// Screening must not change a code. The oracle is every float32 pre-activation, summed in the order that screening documents, and a sort.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { getPlatform, setPlatform } from '../../platform/current.ts';
import '../../platform/node.ts';
import type { WorkerHandle } from '../../platform/types.ts';
import { createRng, type Rng } from '../../shared/rng.ts';
import { ownSelection, subtractsBias } from '../check.ts';
import { createEncoder, encode } from '../encode.ts';
import { normaliseRows } from '../normalise.ts';
import type { Sae, SparseCode } from '../types.ts';

const f = Math.fround;
const normals = (rng: Rng, n: number, scale = 1) =>
  Float32Array.from({ length: n }, () => scale * rng.normal());

/** x w + b in float32: 16 sums of every 16th product, added up in pairs. */
function sumInOrder(x: Float32Array, w: Float32Array, b: number): number {
  const sums = new Float32Array(16);
  for (let d = 0; d < x.length; d++) sums[d % 16] = sums[d % 16]! + f(x[d]! * w[d]!);
  const lane = (l: number) => f(f(sums[l]! + sums[l + 4]!) + f(sums[l + 8]! + sums[l + 12]!));
  return f(f(f(lane(0) + lane(1)) + f(lane(2) + lane(3))) + b);
}

/** The active latents of every row, [latent, value] with the largest first. */
function slow(sae: Sae, x: Float32Array): [number, number][][] {
  const { D, F, inputNorm } = sae.config;
  const selection = ownSelection(sae);
  const centred = new Float32Array(x.length);
  normaliseRows(inputNorm, x, D, subtractsBias(sae.config) ? sae.b_dec : undefined, centred);
  return Array.from({ length: x.length / D }, (_, r) => {
    const row = centred.subarray(r * D, (r + 1) * D);
    const found: [number, number][] = [];
    for (let i = 0; i < F; i++) {
      const bias = selection.by === 'threshold' && selection.bias === false ? 0 : sae.b_enc[i]!;
      const pre = sumInOrder(row, sae.W_enc.subarray(i * D, (i + 1) * D), bias);
      if (selection.by === 'rank') found.push([i, pre]);
      else if (pre > selection.threshold[i]!)
        found.push([i, selection.scale ? f(f(selection.scale[i]! * pre) + selection.shift![i]!) : pre]);
    }
    const active = found.filter(([, value]) => value > 0).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    return selection.by === 'rank' ? active.slice(0, selection.K) : active;
  });
}

function listed({ B, K, values, indices }: SparseCode): [number, number][][] {
  return Array.from({ length: B }, (_, r) =>
    Array.from({ length: K }, (_, k): [number, number] => [indices[r * K + k]!, values[r * K + k]!]).filter(
      ([, value]) => value !== 0,
    ),
  );
}

const topk = { architecture: 'topk', K: 8 };

function planted(settings: object = topk, { D = 40, F = 600, seed = 'sae' } = {}): Sae {
  const rng = createRng(seed);
  return {
    config: { D, F, metadata: {}, ...settings },
    W_enc: normals(rng, F * D),
    b_enc: normals(rng, F, 0.3),
    W_dec: normals(rng, F * D),
    b_dec: normals(rng, D, 0.5),
  } as Sae;
}

/** Same code as the oracle on the rows that were screened, which must be nearly all. */
async function same(sae: Sae, x: Float32Array, { leastScreened = 0.95 } = {}): Promise<void> {
  const encoder = await createEncoder(sae, { screen: 'int8', threads: 1 });
  const found = listed(await encoder.encode(x));
  const { rows, whole, candidates } = encoder.screened!();
  await encoder.close();
  const expected = slow(sae, x);
  if (whole === 0) expect(found).toEqual(expected);
  else
    for (const [r, row] of found.entries()) {
      expect(row.map(([latent]) => latent)).toEqual(expected[r]!.map(([latent]) => latent));
      // Rows that were encoded without screening have the engine's order of summation.
      const most = Math.max(...expected[r]!.map(([, value]) => value));
      for (const [k, [, value]] of row.entries())
        expect(Math.abs(value - expected[r]![k]![1])).toBeLessThanOrEqual(1e-5 * most);
    }
  expect(rows).toBe(x.length / sae.config.D);
  expect(whole / rows).toBeLessThanOrEqual(1 - leastScreened);
  expect(candidates).toBeLessThan(rows * sae.config.F);
}

describe('int8 screening', () => {
  const rng = createRng('rows');
  const per = (F: number, scale: number, shift = 0) => normals(rng, F, scale).map((v) => v + shift);

  for (const [name, sae, B] of [
    ['TopK', planted(topk), 70],
    ['TopK of odd sizes, beyond one tile of latents', planted(topk, { D: 37, F: 2503 }), 20],
    ['a TopK transcoder', planted({ ...topk, Dout: 40 }), 20],
    ['TopK with a normalised input', planted({ ...topk, inputNorm: 'layer' }), 20],
    ['TopK of centred rows', planted({ ...topk, inputNorm: 'centre' }), 20],
    ['BatchTopK', planted({ architecture: 'batchtopk', K: 8, threshold: 14.5 }), 40],
    ['JumpReLU', { ...planted({ architecture: 'jumprelu' }), threshold: per(600, 1, 15) }, 40],
    [
      'Gated',
      {
        ...planted({ architecture: 'gated' }),
        b_enc: per(600, 1, -15),
        r_mag: per(600, 0.1),
        b_mag: per(600, 1),
      },
      40,
    ],
  ] as const)
    it(`gives the code of all pre-activations, bit for bit: ${name}`, async () => {
      await same(sae as Sae, normals(rng, B * sae.config.D));
    });

  it('the engine’s own float32 product chooses the same latents', async () => {
    const sae = planted(topk, { D: 64, F: 3000 });
    const x = normals(rng, 400 * 64);
    const [screened, whole] = [
      listed(await encode(sae, x, { screen: 'int8' })),
      listed(await encode(sae, x)),
    ];
    let [differing, worst] = [0, 0];
    for (const [r, row] of screened.entries())
      for (const [k, [latent, value]] of row.entries()) {
        if (whole[r]![k]![0] !== latent) differing++;
        worst = Math.max(worst, Math.abs(value - whole[r]![k]![1]));
      }
    expect(worst).toBeLessThan(1e-4);
    // Pairs that lie closer together than float32 rounding.
    expect(differing).toBeLessThan(4);
  });
});

describe('int8 screening of inputs made against it', () => {
  const D = 64;
  const rng = createRng('against');
  const rounded = (v: Float32Array) => {
    const scale = v.reduce((most, a) => Math.max(most, Math.abs(a)), 0) / 127;
    return v.map((a) => a - scale * Math.round(a / scale));
  };

  /**
   * 100 latents whose pre-activations lie close together, and others too small to matter. Every second one has
   * the weights `even`, the others `odd`.
   */
  function against(x: Float32Array, even: Float32Array, odd: Float32Array): Sae<'topk'> {
    const F = 2048;
    const W_enc = normals(rng, F * D, 1e-4);
    const b_enc = new Float32Array(F);
    for (let i = 0; i < 100; i++) {
      const w = i % 2 === 0 ? even : odd;
      W_enc.set(w, (20 * i + 7) * D);
      b_enc[20 * i + 7] = 3 + 1e-3 * i + (i % 2 === 0 ? 0.002 : 0) - sumInOrder(x, w, 0);
    }
    return {
      config: { architecture: 'topk', K: 4, D, F, metadata: {} },
      ...{ W_enc, b_enc, W_dec: W_enc, b_dec: new Float32Array(D) },
    };
  }

  /** As JumpReLU with the threshold between the 50th and 51st of the pre-activations: those that are near it must all be found. */
  function jumping({ config: { K, ...config }, ...arrays }: Sae<'topk'>, x: Float32Array): Sae {
    const pre = Array.from({ length: 2048 }, (_, i) =>
      sumInOrder(x, arrays.W_enc.subarray(i * D, (i + 1) * D), 0),
    );
    const theta = pre.toSorted((a, b) => b - a)[50]!;
    return {
      ...arrays,
      config: { ...config, architecture: 'jumprelu' },
      threshold: new Float32Array(2048).fill(theta),
    };
  }

  /** The numbers on their grid of 127 steps: without error of rounding. */
  const onGrid = (v: Float32Array) => {
    const error = rounded(v);
    return v.map((a, d) => a - error[d]!);
  };

  it('latents along what rounding of the row leaves: estimates are too low by the whole bound', async () => {
    const x = normals(rng, D);
    const error = rounded(x);
    const along = error.map((e) => e / Math.hypot(...error) ** 2);
    const sae = against(x, onGrid(along), onGrid(normals(rng, D)));
    await same(sae, x, { leastScreened: 0 });
    await same(jumping(sae, x), x, { leastScreened: 1 });
  });

  it('estimates that are too high would hide better latents: it is noticed', async () => {
    const x = normals(rng, D);
    const error = rounded(x);
    const opposite = error.map((e) => -e / Math.hypot(...error) ** 2);
    const sae = against(x, onGrid(normals(rng, D, 1e-3)), onGrid(opposite));
    const encoder = await createEncoder(sae, { screen: 'int8', threads: 1 });
    await encoder.encode(x);
    expect(encoder.screened!().whole).toBe(1);
    await encoder.close();
    await same(sae, x, { leastScreened: 0 });
  });

  it('latents whose own rounding points along the row', async () => {
    const x = normals(rng, D).map(Math.sign);
    // One weight sets the scale; the others lie just below the middle between two steps, and all lose as seen from x.
    const steps = (n: number) => x.map((sign, d) => (sign * (d === 0 ? 127 : n) * 4) / 127);
    const sae = against(x, steps(3.49), steps(3));
    await same(sae, x, { leastScreened: 0 });
    await same(jumping(sae, x), x, { leastScreened: 1 });
  });

  it('outliers in rows and latents, sizes far apart, ties, rows of zeros, numbers near the limits', async () => {
    const sae = planted(topk, { D, F: 700 });
    for (let i = 0; i < 700; i++) {
      if (i % 5 === 0) sae.W_enc[i * D + (i % D)] = 80;
      if (i % 7 === 0) for (let d = 0; d < D; d++) sae.W_enc[i * D + d]! *= 1e-6;
      if (i % 11 === 0 && i > 0) sae.W_enc.copyWithin(i * D, (i - 1) * D, i * D);
    }
    sae.b_dec.fill(0);
    const x = normals(rng, 60 * D);
    for (let r = 0; r < 60; r++) {
      if (r % 3 === 0) x[r * D + 5] = 500;
      if (r % 10 === 1) x.fill(0, r * D, (r + 1) * D);
      if (r % 10 === 2) for (let d = 0; d < D; d++) x[r * D + d]! *= 1e-33;
      if (r % 10 === 3) for (let d = 0; d < D; d++) x[r * D + d]! *= 1e12;
    }
    await same(sae, x, { leastScreened: 0 });
    const { K, ...config } = sae.config as Sae<'topk'>['config'];
    const threshold = normals(rng, 700).map((v) => 20 + v);
    threshold[3] = Number.POSITIVE_INFINITY;
    await same({ ...sae, config: { ...config, architecture: 'jumprelu' }, threshold } as Sae, x, {
      leastScreened: 0,
    });
  });

  it('rows without end are as without screening', async () => {
    const sae = planted(topk);
    const x = normals(rng, 40);
    x[3] = Number.POSITIVE_INFINITY;
    const [screened, whole] = [await encode(sae, x, { screen: 'int8' }), await encode(sae, x)];
    expect(screened).toEqual(whole);
  });
});

describe('where screening cannot help', () => {
  it('signed codes and weights that are not finite are refused', async () => {
    await expect(
      createEncoder(planted({ architecture: 'groupmax', K: 4 }), { screen: 'int8' }),
    ).rejects.toThrow(/GroupMax.* it is not screened/);
    await expect(createEncoder(planted({ ...topk, signed: true }), { screen: 'int8' })).rejects.toThrow(
      /Signed codes/,
    );
    const sae = planted(topk);
    sae.W_enc[3 * 40] = Number.NaN;
    await expect(createEncoder(sae, { screen: 'int8' })).rejects.toThrow(/W_enc of latent 3 is not finite/);
  });

  it('dense codes are encoded without it, and after enough rows it is given up', async () => {
    const sae = planted({ architecture: 'relu' }, { D: 16, F: 200 });
    const x = normals(createRng('dense'), 2200 * 16);
    const encoder = await createEncoder(sae, { screen: 'int8' });
    const code = await encoder.encode(x);
    const { rows, whole } = encoder.screened!();
    await encoder.close();
    const expected = await encode(sae, x);
    expect(code.indices.every((latent, j) => latent === expected.indices[j])).toBe(true);
    expect(code.values.every((value, j) => value === expected.values[j])).toBe(true);
    expect(whole).toBe(rows);
    expect(rows).toBeLessThan(2200);
  });
});

describe('lanes of int8 screening', () => {
  const rng = createRng('lanes');
  const encodeOn = async (sae: Sae, x: Float32Array, threads: number) => {
    const encoder = await createEncoder(sae, { screen: 'int8', threads });
    const code = await encoder.encode(x);
    const screened = encoder.screened!();
    await encoder.close();
    return { code, screened };
  };

  for (const [name, settings, lanes] of [
    ['TopK', topk, [2, 3]],
    ['JumpReLU', { architecture: 'jumprelu' }, [2]],
  ] as const)
    it(`any number of threads gives the same bits, rows that stay open in their places: ${name}`, async () => {
      const sae = planted(settings, { D: 37, F: 700 });
      if (name === 'JumpReLU') Object.assign(sae, { threshold: normals(rng, 700).map((v) => 17 + v) });
      const x = normals(rng, 300 * 37);
      // Rows without end cannot be screened.
      for (const r of [0, 63, 64, 150, 299]) x[r * 37 + 2] = Number.POSITIVE_INFINITY;
      const one = await encodeOn(sae, x, 1);
      expect(one.screened.whole).toBe(5);
      const expected = slow(sae, x);
      for (const [r, row] of listed(one.code).entries())
        if (Number.isFinite(x[r * 37 + 2])) expect(row).toEqual(expected[r]);
      for (const threads of lanes) expect(await encodeOn(sae, x, threads)).toEqual(one);
    });

  it('calls at once and calls that are stopped leave the others as they are', async () => {
    const sae = planted();
    const x = normals(rng, 200 * 40);
    const encoder = await createEncoder(sae, { screen: 'int8', threads: 2 });
    const expected = await encoder.encode(x);
    const stop = new AbortController();
    const stopped = encoder.encode(x, { signal: stop.signal });
    const others = [encoder.encode(x), encoder.encode(x.subarray(0, 40))];
    stop.abort(new Error('enough'));
    await expect(stopped).rejects.toThrow('enough');
    const [all, first] = await Promise.all(others);
    expect(all).toEqual(expected);
    expect(listed(first!)[0]).toEqual(listed(expected)[0]);
    await encoder.close();
  });

  it('a worker that dies fails the call, and those after it', async () => {
    const platform = getPlatform();
    const failing = (): WorkerHandle => {
      let [reply, fail]: [(message: unknown) => void, (error: Error) => void] = [() => {}, () => {}];
      return {
        postMessage: (message) => ('tiles' in (message as object) ? reply({}) : fail(new Error('no memory'))),
        onMessage: (receive) => void (reply = receive),
        onError: (receive) => void (fail = receive),
        keepAlive() {},
        close: async () => {},
      };
    };
    setPlatform({ ...platform, spawnWorker: failing });
    try {
      const encoder = await createEncoder(planted(), { screen: 'int8', threads: 2 });
      for (let i = 0; i < 2; i++) await expect(encoder.encode(normals(rng, 40))).rejects.toThrow('no memory');
      await encoder.close();
    } finally {
      setPlatform(platform);
    }
  });

  it('a program that closes nothing ends by itself, and has its code before', async () => {
    const program = `
      const { encode } = await import(${JSON.stringify(new URL('../../../dist/index.js', import.meta.url).href)});
      const W = Float32Array.from({ length: 64 * 16 }, (_, i) => Math.sin(i * i));
      const sae = { config: { architecture: 'topk', K: 4, D: 16, F: 64, metadata: {} },
        W_enc: W, W_dec: W, b_enc: new Float32Array(64), b_dec: new Float32Array(16) };
      const code = await encode(sae, W, { screen: 'int8' });
      console.log(code.B);`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--eval', program],
      { timeout: 60_000 },
    );
    expect(stdout.trim()).toBe('64');
  });
});
