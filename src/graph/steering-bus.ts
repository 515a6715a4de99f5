/**
 * The steering bus: nodes behind a hook that change its rows h [N,Dout], with everything that people turn as inputs of the graph, so that one
 * session serves every set of features, strengths, positions and rules. Where nothing is on, one node passes h on.
 *
 *     x' = (x - shift) / divisor                        the SAE's input normalisation, per row; x is h, or of a transcoder the hook it reads
 *     z  = max(scale pre + shift, floor) where pre >= bound, else 0        pre = x' enc^T + b: of the R latents that are read [N,R];
 *          with `dense`, of all F latents [N,F], where bound may be the K-th largest pre of the row, and then of those that are read
 *     y  = min(max(a z_src + b, least), most)
 *     c  = gate (y - z_src) factor  where sign z_when > threshold, else 0              [N,W]; factor: the row's std
 *     h' = base + c dirs [W,Dout]          base: h, or in replaced rows `base`, with `splice` (z W_dec + base + x' W_skip^T) factor + shift
 *
 * Columns of z that rules look at pass from site to site, in the order in which hooks are computed; each site begins with a column of zeros.
 */
import { createGraphBuilder, type GraphBuilder } from './builder.ts';
import { spliceGraph } from './cut.ts';
import type { Graph, GraphNode, Value, ValueInfo } from './types.ts';

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

/** Order of the numbers in `settings`. */
export const SETTINGS = ['plain', 'layer', 'norm', 'dense', 'splice', 'K', 'signed', 'replace'] as const;

/** Inputs of a site: type and dims. */
const INPUT_INFOS = {
  on: { type: 'bool', dims: [] },
  settings: { type: 'float32', dims: [SETTINGS.length] },
  /** [R,D] and, of each row, b, bound, scale, shift, floor [5,R] */
  enc: { type: 'float32', dims: ['R', 'D'] },
  reading: { type: 'float32', dims: [5, 'R'] },
  /** [W,Dout] and, of each row, a, least, most, src, when, threshold, sign, scaled [8,W] */
  dirs: { type: 'float32', dims: ['W', 'Dout'] },
  writing: { type: 'float32', dims: [8, 'W'] },
  /** gate and b [2,N,W], or [2,1,W] where all rows are alike */
  rows: { type: 'float32', dims: [2, 'M', 'W'] },
  /** Of all latents: [F,D], [D], and b, bound, scale, shift [4,F]; those that are read, int64 [L] */
  W_enc: { type: 'float32', dims: ['F', 'D'] },
  bias: { type: 'float32', dims: ['D'] },
  selection: { type: 'float32', dims: [4, 'F'] },
  latents: { type: 'int64', dims: ['L'] },
  W_dec: { type: 'float32', dims: ['F', 'Dout'] },
  W_skip: { type: 'float32', dims: ['Dout', 'D'] },
  /** [N,Dout] or [1,Dout], and which rows it replaces [N,1] or [1,1] */
  base: { type: 'float32', dims: ['P', 'Dout'] },
  replaced: { type: 'bool', dims: ['P', 1] },
} as const satisfies Record<string, ValueInfo>;

export type SiteInput = keyof typeof INPUT_INFOS;
export const siteInputs = Object.keys(INPUT_INFOS) as SiteInput[];

const nameOf = ({ writes, reads, slot }: SteerSite): string =>
  `${writes}/steering${reads === writes ? '' : `/${reads}`}/${slot}`;
export const siteInput = (site: SteerSite, input: SiteInput): Value => `${nameOf(site)}/${input}`;

/** Of the standard deviation in the divisor: SAELens's. */
const EPSILON = 1e-5;

