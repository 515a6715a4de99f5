/** Inputs of the steering bus. What depends on features and strengths is made once for a run of any length; gates follow the tokens. */
import { type SiteInput, type SteerSite, siteInput } from '../../graph/index.ts';
import type { Ort } from '../../platform/index.ts';
import type { Feeds } from '../sessions.ts';
import { denseReads, type PlannedSite, thinReads } from './plan.ts';
import type { Intervention, SteerRows } from './types.ts';

type EngineTensor = InstanceType<Ort['Tensor']>;
type SiteFeeds = Partial<Record<SiteInput, EngineTensor>>;

const none = new Float32Array(0);

/** Feeds of the sites of a session; those without a plan are off. */
export function createSteerFeeds(
  sites: readonly SteerSite[],
  plan: readonly PlannedSite[],
  { Tensor }: Ort,
): (rows: SteerRows) => Feeds {
  const float = (data: Float32Array, dims: readonly number[]): EngineTensor =>
    new Tensor('float32', data, dims);
  const bool = (data: Uint8Array, dims: readonly number[]): EngineTensor => new Tensor('bool', data, dims);

  const empty = ({ D, Dout }: SteerSite): Record<SiteInput, EngineTensor> => ({
    on: bool(Uint8Array.of(0), []),
    settings: float(Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0), [8]),
    enc: float(none, [0, D]),
    reading: float(none, [5, 0]),
    dirs: float(none, [0, Dout]),
    writing: float(none, [8, 0]),
    rows: float(none, [2, 1, 0]),
    W_enc: float(none, [0, D]),
    bias: float(none, [0]),
    selection: float(none, [4, 0]),
    latents: new Tensor('int64', new BigInt64Array(0), [0]),
    W_dec: float(none, [0, Dout]),
    W_skip: float(none, [0, D]),
    base: float(none, [0, Dout]),
    replaced: bool(new Uint8Array(0), [0, 1]),
  });

  /** What stays the same from token to token. */
  function fixed(planned: PlannedSite): SiteFeeds {
    const { code, site, writes, replace, dense } = planned;
    const { D, Dout } = site;
    const thin = thinReads(planned);
    const picked = denseReads(planned);
    const R = thin.length;
    const enc = new Float32Array(R * D);
    const reading = new Float32Array(5 * R);
    for (const [r, read] of thin.entries()) {
      const numbers =
        'latent' in read
          ? latentReading(code!, read.latent, enc.subarray(r * D, (r + 1) * D))
          : directionReading(read.direction, enc.subarray(r * D, (r + 1) * D));
      for (const [i, value] of numbers.entries()) reading[i * R + r] = value;
    }
    const W = writes.length;
    const dirs = new Float32Array(W * Dout);
    const writing = new Float32Array(8 * W);
    for (const [w, { change, direction, src, when, intervention }] of writes.entries()) {
      dirs.set(direction, w * Dout);
      const rule = intervention.when;
      const sign = rule?.below === undefined ? 1 : -1;
      const threshold = rule ? sign * (rule.above ?? rule.below ?? 0) : -1;
      const scaled = intervention.latent !== undefined && code?.norm !== undefined ? 1 : 0;
      const numbers = [change.scale, change.least, change.most, src, when, threshold, sign, scaled];
      for (const [i, value] of numbers.entries()) writing[i * W + w] = value;
    }
    const splice = replace.some((one) => one.replace === 'reconstruction');
    const { norm, rank } = code ?? {};
    const settings = Float32Array.of(
      ...[norm === undefined ? 1 : 0, norm === 'layer' ? 1 : 0, norm === 'norm' ? 1 : 0],
      ...[dense ? 1 : 0, splice ? 1 : 0, rank?.K ?? 0, rank?.signed ? 1 : 0, replace.length > 0 ? 1 : 0],
    );
    return {
      on: bool(Uint8Array.of(1), []),
      settings: float(settings, [8]),
      enc: float(enc, [R, D]),
      reading: float(reading, [5, R]),
      dirs: float(dirs, [W, Dout]),
      writing: float(writing, [8, W]),
      ...(dense && code
        ? {
            W_enc: float(code.W_enc, [code.F, D]),
            bias: float(code.bias ?? new Float32Array(D), [D]),
            selection: float(code.selection, [4, code.F]),
            latents: new Tensor(
              'int64',
              BigInt64Array.from(picked, ({ latent }) => BigInt(latent)),
              [picked.length],
            ),
          }
        : {}),
      ...(splice && code
        ? {
            W_dec: float(code.W_dec, [code.F, Dout]),
            W_skip: float(code.W_skip ?? new Float32Array(Dout * D), [Dout, D]),
          }
        : {}),
    };
  }

  /** What depends on the tokens of a run; rows that are alike are given once. */
  function moving({ site: { Dout }, code, writes, replace }: PlannedSite, rows: SteerRows): SiteFeeds {
    const N = rows.positions.length;
    const W = writes.length;
    const numbers = new Float32Array(2 * N * W);
    for (let n = 0; n < N; n++)
      for (const [w, { intervention, change }] of writes.entries()) {
        const { shift } = change;
        const at = rows.positions[n]!;
        const value = typeof shift === 'number' ? shift : shift[at];
        numbers[n * W + w] = value !== undefined && isAt(intervention, rows, n) ? 1 : 0;
        numbers[(N + n) * W + w] = value ?? 0;
      }
    const feeds: SiteFeeds = { rows: float(...sameRows(numbers, 2, N, W)) };
    const [given] = replace;
    if (given === undefined) return feeds;
    const replaced = new Uint8Array(N);
    const perRow = given.replace === 'reconstruction' ? code?.b_token !== undefined : true;
    const base = new Float32Array((perRow ? N : 1) * Dout);
    for (let n = 0; n < N; n++) {
      const row = base.subarray(n * Dout, (n + 1) * Dout);
      let there = replace.some((one) => isAt(one, rows, n));
      if (given.replace === 'reconstruction') {
        if (perRow || n === 0) row.set(code!.b_dec);
        if (code!.b_token) addTo(row, code!.b_token, rows.ids[n]!);
      } else {
        const values = given.replace as Float32Array;
        const from = values.length === Dout ? 0 : rows.positions[n]! * Dout;
        there &&= from < values.length;
        if (there) row.set(values.subarray(from, from + Dout));
      }
      replaced[n] = there ? 1 : 0;
    }
    return {
      ...feeds,
      base: float(base, [base.length / Dout, Dout]),
      replaced: bool(replaced, [N, 1]),
    };
  }

  const planOf = new Map(plan.map((one) => [siteInput(one.site, 'on'), one]));
  const ready = sites.map((site) => {
    const planned = planOf.get(siteInput(site, 'on'));
    return { site, planned, feeds: { ...empty(site), ...(planned ? fixed(planned) : {}) } };
  });
  return (rows) => {
    const feeds: Record<string, () => EngineTensor> = {};
    for (const { site, planned, feeds: all } of ready) {
      const now = planned ? { ...all, ...moving(planned, rows) } : all;
      for (const [input, tensor] of Object.entries(now))
        feeds[siteInput(site, input as SiteInput)] = () => tensor;
    }
    return feeds;
  };
}

