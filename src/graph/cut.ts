/**
 * Cutting and splicing. The engine runs every node it is given, needed or not, so a graph is cut here to what the
 * fetched values depend on; and a value can be replaced by an input (to continue a model from the middle) or changed in
 * passing (steering).
 */
import { type Graph, type GraphNode, operandsOf, type Value, type ValueInfo } from './types.ts';

/**
 * Keeps only the nodes, initialisers and inputs that `outputs` depend on.
 *
 * @param replaced values that become inputs instead of being computed
 * @throws when an output is defined nowhere
 */
export function cutGraph(
  graph: Graph,
  outputs: readonly Value[],
  replaced: ReadonlyMap<Value, ValueInfo> = new Map(),
): Graph {
  const needed = new Set<Value>(outputs);
  const nodes: GraphNode[] = [];
  const defined = new Set<Value>([...graph.inputs.keys(), ...graph.initializers.keys(), ...replaced.keys()]);
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i]!;
    for (const output of node.outputs) defined.add(output);
    // A node is alive when something needs one of its outputs that was not replaced.
    if (!node.outputs.some((output) => needed.has(output) && !replaced.has(output))) continue;
    nodes.push(node);
    for (const input of operandsOf(node)) if (input !== '') needed.add(input);
  }
  for (const output of outputs) if (!defined.has(output)) throw new Error(`The graph has no value ${output}`);
  const keep = <T>(map: ReadonlyMap<Value, T>) =>
    new Map([...map].filter(([name]) => needed.has(name) && !replaced.has(name)));
  return {
    ...graph,
    nodes: nodes.reverse(),
    inputs: new Map([...keep(graph.inputs), ...[...replaced].filter(([name]) => needed.has(name))]),
    initializers: keep(graph.initializers),
  };
}

/**
 * What has to be carried over a cut at some values: everything that is computed without them and that is wanted in the end or read by
 * what is computed from them. For a cut at an attention pattern those are the pattern, the attention values and the residual stream.
 * Values that depend on no input (converted weights) are left out: they are cheaper made again.
 *
 * @param graph cut to what is wanted: every node of it is needed
 * @param at the values that are about to be replaced
 * @param wanted the values to be had in the end, with those of `at`
 */
export function liveValues(graph: Graph, at: readonly Value[], wanted: readonly Value[]): Value[] {
  const cut = new Set(at);
  const behind = new Set<Value>();
  const varying = new Set(graph.inputs.keys());
  const read = new Set(wanted);
  for (const node of graph.nodes) {
    const { outputs } = node;
    const inputs = operandsOf(node);
    const isBehind = inputs.some((input) => cut.has(input) || behind.has(input));
    if (isBehind) for (const input of inputs) read.add(input);
    const varies = inputs.some((input) => varying.has(input));
    for (const output of outputs) {
      if (isBehind) behind.add(output);
      if (varies) varying.add(output);
    }
  }
  return graph.nodes
    .flatMap(({ outputs }) => outputs)
    .filter((value) => read.has(value) && varying.has(value) && !behind.has(value));
}

/**
 * Puts nodes behind a value: everything that read `value` reads the result instead, under the same name.
 *
 * @param change given the name of the value as it was, returns the nodes that make `value` out of it
 * @param inputs inputs that those nodes read
 */
export function spliceGraph(
  graph: Graph,
  value: Value,
  change: (before: Value) => readonly GraphNode[],
  inputs: ReadonlyMap<Value, ValueInfo> = new Map(),
): Graph {
  const at = graph.nodes.findIndex((node) => node.outputs.includes(value));
  if (at < 0) throw new Error(`The graph computes no value ${value}, so nothing can be spliced behind it`);
  const before = `${value}/before`;
  const producer = graph.nodes[at]!;
  const renamed = {
    ...producer,
    outputs: producer.outputs.map((output) => (output === value ? before : output)),
  };
  return {
    ...graph,
    nodes: [...graph.nodes.slice(0, at), renamed, ...change(before), ...graph.nodes.slice(at + 1)],
    inputs: new Map([...graph.inputs, ...inputs]),
  };
}

/** Names of the steering inputs: strengths [1,m] and directions [m,width]. */
export const STEER_STRENGTHS = 'steer_strengths';
export const STEER_DIRECTIONS = 'steer_directions';

/**
 * The steering input: value <- value + strengths [1,m] @ directions [m,width]. m is free at run time; with m = 0 the
 * product is a row of zeros, so one session serves steered and plain runs.
 */
export function spliceSteering(graph: Graph, value: Value, width: number): Graph {
  const delta = `${value}/steering`;
  const inputs = new Map<Value, ValueInfo>([
    [STEER_STRENGTHS, { type: 'float32', dims: [1, 'm'] }],
    [STEER_DIRECTIONS, { type: 'float32', dims: ['m', width] }],
  ]);
  return spliceGraph(
    graph,
    value,
    (before) => [
      {
        op: 'MatMul',
        domain: '',
        inputs: [STEER_STRENGTHS, STEER_DIRECTIONS],
        outputs: [delta],
        attributes: {},
      },
      { op: 'Add', domain: '', inputs: [before, delta], outputs: [value], attributes: {} },
    ],
    inputs,
  );
}
