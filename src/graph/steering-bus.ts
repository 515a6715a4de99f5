/**
 * The steering bus: nodes behind a hook that change its rows h [N,Dout], with everything that people turn as inputs of the graph, so that one
 * session serves every set of features, strengths, positions and rules. Where nothing is on, one node passes h on.
 *
 *     x' = (x - shift) / divisor                        the SAE's input normalisation, per row; x is h, or of a transcoder the hook it reads
 *     z  = max(scale pre + shift, floor) where pre >= bound, else 0        pre = x' enc^T + b: of the latents that are read [N,R];
 *          with `dense`, of all F latents [N,F], where bound may be the K-th largest pre of the row, and then of those that are read
 *     y  = min(max(a z_src + b, least), most)
 *     c  = gate (y - z_src) factor  where sign z_when > threshold, else 0              [N,W]; factor: the row's std
 *     h' = base + c dirs [W,Dout]          base: h, or in replaced rows `base`, with `splice` (z W_dec + base + x' W_skip^T) factor + shift
 *
 * The plain branch is the same with x' = x, scale 1, shift 0, no rule, base h and all rows alike: what most tokens are written with.
 * Columns of z that rules look at pass from site to site, in the order in which hooks are computed; each site begins with a column of zeros.
 */
import { createGraphBuilder, type GraphBuilder } from './builder.ts';
import { spliceGraph } from './cut.ts';
import {
  busInputs,
  type Dealt,
  deal,
  FULL_NUMBERS,
  PLAIN_NUMBERS,
  parts,
  SITE_SWITCHES,
  type SteerSite,
  siteMatrix,
  siteName,
} from './steering-inputs.ts';
import type { Graph, GraphNode, Value } from './types.ts';

/** Of the standard deviation in the divisor: SAELens's. */
const EPSILON = 1e-5;