/** @param sites in the order in which the values they write are computed; those of one value next to each other */
export function spliceBus(graph: Graph, sites: readonly SteerSite[]): Graph {
  const changed = new Set(sites.map(({ writes }) => writes));
  let out = graph;
  let columns: Value | undefined;
  for (const value of changed) {
    const here = sites.filter(({ writes }) => writes === value);
    const inputs = new Map<Value, ValueInfo>();
    for (const site of here)
      for (const input of siteInputs) {
        const info: ValueInfo = INPUT_INFOS[input];
        // Names of its own for free dims: nothing is claimed about how they relate to those of other inputs.
        const dims = info.dims.map((dim) => (typeof dim === 'number' ? dim : siteInput(site, input) + dim));
        inputs.set(siteInput(site, input), { type: info.type, dims });
      }
    out = spliceGraph(
      out,
      value,
      (before) =>
        here.map((site, i) => {
          const name = nameOf(site);
          const from = i === 0 ? before : `${nameOf(here[i - 1]!)}/out`;
          const to = i === here.length - 1 ? value : `${name}/out`;
          const one = siteNode(site, {
            h: from,
            before,
            x: site.reads === value ? before : site.reads,
            columns,
            to,
          });
          columns = `${name}/columns`;
          return one;
        }),
      inputs,
    );
  }
  return out;
}

type Wires = {
  /** As the sites before left it, and as it was. */
  readonly h: Value;
  readonly before: Value;
  readonly x: Value;
  readonly columns: Value | undefined;
  readonly to: Value;
};

function siteNode(site: SteerSite, wires: Wires): GraphNode {
  const name = nameOf(site);
  const on = createGraphBuilder(`${name}/on_`);
  const off = createGraphBuilder(`${name}/off_`);
  const input = (which: SiteInput): Value => siteInput(site, which);
  const none = off.slice(off.reshape(wires.x, [-1, site.D]), 0, 0, 1);
  return {
    op: 'If',
    domain: '',
    inputs: [input('on')],
    outputs: [wires.to, `${name}/columns`],
    reads: [
      ...[wires.h, wires.before, wires.x, ...(wires.columns === undefined ? [] : [wires.columns])],
      ...siteInputs.slice(1).map(input),
    ],
    attributes: {
      then_branch: { branch: on.graph, outputs: steered(on, site, wires, input) },
      else_branch: {
        branch: off.graph,
        outputs: [
          off.op('Identity', [wires.h]),
          wires.columns === undefined ? none : off.op('Identity', [wires.columns]),
        ],
      },
    },
  };
}

/** A value inside one of two branches. */
function choose(
  g: GraphBuilder,
  condition: Value,
  [yes, no]: readonly [(g: GraphBuilder) => Value[], (g: GraphBuilder) => Value[]],
  name: string,
): Value[] {
  const [then, otherwise] = [createGraphBuilder(`${name}_then_`), createGraphBuilder(`${name}_else_`)];
  const [a, b] = [yes(then), no(otherwise)];
  return g.ops('If', [condition], a.length, {
    then_branch: { branch: then.graph, outputs: a },
    else_branch: { branch: otherwise.graph, outputs: b },
  });
}

function parts(g: GraphBuilder, value: Value, count: number, axis: number): Value[] {
  // With sizes: the form that all versions from 13 on have.
  return g.ops('Split', [value, g.axes(new Array<number>(count).fill(1))], count, { axis });
}

const INT64 = 7;
const BOOL = 9;

