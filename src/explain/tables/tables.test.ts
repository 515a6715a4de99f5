import { describe, expect, it } from 'vitest';
import '../../platform/node.ts';
import { HISTOGRAM_BINS } from '../../shared/feature-tables.ts';
import { createRng } from '../../shared/rng.ts';
import { distribution } from './distribution.ts';
import { examplesOf, indexTokens, NEAR_MISSES, peaksOf, TOP } from './examples.ts';
import { createGroupTest, studentP, studentQuantile } from './groups.ts';
import { gatherEntries, rangesOf, type TextCodes } from './latent.ts';
import { nearestRows } from './neighbours.ts';
import { createTogether } from './together.ts';

const rng = createRng('feature tables');
const ints = (n: number, below: number) => Int32Array.from({ length: n }, () => rng.int(below));

describe('activations', () => {
  it('have the moments and quantiles of NumPy and SciPy', () => {
    // numpy.mean, numpy.std, scipy.stats.skew, numpy.quantile of [0.5, 1, 1.5, 2, 7] at 0.01 … 0.99
    const found = distribution(Float32Array.of(7, 2, 1.5, 1, 0.5));
    expect(found.mean).toBeCloseTo(2.4, 12);
    expect(found.std).toBeCloseTo(2.3537204591879637, 6);
    expect(found.skewness).toBeCloseTo(1.3334753269415842, 6);
    const quantiles = [0.52, 0.7, 1, 1.5, 2, 5, 6.8];
    for (const [i, value] of quantiles.entries()) expect(found.quantiles[i]).toBeCloseTo(value, 6);
  });

  it('are counted in equal bins, the largest in the last', () => {
    const counts = Array.from({ length: HISTOGRAM_BINS }, () => rng.int(6));
    const inside = counts.flatMap((n, bin) =>
      Array.from({ length: n }, () => (8 * (bin + 0.1 + 0.8 * rng.uniform())) / HISTOGRAM_BINS),
    );
    counts[HISTOGRAM_BINS - 1]! += 1;
    const { histogram } = distribution(
      Float32Array.from([...inside, 8])
        .sort()
        .reverse(),
    );
    expect([...histogram]).toEqual(counts);
  });

  it('of a latent are gathered from any number of stretches, in any ranges of latents', async () => {
    const F = 7;
    const codes: TextCodes[] = [];
    const slow: [at: number, value: number][][] = Array.from({ length: F }, () => []);
    for (let s = 0, base = 0; s < 3; s++) {
      const n = 20;
      const positions = Int32Array.from({ length: n }, (_, i) => 2 * i);
      const offsets = new Int32Array(n + 1);
      const latents: number[] = [];
      for (let i = 0; i < n; i++) {
        for (let f = 0; f < F; f++) if (rng.uniform() < 0.3) latents.push(f);
        offsets[i + 1] = latents.length;
      }
      const values = Float32Array.from(latents, () => rng.uniform());
      for (let i = 0; i < n; i++)
        for (let k = offsets[i]!; k < offsets[i + 1]!; k++)
          slow[latents[k]!]!.push([base + 2 * i, values[k]!]);
      codes.push({ base, positions, offsets, latents: Int32Array.from(latents), values });
      base += 2 * n;
    }
    const counts = slow.map(({ length }) => length);
    const ranges = rangesOf(counts, 30);
    expect(ranges.length).toBeGreaterThan(1);
    expect(ranges.flatMap(([a, b]) => Array.from({ length: b - a }, (_, i) => a + i))).toEqual([
      0, 1, 2, 3, 4, 5, 6,
    ]);
    for (const [from, to] of ranges) {
      const entries = await gatherEntries(
        counts,
        [from, to],
        (async function* () {
          yield* codes;
        })(),
      );
      for (let f = from; f < to; f++) {
        const { at, values } = entries(f);
        expect(Array.from(at, (place, i) => [place, values[i]])).toEqual(slow[f]);
      }
    }
  });
});

