/**
 * Finding the residual stream in a graph that somebody else wrote, by its structure and not by its names.
 *
 * Between a source s (the embedded tokens, an audio signal) and a sink t (the logits) a value is a *bottleneck* when every path from
 * s to t goes through it (a dominator). Inside a block nothing is one, because the skip connection goes around it; what remains are
 *
 *     pre-norm    x_0, mid_0 = x_0 + attn(norm x_0), x_1 = mid_0 + mlp(norm mid_0), …
 *     post-norm   x_0, s = x_0 + attn(x_0), norm s, …
 *
 * So a residual sum is a bottleneck Add of a bottleneck (the skip) and something computed from it (the branch). A branch with a softmax
 * is attention, one without is an MLP; a layer ends with its MLP, or, in parallel blocks, with its only sum. In one sweep over nodes in
 * order: a value is a bottleneck when no earlier value is read after it.
 */
import { type Graph, type GraphNode, operandsOf, type Value } from '../../graph/index.ts';

/** One residual sum: what it is made of. */
export type ResidualSum = {
  readonly value: Value;
  readonly skip: Value;
  readonly branch: Value;
  readonly kind: 'attention' | 'mlp';
  /** The attention pattern, where the branch has one softmax. */
  readonly pattern: Value | undefined;
};

export type Residuals = {
  /** Values that everything goes through, in order. */
  readonly bottlenecks: readonly Value[];
  /** Sums of each layer, in order; all layers have the same kinds. */
  readonly layers: readonly (readonly ResidualSum[])[];
};

/** Their output depends on the shape of the operand only, so no activation passes. */
const SHAPE_ONLY = new Set(['Shape', 'Size']);
/** Value in, the same value out. */
const PASS = new Set(['Identity', 'Cast', 'Dropout']);
const isAttention = ({ op }: GraphNode): boolean => op === 'Softmax' || /Attention$/.test(op);

/** The nodes between `sources` and `sink`, in order; what the sources reach, and what the sink is made of. */
function between(graph: Graph, sources: readonly Value[], sink: Value) {
  const reached = new Set<Value>(sources);
  const forward: GraphNode[] = [];
  for (const node of graph.nodes) {
    if (SHAPE_ONLY.has(node.op) || !operandsOf(node).some((value) => reached.has(value))) continue;
    // A source is where we begin, whatever made it.
    const outputs = node.outputs.filter((value) => value !== '' && !sources.includes(value));
    if (outputs.length === 0) continue;
    forward.push(node);
    for (const output of outputs) reached.add(output);
  }
  const wanted = new Set<Value>([sink]);
  const path: GraphNode[] = [];
  for (const node of forward.toReversed()) {
    if (!node.outputs.some((value) => wanted.has(value))) continue;
    path.push(node);
    for (const value of operandsOf(node)) if (reached.has(value)) wanted.add(value);
  }
  path.reverse();
  return { path, reached, wanted };
}

/** Whether positions of `from` meet on the way to `sink`: else every row of the sink follows from one row of `from`. */
export function mixesPositions(graph: Graph, from: Value, sink: Value): boolean {
  return between(graph, [from], sink).path.some(
    (node) => isAttention(node) || /^(?:Conv|ConvTranspose|CumSum|LSTM|GRU|RNN|Scan|Loop|If)$/.test(node.op),
  );
}

