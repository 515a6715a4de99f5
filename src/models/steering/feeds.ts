/**
 * Inputs of the steering bus. What depends on features and strengths is made once for a run of any length; gates follow the tokens, and
 * where they are those of the token before, so are the tensors.
 */
import {
  BUS_INPUTS,
  FULL_NUMBERS,
  PLAIN_NUMBERS,
  SITE_INDICES,
  SITE_SWITCHES,
  type SteerSite,
  siteMatrix,
} from '../../graph/index.ts';
import type { Ort } from '../../platform/index.ts';
import type { Feeds } from '../sessions.ts';
import { denseReads, type PlannedSite, thinReads } from './plan.ts';
import type { Intervention, SteerRows } from './types.ts';

type EngineTensor = InstanceType<Ort['Tensor']>;
type Numbers = Partial<Record<(typeof PLAIN_NUMBERS | typeof FULL_NUMBERS)[number], Float32Array>>;

const none = new Float32Array(0);

/** What a site is fed. */
type SiteValues = {
  readonly switches: Partial<Record<(typeof SITE_SWITCHES)[number], boolean>>;
  readonly indices: Partial<Record<(typeof SITE_INDICES)[number], readonly number[]>>;
  readonly numbers: Numbers;
};

/** Feeds of the sites of a session; those without a plan are off. */
export function createSteerFeeds(
  sites: readonly SteerSite[],
  plan: readonly PlannedSite[],
  { Tensor }: Ort,
): (rows: SteerRows) => Feeds {
  const keyOf = ({ writes, reads, slot }: SteerSite): string => JSON.stringify([writes, reads, slot]);
  const planOf = new Map(plan.map((one) => [keyOf(one.site), one]));
  const ready = sites.map((site) => {
    const planned = planOf.get(keyOf(site));
    return { planned, values: planned && fixed(planned) };
  });

  const own: Record<string, () => EngineTensor> = {};
  for (const [i, site] of sites.entries()) {
    const { planned } = ready[i]!;
    const matrix = (which: 'W_enc' | 'W_dec', wanted: boolean | undefined, width: number) => {
      const data = (wanted && planned?.code?.[which]) || none;
      const tensor = new Tensor('float32', data, [data.length / width, width]);
      own[siteMatrix(site, which)] = () => tensor;
    };
    matrix('W_enc', planned?.dense, site.D);
    matrix('W_dec', planned && splices(planned), site.Dout);
  }

  /** The tensors that all sites share: BUS_INPUTS. */
  function shared(moved: readonly (Moving | undefined)[]): Feeds {
    const [totals, indexTotals, sizes, indices, switches]: number[][] = [[], [], [], [], []];
    const numbers: Float32Array[] = [];
    for (const [i, { values }] of ready.entries()) {
      const moving = moved[i];
      const all: Numbers = { ...values?.numbers, ...moving?.numbers };
      const on = { ...values?.switches, full: values?.switches.full || (moving?.dims[0] ?? 1) !== 1 };
      for (const name of SITE_SWITCHES) switches!.push(on[name] ? 1 : 0);
      for (const names of [PLAIN_NUMBERS, FULL_NUMBERS]) {
        const given = names.map((name) => all[name] ?? none);
        totals!.push(given.reduce((sum, { length }) => sum + length, 0));
        sizes!.push(...given.map(({ length }) => length));
        numbers.push(...given);
      }
      sizes!.push(...(moving?.dims ?? [0, 0]));
      for (const name of SITE_INDICES) {
        const picked = values?.indices[name] ?? [];
        indexTotals!.push(picked.length);
        indices!.push(...picked);
      }
    }
    const flat = new Float32Array(totals!.reduce((a, b) => a + b, 0));
    let at = 0;
    for (const part of numbers) {
      flat.set(part, at);
      at += part.length;
    }
    const int64 = (values: readonly number[]): EngineTensor =>
      new Tensor('int64', BigInt64Array.from(values, BigInt), [values.length]);
    const tensors = {
      [BUS_INPUTS.switches]: new Tensor('bool', Uint8Array.from(switches!), [switches!.length]),
      [BUS_INPUTS.sizes]: int64([...totals!, ...indexTotals!, ...sizes!]),
      [BUS_INPUTS.numbers]: new Tensor('float32', flat, [flat.length]),
      [BUS_INPUTS.indices]: int64(indices!),
    };
    return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, () => tensor]));
  }

  let last: { readonly moved: readonly (Moving | undefined)[]; readonly feeds: Feeds } | undefined;
  return (rows) => {
    const moved = ready.map(({ planned }) => planned && moving(planned, rows));
    if (!last?.moved.every((one, i) => equal(one, moved[i])))
      last = { moved, feeds: { ...own, ...shared(moved) } };
    return last.feeds;
  };
}

const splices = ({ replace, code }: PlannedSite): boolean =>
  code !== undefined && replace.some((one) => one.replace === 'reconstruction');

/** Where nothing is written, one write of nothing: a product over none has no place in the engine. */
const width = (writes: PlannedSite['writes']): number => Math.max(1, writes.length);