function steered(
  g: GraphBuilder,
  { D, Dout, ...site }: SteerSite,
  { h, before, x: source, columns }: Wires,
  input: (which: SiteInput) => Value,
): [Value, Value] {
  const name = nameOf({ D, Dout, ...site });
  const x = g.reshape(source, [-1, D]);
  const rowsOfH = g.reshape(h, [-1, Dout]);
  const [plain, layer, norm, dense, splice, K, signed, replace] = parts(
    g,
    input('settings'),
    SETTINGS.length,
    0,
  );

  const one = (value: number): Value => g.float32([D, 1], new Float32Array(D).fill(value));
  const mean = g.matMul(x, one(1 / D));
  const centred = g.sub(x, mean);
  const std = g.op('Sqrt', [g.matMul(g.mul(centred, centred), one(1 / (D - 1)))]);
  const rms = g.op('Sqrt', [g.matMul(g.mul(x, x), one(1 / D))]);
  const shift = g.mul(layer!, mean);
  const normed = g.mul(norm!, rms);
  const divisor = g.add(g.add(plain!, g.mul(layer!, g.add(std, g.scalar(EPSILON)))), normed);
  const factor = g.add(g.add(plain!, g.mul(layer!, std)), normed);
  const read = g.div(g.sub(x, shift), divisor);

  const least = (): Value => g.scalar(0);
  const [b, bound, scale, move, floor] = parts(g, input('reading'), 5, 0);
  const pre = g.gemm(read, input('enc'), b, { transB: true });
  const thin = g.where(
    g.op('Less', [pre, bound!]),
    least(),
    g.op('Max', [g.add(g.mul(pre, scale!), move!), floor!]),
  );
  const [wide, all] = choose(
    g,
    g.cast(dense!, BOOL),
    [
      (d) => {
        const [bias, fixed, mul, add] = parts(d, input('selection'), 4, 0);
        const pre = d.add(
          d.gemm(d.sub(read, input('bias')), input('W_enc'), undefined, { transB: true }),
          bias!,
        );
        const size = d.where(d.cast(signed!, BOOL), d.op('Abs', [pre]), pre);
        const count = d.cast(K!, INT64);
        const { values } = d.topK(size, d.op('Max', [count, d.axes([1])]));
        const last = d.op('Max', [d.sub(count, d.axes([1])), d.axes([0])]);
        const kth = d.gather(values, last, 1);
        const edge = d.where(d.op('Greater', [K!, d.scalar(0)]), kth, fixed!);
        const value = d.add(d.mul(pre, mul!), add!);
        const z = d.where(
          d.op('Less', [size, edge]),
          d.scalar(0),
          d.where(d.cast(signed!, BOOL), value, d.op('Max', [value, d.scalar(0)])),
        );
        return [d.gather(z, input('latents'), 1), z];
      },
      (d) => {
        const none = d.slice(read, 0, 0, 1);
        return [none, d.op('Identity', [none])];
      },
    ],
    `${name}/dense`,
  );
  const zero = g.op('ConstantOfShape', [g.op('Shape', [mean])]);
  const own = g.concat([zero, thin, wide!], 1);
  const seen = columns === undefined ? own : g.concat([columns, own], 1);

  const [a, low, high, src, when, threshold, sign, scaled] = parts(g, input('writing'), 8, 0);
  const index = (value: Value): Value => g.reshape(g.cast(value, INT64), [-1]);
  const [gate, offset] = parts(g, input('rows'), 2, 0).map((value) => g.squeeze(value, [0]));
  const z = g.gather(own, index(src!), 1);
  const y = g.op('Min', [g.op('Max', [g.add(g.mul(z, a!), offset!), low!]), high!]);
  const holds = g.op('Greater', [g.mul(g.gather(seen, index(when!), 1), sign!), threshold!]);
  const change = g.mul(g.mul(g.sub(y, z), gate!), g.where(g.cast(scaled!, BOOL), factor, g.scalar(1)));
  const delta = g.matMul(g.where(holds, change, g.scalar(0)), input('dirs'));

  const [base] = choose(
    g,
    g.cast(replace!, BOOL),
    [
      (r) => {
        const [instead] = choose(
          r,
          r.cast(splice!, BOOL),
          [
            (s) => {
              const skipped = s.gemm(read, input('W_skip'), undefined, { transB: true });
              const made = s.add(s.add(s.matMul(all!, input('W_dec')), skipped), input('base'));
              return [s.add(s.mul(made, factor), shift)];
            },
            (s) => [s.op('Identity', [input('base')])],
          ],
          `${name}/splice`,
        );
        const others = (value: Value): Value =>
          h === before ? value : r.add(value, r.sub(rowsOfH, r.reshape(before, [-1, Dout])));
        return [r.where(input('replaced'), others(instead!), rowsOfH)];
      },
      (r) => [r.op('Identity', [rowsOfH])],
    ],
    `${name}/replace`,
  );
  return [g.reshape(g.add(base!, delta), g.op('Shape', [h])), seen];
}