describe('examples', () => {
  const T = 16;
  const N = 64 * T;
  const ids = ints(N, 12);
  const documents = Int32Array.from({ length: N }, (_, at) => Math.floor(at / 11));
  const measured = Uint8Array.from({ length: N }, (_, at) => (at % T === 0 ? 0 : 1));
  const text = indexTokens(T, ids, documents, measured);
  const at = Int32Array.from({ length: N }, (_, place) => place).filter(
    (place) => measured[place] === 1 && rng.uniform() < 0.2,
  );
  const values = Float32Array.from(at, () => rng.uniform() + 0.01);
  const passageOf = (place: number) => `${Math.floor(place / T)}/${documents[place]}`;

  it('name the peak of every passage, as grouping by passage finds it', () => {
    const slow = new Map<string, number>();
    for (const [i, place] of at.entries()) {
      const known = slow.get(passageOf(place));
      if (known === undefined || values[i]! > values[known]!) slow.set(passageOf(place), i);
    }
    expect(peaksOf({ at, values }, text)).toEqual([...slow.values()].sort((a, b) => a - b));
  });

  it('are the strongest passages, one per tenth of the peaks and of the range, places drawn, and near misses', () => {
    const shown = examplesOf(3, { at, values }, text);
    const of = (kind: string) => shown.filter((example) => example.kind === kind);
    const valueAt = new Map(Array.from(at, (place, i) => [place, values[i]!]));
    for (const example of shown) expect(example.value).toBe(valueAt.get(example.at) ?? 0);

    const peaks = peaksOf({ at, values }, text)
      .map((i) => values[i]!)
      .sort((a, b) => b - a);
    expect(of('top').map(({ value }) => value)).toEqual(peaks.slice(0, TOP));
    const deciles = of('decile');
    expect(deciles.map(({ rank }) => rank)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (const { rank, value } of deciles) {
      const place = peaks.indexOf(value);
      expect(Math.floor(((peaks.length - 1 - place) * 10) / peaks.length)).toBeGreaterThanOrEqual(rank - 1);
      expect(place).toBeGreaterThanOrEqual(Math.floor(((9 - rank) * peaks.length) / 10));
      expect(place).toBeLessThan(Math.floor(((10 - rank) * peaks.length) / 10));
    }
    // Activations here are uniform above 0.01: there is one of every tenth.
    expect(of('interval').map(({ rank }) => rank)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (const { rank, value } of of('interval')) {
      expect(value).toBeGreaterThan((rank / 10) * peaks[0]!);
      expect(value).toBeLessThanOrEqual(((rank + 1) / 10) * peaks[0]!);
    }
    expect(new Set(of('random').map((example) => example.at)).size).toBe(10);

    const near = of('near_miss');
    expect(near).toHaveLength(NEAR_MISSES);
    const counts = new Map<number, number>();
    for (const place of at) counts.set(ids[place]!, (counts.get(ids[place]!) ?? 0) + 1);
    const common = [...counts.keys()].sort((a, b) => counts.get(b)! - counts.get(a)! || a - b).slice(0, 3);
    for (const example of near) {
      expect(valueAt.has(example.at)).toBe(false);
      expect(measured[example.at]).toBe(1);
      expect(common).toContain(ids[example.at]!);
    }
    expect(new Set(near.map((example) => documents[example.at])).size).toBe(NEAR_MISSES);
  });

  it('draw places uniformly, of all and of every interval', () => {
    const hits = { random: new Float64Array(at.length), interval: new Float64Array(at.length) };
    const place = new Map(Array.from(at, (p, i) => [p, i]));
    const draws = 2000;
    for (let latent = 0; latent < draws; latent++)
      for (const { kind, at: p } of examplesOf(latent, { at, values }, text))
        if (kind === 'random' || kind === 'interval') hits[kind][place.get(p)!]!++;
    const max = Math.max(...values);
    const tenthOf = (value: number) => Math.ceil((10 * value) / max);
    const inTenth = (value: number) => values.filter((other) => tenthOf(other) === tenthOf(value)).length;
    const expected = {
      random: () => (draws * 10) / at.length,
      interval: (i: number) => draws / inTenth(values[i]!),
    };
    for (const kind of ['random', 'interval'] as const) {
      const chi = hits[kind].reduce((sum, n, i) => sum + (n - expected[kind](i)) ** 2 / expected[kind](i), 0);
      // Chi squared with at.length − 1 degrees of freedom at most: mean n, variance 2n; five deviations above.
      expect(chi).toBeLessThan(at.length + 5 * Math.sqrt(2 * at.length));
    }
  });

  it('of an interval without activations are none', () => {
    // Binary fractions: 0.5 is no more than half of 1, and half of the range belongs to the tenth below it.
    const few = { at: at.slice(0, 4), values: Float32Array.of(0.05, 0.5, 0.52, 1) };
    const shown = examplesOf(1, few, text).filter(({ kind }) => kind === 'interval');
    expect(shown.map(({ rank, value }) => [rank, value])).toEqual([
      [0, Math.fround(0.05)],
      [4, 0.5],
      [5, Math.fround(0.52)],
      [9, 1],
    ]);
    expect(
      examplesOf(1, { at: new Int32Array(0), values: new Float32Array(0) }, text).filter(
        ({ kind }) => kind !== 'near_miss',
      ),
    ).toEqual([]);
  });
});

describe('rates by group', () => {
  it('have the p of Student in closed form: ν = 1 and ν = 2', () => {
    for (const t of [0.1, 1, 2.5, 40]) {
      expect(studentP(t, 1)).toBeCloseTo(1 - (2 / Math.PI) * Math.atan(t), 12);
      expect(studentP(t, 2)).toBeCloseTo(1 - t / Math.sqrt(t * t + 2), 12);
    }
    // scipy.stats.t.sf(2.1, 17.3) * 2
    expect(studentP(2.1, 17.3)).toBeCloseTo(0.050688223022867525, 12);
  });

  it('have the quantiles of SciPy', () => {
    // scipy.stats.t.ppf(0.975, df)
    for (const [df, quantile] of [
      [9, 2.2621571627409915],
      [40, 2.0210753903062737],
      [1000, 1.9623390808264078],
    ] as const)
      expect(Math.abs(studentQuantile(df) - quantile)).toBeLessThan(3e-5);
  });

  it('of documents of one length are tested as Welch tests their rates', () => {
    const [m, n] = [40, 25];
    const documents = Int32Array.from({ length: m * n }, (_, at) => Math.floor(at / n));
    const ofDocument = Int32Array.from({ length: m }, (_, d) => (d < 15 ? 0 : 1));
    const at = Int32Array.from({ length: m * n }, (_, place) => place).filter(
      (place) => rng.uniform() < (documents[place]! < 15 ? 0.3 : 0.2),
    );
    const test = createGroupTest(
      [{ column: 'kind', values: ['a', 'b'], ofDocument }],
      new Int32Array(m).fill(n),
    );
    const [a, b] = test({ at, values: new Float32Array(at.length) }, documents);
    const rates = [0, 1].map((g) =>
      Array.from({ length: m }, (_, d) => d)
        .filter((d) => ofDocument[d] === g)
        .map((d) => at.filter((place) => documents[place] === d).length / n),
    );
    const [x, y] = rates.map((r) => {
      const mean = r.reduce((s, v) => s + v, 0) / r.length;
      return {
        mean,
        error: r.reduce((s, v) => s + (v - mean) ** 2, 0) / (r.length - 1) / r.length,
        m: r.length,
      };
    }) as [{ mean: number; error: number; m: number }, { mean: number; error: number; m: number }];
    const t = (x.mean - y.mean) / Math.sqrt(x.error + y.error);
    const df = (x.error + y.error) ** 2 / (x.error ** 2 / (x.m - 1) + y.error ** 2 / (y.m - 1));
    expect(a!.rate).toBeCloseTo(x.mean, 12);
    expect(a!.rateRest).toBeCloseTo(y.mean, 12);
    expect(a!.p).toBeCloseTo(studentP(t, df), 12);
    expect(b!.p).toBeCloseTo(a!.p!, 12);
    expect(a!.low).toBeCloseTo(-b!.high!, 12);
  });

  it('find nothing where nothing is: 5 % of tests below 0.05, though tokens of a document go together', () => {
    const m = 60;
    const lengths = Int32Array.from({ length: m }, () => 5 + rng.int(60));
    const documents = Int32Array.from(Array.from(lengths).flatMap((n, d) => new Array<number>(n).fill(d)));
    const ofDocument = Int32Array.from({ length: m }, (_, d) => (d < 25 ? 0 : 1));
    const test = createGroupTest([{ column: 'kind', values: ['a', 'b'], ofDocument }], lengths);
    let below = 0;
    const trials = 2000;
    for (let i = 0; i < trials; i++) {
      const own = Array.from({ length: m }, () => (rng.uniform() < 0.5 ? 0.05 : 0.6));
      const at = Int32Array.from({ length: documents.length }, (_, place) => place).filter(
        (place) => rng.uniform() < own[documents[place]!]!,
      );
      if (test({ at, values: new Float32Array(at.length) }, documents)[0]!.p! < 0.05) below++;
    }
    // 99.9 % of binomial(2000, 0.05) lie within 3.3 deviations of 9.7; the ratio estimator is a little liberal.
    expect(below).toBeGreaterThan(65);
    expect(below).toBeLessThan(140);
  });
});

it('latents that fire together are those with the largest Jaccard index of all pairs', () => {
  const [F, n] = [30, 400];
  const sets = Array.from({ length: n }, () =>
    Array.from({ length: F }, (_, f) => f).filter((f) => rng.uniform() < (f % 5 === 0 ? 0.3 : 0.05)),
  );
  const offsets = new Int32Array(n + 1);
  for (const [i, set] of sets.entries()) offsets[i + 1] = offsets[i]! + set.length;
  const together = createTogether(F, { offsets, latents: Int32Array.from(sets.flat()) });
  for (const f of [0, 3, 29]) {
    const slow = Array.from({ length: F }, (_, g) => {
      const both = sets.filter((set) => set.includes(f) && set.includes(g)).length;
      const either = sets.filter((set) => set.includes(f) || set.includes(g)).length;
      return { g, both, jaccard: both / either };
    })
      .filter(({ g, both }) => g !== f && both >= 3)
      .sort((a, b) => b.jaccard - a.jaccard || a.g - b.g)
      .slice(0, 12);
    expect(together(f)).toEqual({
      latents: slow.map(({ g }) => g),
      jaccard: slow.map(({ jaccard }) => jaccard),
      tokens: slow.map(({ both }) => both),
    });
  }
});

it('neighbours are the largest cosines of all pairs', async () => {
  const [F, D, k] = [60, 8, 5];
  const W = Float32Array.from({ length: F * D }, () => rng.normal());
  const of = [0, 7, 59];
  const { latents, cosines } = await nearestRows(W, F, of, k);
  const row = (f: number) => W.subarray(f * D, (f + 1) * D);
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, v, d) => sum + v * b[d]!, 0);
  for (const [i, f] of of.entries()) {
    const slow = Array.from({ length: F }, (_, g) => ({
      g,
      cos: dot(row(f), row(g)) / Math.sqrt(dot(row(f), row(f)) * dot(row(g), row(g))),
    }))
      .filter(({ g }) => g !== f)
      .sort((a, b) => b.cos - a.cos)
      .slice(0, k);
    expect([...latents.subarray(i * k, (i + 1) * k)]).toEqual(slow.map(({ g }) => g));
    for (const [j, { cos }] of slow.entries()) expect(cosines[i * k + j]).toBeCloseTo(cos, 5);
  }
});
