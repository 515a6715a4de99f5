/**
 * Interventions as fixed nodes of a graph that is exported (plain-graph.ts): what the steering bus takes as inputs is constant here, and
 * the tokens that are changed are told by the graph's own inputs.
 *
 *     z  = scale pre + shift where pre >= bound, else 0; of TopK where pre is among the K largest      or x . direction
 *     y  = min(max(a z + b, least), most)                c = (y - z) factor     at the tokens that are meant, else 0      [N,1]
 *     h' = base + [c_1 … c_W] dirs [W,Dout]              base: h, or in replaced rows the SAE's reconstruction, or rows of another run
 *
 * The prompt is what the first run reads, with an empty cache: its last token is that of `attention_mask`. All later tokens were generated.
 */
import { createGraphBuilder, type Graph, rowNorm, spliceGraph, type Value } from '../../graph/index.ts';
import type { Positions } from '../../shared/intervention.ts';
import { type PlannedSite, type PlannedWrite, planSteering } from '../steering/plan.ts';
import type { Change, Intervention, LatentCode } from '../steering/types.ts';
import type { HookInfo } from '../types.ts';
import { PLAIN, plainCacheNames } from './plain-graph.ts';

const FLOAT32 = 1;

/** @throws as the steering bus does, for hooks that are replaced twice and rules that look ahead; for changes of some rows of a batch */
export function bakeInterventions(
  graph: Graph,
  hooks: readonly HookInfo[],
  interventions: readonly Intervention[],
): Graph {
  if (interventions.some(({ rows }) => rows))
    throw new Error(
      'A change of some rows of a batch cannot be baked in: an exported model has no such rows.',
    );
  const plan = planSteering(hooks, interventions);
  const changes = ({ writes, replace }: PlannedSite): boolean => writes.length + replace.length > 0;
  const changed = new Set(plan.filter(changes).map(({ site }) => site.writes));
  const g = createGraphBuilder('steering/');
  const once = new Map<unknown, Map<string, Value>>();
  /** Nodes are made when they are first asked for, and once. */
  function memo(of: unknown, what: string, make: () => Value): Value {
    let known = once.get(of);
    if (!known) once.set(of, (known = new Map()));
    const value = known.get(what) ?? make();
    known.set(what, value);
    return value;
  }
  const beforeOf = (hook: Value): Value => (changed.has(hook) ? `${hook}/before` : hook);
  const hasHeads = (hook: Value): boolean => hooks.find(({ name }) => name === hook)?.dims.length === 4;
  /** A value of a hook as rows [N,width]; heads lie one after the other. */
  const rowsOf = (hook: Value, value: Value, width: number): Value =>
    hasHeads(hook) ? memo(value, 'rows', () => g.reshape(value, [-1, width])) : value;
  const row = (data: Float32Array): Value => g.float32([1, data.length], data);
  const column = (data: Float32Array): Value => g.float32([data.length, 1], data);

  // The tokens of a run, each [N,1] of int64.
  const ids = g.reshape(PLAIN.ids, [-1, 1]);
  const at = g.reshape(PLAIN.positions, [-1, 1]);
  const zeros = g.cast(g.sub(at, at), FLOAT32);
  const seen = g.op('Shape', [plainCacheNames(0).pastKeys], { start: 2, end: 3 });
  const lengths = g.op('ReduceSum', [PLAIN.mask, g.axes([1])], { keepdims: 1 });
  // Of a run behind a cache 0: all its tokens stand behind the prompt.
  const prompts = g.where(g.op('Equal', [seen, g.axes([0])]), lengths, g.axes([0]));
  const prompt = g.reshape(g.op('Expand', [prompts, g.op('Shape', [PLAIN.ids])]), [-1, 1]);
  const tokens = g.graph.nodes.length;

  const and = (a: Value | undefined, b: Value | undefined): Value | undefined =>
    a !== undefined && b !== undefined ? g.op('And', [a, b]) : (a ?? b);
  const orAll = (values: readonly Value[]): Value => values.reduce((a, b) => g.op('Or', [a, b]));

  /** Whether a token is one of these; undefined for all. */
  function within(positions: Positions): Value | undefined {
    if (positions === 'all') return undefined;
    if (positions === 'prompt') return g.op('Less', [at, prompt]);
    if (positions === 'generated') return g.op('GreaterOrEqual', [at, prompt]);
    const edge = (n: number): Value => (n < 0 ? g.add(prompt, g.axes([n])) : g.axes([n]));
    return orAll(
      positions.map(([from, to]) => {
        const behind = g.op('GreaterOrEqual', [at, edge(from)]);
        return to === null ? behind : and(behind, g.op('Less', [at, edge(to)]))!;
      }),
    );
  }
  function gateOf({ positions, except }: Intervention): Value | undefined {
    const here = within(positions);
    if (except.size === 0) return here;
    const usual = memo(except, 'usual', () => {
      const hits = g.cast(g.op('Equal', [ids, g.int64([...except], [1, except.size])]), FLOAT32);
      return g.op('Less', [g.reduceSum(hits, 1, true), g.scalar(0.5)]);
    });
    return and(here, usual);
  }
  /** A table [T,width] at the positions of the tokens, and where it reaches. */
  function byPosition(table: Value, T: number): { value: Value; there: Value } {
    const place = g.squeeze(g.op('Min', [at, g.axes([T - 1])]), [1]);
    return { value: g.gather(table, place), there: g.op('Less', [at, g.axes([T])]) };
  }

  // Codes of a site: x as it arrives at the hook; behind the edits of another hook that it is read from.
  const inputOf = ({ site: { writes, reads, D } }: PlannedSite): Value =>
    rowsOf(reads, reads === writes ? beforeOf(reads) : reads, D);
  function normalised(one: PlannedSite): { read: Value; factor?: Value; shift?: Value } {
    const x = inputOf(one);
    if (!one.code?.norm) return { read: x };
    const { D, norm } = one.code;
    let made: ReturnType<typeof rowNorm> | undefined;
    const parts = () => (made ??= rowNorm(g, norm, x, D));
    const divisor = memo(one, 'divisor', () => parts().divisor);
    const factor = memo(one, 'factor', () => parts().factor);
    const shift = norm !== 'norm' ? memo(one, 'shift', () => parts().shift!) : undefined;
    const read = memo(one, 'read', () => g.div(shift ? g.sub(x, shift) : x, divisor));
    return { read, factor, ...(shift ? { shift } : {}) };
  }
  /** z of what `pre` reads, by four numbers for each of its columns. */
  function selected(pre: Value, [bound, scale, shift]: readonly Float32Array[]): Value {
    const z = g.op('Max', [g.add(g.mul(pre, row(scale!)), row(shift!)), g.scalar(0)]);
    return g.where(g.op('Less', [pre, row(bound!)]), g.scalar(0), z);
  }
  const all = (one: PlannedSite): Value =>
    memo(one, 'code', () => {
      const { W_enc, bias, selection, rank, F, D } = one.code!;
      const [b, ...rest] = [0, 1, 2, 3].map((i) => selection.subarray(i * F, (i + 1) * F));
      const { read } = normalised(one);
      const pre = g.gemm(bias ? g.sub(read, row(bias)) : read, g.float32([F, D], W_enc), g.float32([F], b!), {
        transB: true,
      });
      if (!rank) return selected(pre, rest);
      const size = rank.signed ? g.op('Abs', [pre]) : pre;
      const kth = g.gather(g.topK(size, rank.K).values, g.axes([rank.K - 1]), 1);
      const kept = rank.signed ? pre : g.relu(pre);
      return g.where(g.op('Less', [size, kth]), g.scalar(0), kept);
    });
  const latentOf = (one: PlannedSite, latent: number): Value =>
    memo(one, `latent ${latent}`, () => {
      if (one.dense) return g.gather(all(one), g.axes([latent]), 1);
      const { W_enc, bias, selection, F, D } = one.code!;
      const w = W_enc.slice(latent * D, (latent + 1) * D);
      const numbers = [0, 1, 2, 3].map((i) => Float32Array.of(selection[i * F + latent]!));
      if (bias) numbers[0]![0]! -= w.reduce((sum, value, d) => sum + value * bias[d]!, 0);
      const pre = g.add(g.matMul(normalised(one).read, column(w)), row(numbers[0]!));
      return selected(pre, numbers.slice(1));
    });
  function changedZ(z: Value | undefined, { scale, least, most }: Change, shift: Value): Value {
    if (z === undefined) return shift;
    let y = scale === 0 ? shift : g.add(scale === 1 ? z : g.mul(z, g.scalar(scale)), shift);
    if (Number.isFinite(least)) y = g.op('Max', [y, g.scalar(least)]);
    if (Number.isFinite(most)) y = g.op('Min', [y, g.scalar(most)]);
    return g.sub(y, z);
  }
  /** c [N,1] of one change. */
  function amount(one: PlannedSite, { intervention, change, direction, source }: PlannedWrite): Value {
    const { latent, when } = intervention;
    const addsOnly = change.scale === 1 && !Number.isFinite(change.least) && !Number.isFinite(change.most);
    const z = addsOnly
      ? undefined
      : latent === undefined
        ? g.matMul(inputOf(one), column(direction))
        : latentOf(one, latent);
    let gate = gateOf(intervention);
    let shift: Value;
    if (typeof change.shift === 'number') shift = g.scalar(Math.fround(change.shift));
    else {
      const table = byPosition(column(change.shift), change.shift.length);
      shift = table.value;
      gate = and(gate, table.there);
    }
    let c = changedZ(z, change, shift);
    const { factor } = normalised(one);
    if (latent !== undefined && factor !== undefined) c = g.mul(c, factor);
    if (when) {
      const op = when.above === undefined ? 'Less' : 'Greater';
      const holds = g.op(op, [latentOf(source!, when.latent), g.scalar((when.above ?? when.below)!)]);
      gate = and(gate, holds);
    }
    // [N,1] whatever it is made of.
    const whole = g.add(zeros, c);
    return gate === undefined ? whole : g.where(gate, whole, g.scalar(0));
  }
  function reconstruction(one: PlannedSite, code: LatentCode): Value {
    const { W_dec, W_skip, b_dec, b_token, F, D, Dout } = code;
    const { read, factor, shift } = normalised(one);
    let made = g.add(g.matMul(all(one), g.float32([F, Dout], W_dec)), row(b_dec));
    if (W_skip) made = g.add(made, g.gemm(read, g.float32([Dout, D], W_skip), undefined, { transB: true }));
    if (b_token) {
      const table = g.float32([b_token.length / Dout, Dout], b_token);
      made = g.add(made, g.gather(table, g.squeeze(ids, [1])));
    }
    if (factor) made = g.mul(made, factor);
    return shift ? g.add(made, shift) : made;
  }
  /** h with some of its rows replaced. */
  function replaced(one: PlannedSite, h: Value): Value {
    const [first] = one.replace;
    if (first === undefined) return h;
    const gates = one.replace.map(gateOf);
    const some = gates.filter((gate) => gate !== undefined);
    let gate = some.length < gates.length ? undefined : orAll(some);
    let instead: Value;
    if (first.replace === 'reconstruction') instead = reconstruction(one, one.code!);
    else {
      const values = first.replace as Float32Array;
      const { Dout } = one.site;
      const T = values.length / Dout;
      const table = g.float32([T, Dout], values);
      const placed = T === 1 ? undefined : byPosition(table, T);
      instead = placed?.value ?? table;
      gate = and(gate, placed?.there);
    }
    return gate === undefined ? g.op('Expand', [instead, g.op('Shape', [h])]) : g.where(gate, instead, h);
  }

  let out = graph;
  for (const hook of changed) {
    const sites = plan.filter(({ site }) => site.writes === hook);
    const { Dout } = sites[0]!.site;
    out = spliceGraph(out, hook, (before) => {
      const from = g.graph.nodes.length;
      let h = rowsOf(hook, before, Dout);
      for (const one of sites) h = replaced(one, h);
      for (const one of sites) {
        if (one.writes.length === 0) continue;
        const dirs = new Float32Array(one.writes.length * Dout);
        for (const [w, { direction }] of one.writes.entries()) dirs.set(direction, w * Dout);
        const c = one.writes.map((write) => amount(one, write));
        const columns = c.length === 1 ? c[0]! : g.concat(c, 1);
        h = g.add(h, g.matMul(columns, g.float32([c.length, Dout], dirs)));
      }
      g.named(hook, hasHeads(hook) ? g.reshape(h, g.op('Shape', [before])) : h);
      return g.graph.nodes.slice(from);
    });
  }
  return {
    ...out,
    nodes: [...g.graph.nodes.slice(0, tokens), ...out.nodes],
    initializers: new Map([...out.initializers, ...g.graph.initializers]),
  };
}
