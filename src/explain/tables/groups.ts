/**
 * On which kind of document does a latent fire more? Rates by label, tested over documents, since the tokens of one document are
 * anything but independent.
 *
 *     group g, documents d with n_d measured tokens, y_d of them firing:    r = Σ y_d / Σ n_d
 *     Var r = m/(m−1) · Σ (y_d − r n_d)² / (Σ n_d)²                          ratio estimator, linearised (Cochran 1977, 6.4)
 *     t = (r_g − r_rest) / √(Var r_g + Var r_rest),   ν of Welch,   p two-sided
 *
 * Fewer than 10 documents on a side are not tested.
 */
import type { Entries } from './latent.ts';

export const FEWEST_DOCUMENTS = 10;

/** A label column: the value (place in `values`) of every document, −1 for none. */
export type LabelColumn = {
  readonly column: string;
  readonly values: readonly string[];
  readonly ofDocument: Int32Array;
};

export type GroupRate = {
  readonly column: string;
  readonly value: string;
  readonly tokens: number;
  readonly fired: number;
  readonly rate: number;
  readonly rateRest: number;
  /** 95 % interval of the difference; null when not tested. */
  readonly low: number | null;
  readonly high: number | null;
  readonly p: number | null;
};

/** Sums over the documents of one side: m, Σn, Σn², Σy, Σy², Σyn. */
type Sums = { m: number; n: number; nn: number; y: number; yy: number; yn: number };

const zero = (): Sums => ({ m: 0, n: 0, nn: 0, y: 0, yy: 0, yn: 0 });
const minus = (a: Sums, b: Sums): Sums => ({
  m: a.m - b.m,
  n: a.n - b.n,
  nn: a.nn - b.nn,
  y: a.y - b.y,
  yy: a.yy - b.yy,
  yn: a.yn - b.yn,
});

/** Forgets what fired. */
function clear(sums: Sums): void {
  sums.y = 0;
  sums.yy = 0;
  sums.yn = 0;
}

/** A document of n tokens, y of them firing. */
function add(sums: Sums, y: number, n: number): void {
  sums.y += y;
  sums.yy += y * y;
  sums.yn += y * n;
}

export type GroupTest = (entries: Entries, documents: Int32Array) => GroupRate[];

/**
 * Prepares the test of all latents on one text.
 *
 * @param tokens measured tokens of every document; documents with none take no part
 */
export function createGroupTest(columns: readonly LabelColumn[], tokens: Int32Array): GroupTest {
  const sides = columns.map(({ values, ofDocument }) => {
    const groups = values.map(zero);
    const all = zero();
    for (const [d, n] of tokens.entries()) {
      const g = ofDocument[d]!;
      if (n === 0 || g < 0) continue;
      for (const sums of [groups[g]!, all]) {
        sums.m += 1;
        sums.n += n;
        sums.nn += n * n;
      }
    }
    // What is of documents alone stays from latent to latent.
    return { groups, all };
  });
  const fired = new Int32Array(tokens.length);
  const touched = new Int32Array(tokens.length);

  return ({ at }, documents) => {
    let m = 0;
    for (let i = 0; i < at.length; i++) {
      const d = documents[at[i]!]!;
      if (fired[d]! === 0) touched[m++] = d;
      fired[d]!++;
    }
    const rates: GroupRate[] = [];
    for (const [c, { column, values, ofDocument }] of columns.entries()) {
      const { groups, all } = sides[c]!;
      for (const sums of groups) clear(sums);
      clear(all);
      for (let i = 0; i < m; i++) {
        const d = touched[i]!;
        const g = ofDocument[d]!;
        if (g < 0) continue;
        add(groups[g]!, fired[d]!, tokens[d]!);
        add(all, fired[d]!, tokens[d]!);
      }
      for (const [g, group] of groups.entries())
        if (group.y > 0) rates.push(compare(column, values[g]!, group, minus(all, group)));
    }
    for (let i = 0; i < m; i++) fired[touched[i]!] = 0;
    return rates;
  };
}

function compare(column: string, value: string, group: Sums, rest: Sums): GroupRate {
  const rate = group.y / group.n;
  const rateRest = rest.n > 0 ? rest.y / rest.n : 0;
  const untested = group.m < FEWEST_DOCUMENTS || rest.m < FEWEST_DOCUMENTS;
  const a = untested ? 0 : variance(group, rate);
  const b = untested ? 0 : variance(rest, rateRest);
  let low: number | null = null;
  let high: number | null = null;
  let p: number | null = null;
  if (a + b > 0) {
    const df = ((a + b) * (a + b)) / ((a * a) / (group.m - 1) + (b * b) / (rest.m - 1));
    const difference = rate - rateRest;
    const error = Math.sqrt(a + b);
    const half = studentQuantile(df) * error;
    low = difference - half;
    high = difference + half;
    p = studentP(difference / error, df);
  }
  return { column, value, tokens: group.n, fired: group.y, rate, rateRest, low, high, p };
}

function variance({ m, n, nn, yy, yn }: Sums, r: number): number {
  return ((m / (m - 1)) * Math.max(0, yy - 2 * r * yn + r * r * nn)) / (n * n);
}

/** Two-sided p of Student's t: I_{ν/(ν+t²)}(ν/2, 1/2). */
export function studentP(t: number, df: number): number {
  return Math.min(1, incompleteBeta(df / (df + t * t), df / 2, 0.5));
}

const z = 1.959963984540054;
const [z3, z5, z7, z9] = [z ** 3, z ** 5, z ** 7, z ** 9];
/** Of 1, 1/ν, 1/ν², … */
const expansion = [
  z,
  (z3 + z) / 4,
  (5 * z5 + 16 * z3 + 3 * z) / 96,
  (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / 384,
  (79 * z9 + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / 92_160,
] as const;

/** The 97.5 % quantile, to 3e-5 for ν >= 9: expansion in 1/ν about the normal one (Abramowitz & Stegun 1964, 26.7.5). */
export function studentQuantile(df: number): number {
  const [a, b, c, d, e] = expansion;
  return a + (b + (c + (d + e / df) / df) / df) / df;
}

/** Regularised incomplete beta I_x(a, b): continued fraction, modified Lentz (Press et al., Numerical Recipes, 6.4). */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x));
  return x < (a + 1) / (a + b + 2)
    ? (front * fraction(x, a, b)) / a
    : 1 - (front * fraction(1 - x, b, a)) / b;
}

/** Not zero. */
const away = (v: number): number => (Math.abs(v) < 1e-300 ? 1e-300 : v);

function fraction(x: number, a: number, b: number): number {
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let h = d;
  for (let m = 1; m < 300; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    h *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    h *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return h;
}

/** ln Γ(x) for x > 0: Stirling's series after shifting x above 10. */
function logGamma(x: number): number {
  let shift = 1;
  let y = x;
  for (; y < 10; y++) shift *= y;
  const w = 1 / (y * y);
  const series = (1 / 12 - (1 / 360 - (1 / 1260 - w / 1680) * w) * w) / y;
  return (y - 0.5) * Math.log(y) - y + 0.5 * Math.log(2 * Math.PI) + series - Math.log(shift);
}