/** Bottlenecks and residual sums between `sources` and `sink`. */
export function findResiduals(graph: Graph, sources: readonly Value[], sink: Value): Residuals {
  const { path, reached, wanted } = between(graph, sources, sink);
  const lastRead = new Map<Value, number>();
  path.forEach((node, i) => {
    for (const value of operandsOf(node)) lastRead.set(value, i);
  });
  const made = new Map<Value, number>();
  const bottlenecks: Value[] = sources.length === 1 ? [...sources] : [];
  let open = Math.max(-1, ...sources.map((value) => lastRead.get(value) ?? -1));
  path.forEach((node, i) => {
    const live = node.outputs.filter((value) => wanted.has(value));
    for (const value of live) made.set(value, i);
    if (live.length === 1 && open <= i) bottlenecks.push(live[0]!);
    open = Math.max(open, ...live.map((value) => lastRead.get(value) ?? -1));
  });

  const isBottleneck = new Set(bottlenecks);
  const through = (value: Value): Value => {
    const at = made.get(value);
    const node = at === undefined ? undefined : path[at]!;
    return node && PASS.has(node.op) && reached.has(node.inputs[0]!) ? through(node.inputs[0]!) : value;
  };
  const sums: ResidualSum[] = [];
  for (const value of bottlenecks) {
    const at = made.get(value);
    const node = at === undefined ? undefined : path[at]!;
    if (!node || (node.op !== 'Add' && node.op !== 'Sum') || node.inputs.length !== 2) continue;
    const [a, b] = node.inputs as [Value, Value];
    if (!wanted.has(a) || !wanted.has(b)) continue;
    const skip = isBottleneck.has(through(a)) ? a : b;
    const branch = skip === a ? b : a;
    const from = through(skip);
    if (!isBottleneck.has(from) || through(branch) === from) continue;
    const inside = path.slice((made.get(from) ?? -1) + 1, at);
    const softmaxes = inside.filter((one) => one.op === 'Softmax');
    sums.push({
      value,
      skip: from,
      branch,
      kind: inside.some(isAttention) ? 'attention' : 'mlp',
      pattern: softmaxes.length === 1 ? softmaxes[0]!.outputs[0] : undefined,
    });
  }
  return { bottlenecks, layers: groupLayers(sums) };
}

/** Sums -> layers, those with the commonest sequence of kinds, as long as they follow each other. */
function groupLayers(sums: readonly ResidualSum[]): ResidualSum[][] {
  const parallel = !sums.some(({ kind }) => kind === 'mlp');
  const layers: ResidualSum[][] = [];
  let layer: ResidualSum[] = [];
  for (const sum of sums) {
    layer.push(sum);
    if (!parallel && sum.kind === 'attention') continue;
    layers.push(layer);
    layer = [];
  }
  const signature = (one: readonly ResidualSum[]): string => one.map(({ kind }) => kind).join();
  const counts = new Map<string, number>();
  for (const one of layers) counts.set(signature(one), (counts.get(signature(one)) ?? 0) + 1);
  const [commonest] = [...counts].sort((a, b) => b[1] - a[1]);
  if (!commonest) return [];
  const first = layers.findIndex((one) => signature(one) === commonest[0]);
  const rest = layers.slice(first);
  const end = rest.findIndex((one) => signature(one) !== commonest[0]);
  return end < 0 ? rest : rest.slice(0, end);
}

/**
 * Hook names, TransformerLens's own, of the values of the layers. In post-norm models `hook_resid_post` is the sum before the norm, as
 * there, and the normalised value `hook_normalized_resid_post`; `hook_resid_pre` is what the layer reads.
 */
export function hookNames({ bottlenecks, layers }: Residuals): { hook: string; value: Value }[] {
  const names: { hook: string; value: Value }[] = [];
  const sums = layers.flat();
  /** The value that the next sum skips from, when a norm stands between. */
  const normalized = (sum: ResidualSum): Value | undefined => {
    const next = sums[sums.indexOf(sum) + 1];
    if (next) return next.skip === sum.value ? undefined : next.skip;
    // After the last sum: as many bottlenecks further as after the one a layer before it.
    const earlier = layers.at(-2)?.at(-1);
    const norm = earlier && normalized(earlier);
    if (!norm) return undefined;
    const steps = bottlenecks.indexOf(norm) - bottlenecks.indexOf(earlier.value);
    return bottlenecks[bottlenecks.indexOf(sum.value) + steps];
  };
  layers.forEach((layer, l) => {
    const add = (name: string, value: Value | undefined): void => {
      if (value !== undefined) names.push({ hook: `blocks.${l}.${name}`, value });
    };
    add('hook_resid_pre', layer[0]!.skip);
    let attentions = 0;
    layer.forEach((sum, i) => {
      const last = i === layer.length - 1;
      const cross = sum.kind === 'attention' && attentions++ > 0;
      const block =
        layer.length === 1 ? undefined : cross ? 'cross_attn' : sum.kind === 'mlp' ? 'mlp' : 'attn';
      if (block && sum.kind === 'attention') add(`${block}.hook_pattern`, sum.pattern);
      if (block) add(`hook_${block}_out`, sum.branch);
      const place = last ? 'post' : cross ? 'mid_cross' : 'mid';
      add(`hook_resid_${place}`, sum.value);
      add(`hook_normalized_resid_${place}`, normalized(sum));
    });
  });
  return names;
}
