/** Small rewrites of graphs that somebody else wrote: names, and nodes of our own between theirs. */
import type { AttributeValue, Graph, GraphNode, Value } from '../../graph/index.ts';

export const node = (
  op: string,
  inputs: readonly Value[],
  output: Value,
  attributes: Readonly<Record<string, AttributeValue>> = {},
): GraphNode => ({ op, domain: '', inputs, outputs: [output], attributes });

/** Gives values other names, everywhere. @throws when a subgraph reads one of them: its own text is not changed */
export function renameValues(graph: Graph, names: ReadonlyMap<Value, Value>): Graph {
  const to = (value: Value): Value => names.get(value) ?? value;
  const keys = <T>(map: ReadonlyMap<Value, T>): Map<Value, T> =>
    new Map([...map].map(([name, entry]) => [to(name), entry]));
  for (const { op, reads } of graph.nodes) {
    const held = reads?.find((value) => names.has(value));
    if (held !== undefined)
      throw new Error(
        `A branch of a node ${op} reads ${JSON.stringify(held)}, a name that saekit uses for itself`,
      );
  }
  return {
    ...graph,
    nodes: graph.nodes.map((one) => ({ ...one, inputs: one.inputs.map(to), outputs: one.outputs.map(to) })),
    inputs: keys(graph.inputs),
    initializers: keys(graph.initializers),
  };
}

/** Values that depend on what is fed, in order, without what only subgraphs see. */
export function fedValues(graph: Graph): Set<Value> {
  const fed = new Set<Value>(graph.inputs.keys());
  for (const one of graph.nodes)
    if ([...one.inputs, ...(one.reads ?? [])].some((value) => fed.has(value)))
      for (const output of one.outputs) if (output !== '') fed.add(output);
  return fed;
}
