/**
 * Inputs of the steering bus. An input costs the engine as much time as a node or two, and tokens come one at a time: the small numbers of all
 * sites travel together, one after the other, and are dealt out by the first nodes of the graph.
 */
import type { GraphBuilder } from './builder.ts';
import type { Value, ValueInfo } from './types.ts';

/** One place of the bus. Several may stand behind one value; all of them read it as it was. */
export type SteerSite = {
  /** The value that is changed, and its width. */
  readonly writes: Value;
  readonly Dout: number;
  /** The value that latents are read from. */
  readonly reads: Value;
  readonly D: number;
  /** Tells sites with the same two apart. */
  readonly slot: number;
};

export const siteName = ({ writes, reads, slot }: SteerSite): string =>
  `${writes}/steering${reads === writes ? '' : `/${reads}`}/${slot}`;

/** Whether a site does anything, more than the plain branch can, and what. */
export const SITE_SWITCHES = ['on', 'full', 'dense', 'splice', 'replace', 'signed'] as const;

/** Numbers that both branches read, and those of the full one only; lengths in brackets. */
export const PLAIN_NUMBERS = [
  /** [R,D], and of each row [R]; row 0 reads nothing: the column of zeros */
  ...(['enc', 'b', 'bound', 'floor'] as const),
  /** [W,Dout], and of each row [W] */
  ...(['dirs', 'a', 'least', 'most'] as const),
  /** [N,W], or [1,W] where all rows are alike, as they have to be in the plain branch; offset: b of a change */
  ...(['gate', 'offset'] as const),
] as const;
export const FULL_NUMBERS = [
  /** [1]: 1 of the normalisation that the SAE has (a centred row is plain besides); K */
  ...(['plain', 'layer', 'norm', 'centre', 'K'] as const),
  /** of each row of enc [R], and of dirs [W] */
  ...(['scale', 'shift', 'threshold', 'sign'] as const),
  /** [D], and of all latents [F] */
  ...(['bias', 'allB', 'allBound', 'allScale', 'allShift'] as const),
  /** [Dout,D]; [N,Dout] or [1,Dout]; the rows that it replaces, 0 or 1 [N] or [1] */
  ...(['W_skip', 'base', 'replaced'] as const),
] as const;

/** int64: columns of this site [W] and of all so far [W], and those of all latents that are read [L]. */
export const SITE_INDICES = ['src', 'when', 'latents'] as const;

export const BUS_INPUTS = {
  /** bool: SITE_SWITCHES of every site */
  switches: 'steering/switches',
  /**
   * int64. Of every site, how many PLAIN_NUMBERS and FULL_NUMBERS it has in all; of every site, how many of each of SITE_INDICES;
   * of every site, how many of each of PLAIN_NUMBERS, of FULL_NUMBERS, and the dims of gate.
   */
  sizes: 'steering/sizes',
  numbers: 'steering/numbers',
  indices: 'steering/indices',
} as const;

/** Inputs of a site's own, as large as its SAE: [F,D] and [F,Dout]. */
export const siteMatrix = (site: SteerSite, matrix: 'W_enc' | 'W_dec'): Value =>
  `${siteName(site)}/${matrix}`;

export function busInputs(sites: readonly SteerSite[]): Map<Value, ValueInfo> {
  const S = sites.length;
  const ofSite = 2 + SITE_INDICES.length + PLAIN_NUMBERS.length + FULL_NUMBERS.length + 2;
  const inputs = new Map<Value, ValueInfo>([
    [BUS_INPUTS.switches, { type: 'bool', dims: [S * SITE_SWITCHES.length] }],
    [BUS_INPUTS.sizes, { type: 'int64', dims: [S * ofSite] }],
    [BUS_INPUTS.numbers, { type: 'float32', dims: [`${BUS_INPUTS.numbers}/n`] }],
    [BUS_INPUTS.indices, { type: 'int64', dims: [`${BUS_INPUTS.indices}/n`] }],
  ]);
  for (const site of sites)
    for (const [matrix, width] of [['W_enc', site.D] as const, ['W_dec', site.Dout] as const]) {
      const name = siteMatrix(site, matrix);
      // Names of its own for free dims: nothing is claimed about how they relate to those of other inputs.
      inputs.set(name, { type: 'float32', dims: [`${name}/F`, width] });
    }
  return inputs;
}

/** What a site gets: names of values of the graph around its branches. */
export type Dealt = Readonly<
  Record<
    | ('on' | 'full' | 'switches')
    | ('plainNumbers' | 'fullNumbers' | 'plainCounts' | 'fullCounts' | 'gateDims')
    | (typeof SITE_INDICES)[number],
    Value
  >
>;

/** Parts along axis 0. With sizes: the form that all versions from 13 on have. */
export const parts = (
  g: GraphBuilder,
  value: Value,
  sizes: readonly number[] | Value,
  count: number,
): Value[] => g.ops('Split', [value, typeof sizes === 'string' ? sizes : g.axes(sizes)], count, { axis: 0 });

/** Deals the shared inputs out to S sites. */
export function deal(g: GraphBuilder, S: number): Dealt[] {
  const each = (sizes: readonly number[]): number[] => Array.from({ length: S }, () => sizes).flat();
  const split = (value: Value, sizes: readonly number[]) => parts(g, value, sizes, sizes.length);
  const switches = split(BUS_INPUTS.switches, each([1, 1, SITE_SWITCHES.length - 2]));
  const counts = each([PLAIN_NUMBERS.length, FULL_NUMBERS.length, 2]);
  const [totals, indexTotals, ...sizes] = split(BUS_INPUTS.sizes, [
    2 * S,
    SITE_INDICES.length * S,
    ...counts,
  ]);
  const numbers = parts(g, BUS_INPUTS.numbers, totals!, 2 * S);
  const indices = parts(g, BUS_INPUTS.indices, indexTotals!, SITE_INDICES.length * S);
  return Array.from({ length: S }, (_, i) => ({
    ...{ on: switches[3 * i]!, full: switches[3 * i + 1]!, switches: switches[3 * i + 2]! },
    ...{ plainNumbers: numbers[2 * i]!, fullNumbers: numbers[2 * i + 1]! },
    ...{ plainCounts: sizes[3 * i]!, fullCounts: sizes[3 * i + 1]!, gateDims: sizes[3 * i + 2]! },
    ...{ src: indices[3 * i]!, when: indices[3 * i + 1]!, latents: indices[3 * i + 2]! },
  }));
}