/** Whether a change is made at a token. */
function isAt({ positions, except }: Intervention, rows: SteerRows, n: number): boolean {
  if (except.has(rows.ids[n]!)) return false;
  const [at, prompt] = [rows.positions[n]!, rows.prompts[n]!];
  if (positions === 'all') return true;
  if (positions === 'prompt') return at < prompt;
  if (positions === 'generated') return at >= prompt;
  const from = (edge: number): number => (edge < 0 ? prompt + edge : edge);
  return positions.some(([start, end]) => at >= from(start) && (end === null || at < from(end)));
}

/** The five numbers of a latent, and its encoder row. */
function latentReading(
  { W_enc, bias, selection, F, D }: NonNullable<PlannedSite['code']>,
  latent: number,
  row: Float32Array,
): number[] {
  row.set(W_enc.subarray(latent * D, (latent + 1) * D));
  let b = selection[latent]!;
  // (x - bias) w + b = x w + (b - bias w)
  if (bias) for (let d = 0; d < D; d++) b -= bias[d]! * row[d]!;
  return [b, selection[F + latent]!, selection[2 * F + latent]!, selection[3 * F + latent]!, 0];
}

/** z = x . u, u the unit direction, so that z' u stands where z u stood. */
function directionReading(direction: Float32Array, row: Float32Array): number[] {
  row.set(direction);
  const { NEGATIVE_INFINITY } = Number;
  return [0, NEGATIVE_INFINITY, 1, 0, NEGATIVE_INFINITY];
}

function addTo(row: Float32Array, table: Float32Array, id: number): void {
  for (let d = 0; d < row.length; d++) row[d]! += table[id * row.length + d]!;
}

/** [P,N,W], or [P,1,W] where the rows of every part are alike. */
function sameRows(numbers: Float32Array, P: number, N: number, W: number): [Float32Array, number[]] {
  for (let p = 0; p < P; p++)
    for (let i = W; i < N * W; i++)
      if (numbers[p * N * W + i] !== numbers[p * N * W + (i % W)]) return [numbers, [P, N, W]];
  const once = new Float32Array(P * W);
  for (let p = 0; p < P; p++) once.set(numbers.subarray(p * N * W, p * N * W + W), p * W);
  return [once, [P, 1, W]];
}