/** @param sites in the order in which the values they write are computed; those of one value next to each other */
export function spliceBus(graph: Graph, sites: readonly SteerSite[]): Graph {
  if (sites.length === 0) return graph;
  const dealer = createGraphBuilder('steering/');
  const dealt = deal(dealer, sites.length);
  let out: Graph = {
    ...graph,
    nodes: [...dealer.graph.nodes, ...graph.nodes],
    inputs: new Map([...graph.inputs, ...busInputs(sites)]),
    initializers: new Map([...graph.initializers, ...dealer.graph.initializers]),
  };
  let columns: Value | undefined;
  for (const value of new Set(sites.map(({ writes }) => writes))) {
    const here = sites.filter(({ writes }) => writes === value);
    out = spliceGraph(out, value, (before) =>
      here.map((site, i) => {
        const h = i === 0 ? before : `${siteName(here[i - 1]!)}/out`;
        const to = i === here.length - 1 ? value : `${siteName(site)}/out`;
        const x = site.reads === value ? before : site.reads;
        const one = siteNode(site, dealt[sites.indexOf(site)]!, { h, before, x, columns, to });
        columns = `${siteName(site)}/columns`;
        return one;
      }),
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

function siteNode(site: SteerSite, dealt: Dealt, wires: Wires): GraphNode {
  const name = siteName(site);
  const on = createGraphBuilder(`${name}/on_`);
  const off = createGraphBuilder(`${name}/off_`);
  const { h, before, x, columns } = wires;
  const steered = choose(
    on,
    dealt.full,
    [(g) => full(g, site, dealt, wires), (g) => plain(g, site, dealt, wires)],
    `${name}/full`,
  );
  return {
    op: 'If',
    domain: '',
    inputs: [dealt.on],
    outputs: [wires.to, `${name}/columns`],
    reads: [
      ...[h, before, x, ...(columns === undefined ? [] : [columns])],
      ...[...Object.values(dealt), siteMatrix(site, 'W_enc'), siteMatrix(site, 'W_dec')],
    ],
    attributes: {
      then_branch: { branch: on.graph, outputs: steered },
      else_branch: {
        branch: off.graph,
        outputs: [
          off.op('Identity', [h]),
          columns === undefined
            ? off.slice(off.reshape(x, [-1, site.D]), 0, 0, 1)
            : off.op('Identity', [columns]),
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

const INT64 = 7;
const BOOL = 9;

function named<Name extends string>(names: readonly Name[], values: readonly Value[]): Record<Name, Value> {
  return Object.fromEntries(names.map((name, i) => [name, values[i]!])) as Record<Name, Value>;
}
const plainNumbers = (g: GraphBuilder, { plainNumbers: numbers, plainCounts: counts }: Dealt) =>
  named(PLAIN_NUMBERS, parts(g, numbers, counts, PLAIN_NUMBERS.length));

/** y of z, both [N,W]. */
function changed(
  g: GraphBuilder,
  z: Value,
  { a, offset, least, most }: Readonly<Record<'a' | 'offset' | 'least' | 'most', Value>>,
): Value {
  return g.op('Min', [g.op('Max', [g.add(g.mul(z, a), offset), least]), most]);
}

/** h' and the columns of z so far. */
function plain(g: GraphBuilder, { D, Dout }: SteerSite, dealt: Dealt, { h, x, columns }: Wires): Value[] {
  const n = plainNumbers(g, dealt);
  const rowsOfH = g.reshape(h, [-1, Dout]);
  const pre = g.gemm(g.reshape(x, [-1, D]), g.reshape(n.enc, [-1, D]), n.b, { transB: true });
  const own = g.where(g.op('Less', [pre, n.bound]), g.scalar(0), g.op('Max', [pre, n.floor]));
  const z = g.gather(own, dealt.src, 1);
  const change = g.mul(g.sub(changed(g, z, n), z), n.gate);
  const rows = g.gemm(change, g.reshape(n.dirs, [-1, Dout]), rowsOfH);
  return [g.reshape(rows, g.op('Shape', [h])), columns === undefined ? own : g.concat([columns, own], 1)];
}

function full(
  g: GraphBuilder,
  site: SteerSite,
  dealt: Dealt,
  { h, before, x: source, columns }: Wires,
): Value[] {
  const { D, Dout } = site;
  const name = siteName(site);
  const [, , ...rest] = SITE_SWITCHES;
  const is = named(
    rest,
    parts(
      g,
      dealt.switches,
      rest.map(() => 1),
      rest.length,
    ),
  );
  const n = {
    ...plainNumbers(g, dealt),
    ...named(FULL_NUMBERS, parts(g, dealt.fullNumbers, dealt.fullCounts, FULL_NUMBERS.length)),
  };
  const x = g.reshape(source, [-1, D]);
  const rowsOfH = g.reshape(h, [-1, Dout]);

  const one = (value: number): Value => g.float32([D, 1], new Float32Array(D).fill(value));
  const mean = g.matMul(x, one(1 / D));
  const centred = g.sub(x, mean);
  const std = g.op('Sqrt', [g.matMul(g.mul(centred, centred), one(1 / (D - 1)))]);
  const rms = g.op('Sqrt', [g.matMul(g.mul(x, x), one(1 / D))]);
  const shift = g.mul(g.add(n.layer, n.centre), mean);
  const normed = g.mul(n.norm, rms);
  const divisor = g.add(g.add(n.plain, g.mul(n.layer, g.add(std, g.scalar(EPSILON)))), normed);
  const factor = g.add(g.add(n.plain, g.mul(n.layer, std)), normed);
  const read = g.div(g.sub(x, shift), divisor);

  const pre = g.gemm(read, g.reshape(n.enc, [-1, D]), n.b, { transB: true });
  const thin = g.where(
    g.op('Less', [pre, n.bound]),
    g.scalar(0),
    g.op('Max', [g.add(g.mul(pre, n.scale), n.shift), n.floor]),
  );
  const [own, all] = choose(
    g,
    is.dense,
    [
      (d) => {
        const pre = d.add(
          d.gemm(d.sub(read, n.bias), siteMatrix(site, 'W_enc'), undefined, { transB: true }),
          n.allB,
        );
        const size = d.where(is.signed, d.op('Abs', [pre]), pre);
        const count = d.cast(n.K, INT64);
        const { values } = d.topK(size, d.op('Max', [count, d.axes([1])]));
        const last = d.op('Max', [d.sub(count, d.axes([1])), d.axes([0])]);
        const kth = d.gather(values, last, 1);
        const edge = d.where(d.op('Greater', [n.K, d.scalar(0)]), kth, n.allBound);
        const value = d.add(d.mul(pre, n.allScale), n.allShift);
        const z = d.where(
          d.op('Less', [size, edge]),
          d.scalar(0),
          d.where(is.signed, value, d.op('Max', [value, d.scalar(0)])),
        );
        return [d.concat([thin, d.gather(z, dealt.latents, 1)], 1), z];
      },
      (d) => [d.op('Identity', [thin]), d.slice(read, 0, 0, 1)],
    ],
    `${name}/dense`,
  ) as [Value, Value];
  const seen = columns === undefined ? own : g.concat([columns, own], 1);

  const [base] = choose(
    g,
    is.replace,
    [
      (r) => {
        const given = r.reshape(n.base, [-1, Dout]);
        const [instead] = choose(
          r,
          is.splice,
          [
            (s) => {
              const skipped = s.gemm(read, s.reshape(n.W_skip, [-1, D]), undefined, { transB: true });
              const made = s.add(s.add(s.matMul(all, siteMatrix(site, 'W_dec')), skipped), given);
              return [s.add(s.mul(made, factor), shift)];
            },
            (s) => [s.op('Identity', [given])],
          ],
          `${name}/splice`,
        ) as [Value];
        const others = h === before ? instead : r.add(instead, r.sub(rowsOfH, r.reshape(before, [-1, Dout])));
        return [r.where(r.cast(r.reshape(n.replaced, [-1, 1]), BOOL), others, rowsOfH)];
      },
      (r) => [r.op('Identity', [rowsOfH])],
    ],
    `${name}/replace`,
  ) as [Value];

  const z = g.gather(own, dealt.src, 1);
  const y = changed(g, z, { ...n, offset: g.reshape(n.offset, dealt.gateDims) });
  const holds = g.op('Greater', [g.mul(g.gather(seen, dealt.when, 1), n.sign), n.threshold]);
  const change = g.mul(g.mul(g.sub(y, z), g.reshape(n.gate, dealt.gateDims)), factor);
  const rows = g.gemm(g.where(holds, change, g.scalar(0)), g.reshape(n.dirs, [-1, Dout]), base);
  return [g.reshape(rows, g.op('Shape', [h])), seen];
}