/** What stays the same from token to token. */
function fixed(planned: PlannedSite): SiteValues {
  const { code, site, writes, replace, dense } = planned;
  const { D, Dout } = site;
  const thin = thinReads(planned);
  // Row 0 reads nothing: the column of zeros.
  const R = 1 + thin.length;
  const enc = new Float32Array(R * D);
  const reading = Array.from({ length: 5 }, () => new Float32Array(R));
  reading[1]![0] = Number.POSITIVE_INFINITY;
  reading[2]![0] = 1;
  for (const [i, read] of thin.entries()) {
    const row = enc.subarray((i + 1) * D, (i + 2) * D);
    const numbers =
      'latent' in read ? latentReading(code!, read.latent, row) : directionReading(read.direction, row);
    for (const [j, value] of numbers.entries()) reading[j]![i + 1] = value;
  }
  const [b, bound, scale, shift, floor] = reading as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const W = width(writes);
  const dirs = new Float32Array(W * Dout);
  for (const [w, { direction }] of writes.entries()) dirs.set(direction, w * Dout);
  const ofWrites = (value: (write: (typeof writes)[number]) => number) =>
    Float32Array.from({ length: W }, (_, w) => (writes[w] ? value(writes[w]) : 0));
  const signOf = (rule: Intervention['when']) => (rule?.below === undefined ? 1 : -1);
  const { norm, rank } = code ?? {};
  const flag = (yes: boolean) => Float32Array.of(yes ? 1 : 0);
  const splice = splices(planned);
  return {
    switches: {
      on: true,
      // What the plain branch leaves out.
      full:
        norm !== undefined ||
        dense ||
        replace.length > 0 ||
        writes.some(({ intervention }) => intervention.when) ||
        scale.some((value) => value !== 1) ||
        shift.some((value) => value !== 0),
      ...{ dense, splice, replace: replace.length > 0, signed: rank?.signed === true },
    },
    indices: {
      src: [...ofWrites(({ src }) => src)],
      when: [...ofWrites(({ when }) => when)],
      latents: denseReads(planned).map(({ latent }) => latent),
    },
    numbers: {
      ...{
        plain: flag(norm === undefined || norm === 'centre'),
        layer: flag(norm === 'layer'),
        norm: flag(norm === 'norm'),
        centre: flag(norm === 'centre'),
        K: Float32Array.of(rank?.K ?? 0),
      },
      ...{ enc, b, bound, scale, shift, floor, dirs },
      a: ofWrites(({ change }) => change.scale),
      least: ofWrites(({ change }) => change.least),
      most: ofWrites(({ change }) => change.most),
      // Without a rule: the column of zeros, which is above -1.
      threshold: ofWrites(({ intervention: { when } }) =>
        when ? signOf(when) * (when.above ?? when.below ?? 0) : -1,
      ),
      sign: ofWrites(({ intervention: { when } }) => signOf(when)),
      ...(dense && code ? selectionOfAll(code) : {}),
      ...(splice && code ? { W_skip: code.W_skip ?? new Float32Array(Dout * D) } : {}),
    },
  };
}

function selectionOfAll({ selection, bias, F, D }: NonNullable<PlannedSite['code']>): Numbers {
  const [allB, allBound, allScale, allShift] = [0, 1, 2, 3].map((i) =>
    selection.subarray(i * F, (i + 1) * F),
  );
  return {
    bias: bias ?? new Float32Array(D),
    ...{ allB: allB!, allBound: allBound!, allScale: allScale!, allShift: allShift! },
  };
}

/** What depends on the tokens of a run, and the dims of gate and offset. */
type Moving = { readonly numbers: Numbers; readonly dims: readonly [number, number] };

function moving({ site: { Dout }, code, writes, replace }: PlannedSite, rows: SteerRows): Moving {
  const N = rows.positions.length;
  const W = width(writes);
  const gates = new Float32Array(N * W);
  const offsets = new Float32Array(N * W);
  for (let n = 0; n < N; n++)
    for (const [w, { intervention, change }] of writes.entries()) {
      const { shift } = change;
      const value = typeof shift === 'number' ? shift : shift[rows.positions[n]!];
      gates[n * W + w] = value !== undefined && isAt(intervention, rows, n) ? 1 : 0;
      offsets[n * W + w] = value ?? 0;
    }
  // Rows that are alike are given once.
  const M = alike(gates, W) && alike(offsets, W) ? 1 : N;
  const numbers: Numbers = { gate: gates.subarray(0, M * W), offset: offsets.subarray(0, M * W) };
  const [given] = replace;
  if (given === undefined) return { numbers, dims: [M, W] };
  const replaced = new Float32Array(N);
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
  return { numbers: { ...numbers, base, replaced }, dims: [M, W] };
}

function alike(numbers: Float32Array, W: number): boolean {
  for (let i = W; i < numbers.length; i++) if (numbers[i] !== numbers[i % W]) return false;
  return true;
}

function equal(a: Moving | undefined, b: Moving | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const same = (x: Float32Array, y: Float32Array | undefined): boolean =>
    x.length === y?.length && x.every((value, i) => value === y[i]);
  return (
    a.dims.every((dim, i) => dim === b.dims[i]) &&
    Object.entries(a.numbers).every(([name, x]) => same(x, b.numbers[name as keyof Numbers]))
  );
}

/** Whether a change is made at a token. */
function isAt({ positions, except, rows: own }: Intervention, rows: SteerRows, n: number): boolean {
  if (except.has(rows.ids[n]!)) return false;
  if (own && !(rows.rows[n]! >= own[0] && rows.rows[n]! < own[1])) return false;
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
