/** Nodes in an order in which every value is made before it is read (Kahn 1962); files are supposed to have one, not all do. */
import { type GraphNode, operandsOf, type Value } from './types.ts';

/**
 * The nodes, in their own order where that is one.
 *
 * @param given inputs and weights
 * @param name for messages
 * @throws for a value that is made twice or never, and for a circle
 */
export function sortNodes(
  nodes: readonly GraphNode[],
  given: readonly Value[],
  name = 'the graph',
): readonly GraphNode[] {
  const maker = new Map<Value, GraphNode>();
  const known = new Set<Value>(given);
  for (const node of nodes)
    for (const output of node.outputs) {
      if (output === '') continue;
      if (maker.has(output) || known.has(output))
        throw new Error(`${name}: value ${JSON.stringify(output)} is made twice`);
      maker.set(output, node);
    }
  const waiting = new Map<GraphNode, number>();
  const readers = new Map<Value, GraphNode[]>();
  for (const node of nodes) {
    const missing = new Set(operandsOf(node).filter((value) => value !== '' && !known.has(value)));
    for (const value of missing) {
      if (!maker.has(value))
        throw new Error(
          `${name}: node ${node.op}, which makes ${JSON.stringify(node.outputs[0] ?? '')}, reads ${JSON.stringify(value)}, and nothing makes that`,
        );
      const list = readers.get(value);
      if (list) list.push(node);
      else readers.set(value, [node]);
    }
    waiting.set(node, missing.size);
  }
  if (isSorted(nodes, known)) return nodes;
  const sorted = nodes.filter((node) => waiting.get(node) === 0);
  for (let i = 0; i < sorted.length; i++)
    for (const output of sorted[i]!.outputs)
      for (const reader of readers.get(output) ?? []) {
        const left = waiting.get(reader)! - 1;
        waiting.set(reader, left);
        if (left === 0) sorted.push(reader);
      }
  if (sorted.length < nodes.length) {
    const stuck = nodes.filter((node) => waiting.get(node)! > 0).slice(0, 4);
    throw new Error(
      `${name}: the graph runs in a circle through ${stuck.map((node) => JSON.stringify(node.outputs[0] ?? node.op)).join(', ')}`,
    );
  }
  return sorted;
}

function isSorted(nodes: readonly GraphNode[], given: ReadonlySet<Value>): boolean {
  const made = new Set(given);
  for (const node of nodes) {
    if (operandsOf(node).some((value) => value !== '' && !made.has(value))) return false;
    for (const output of node.outputs) made.add(output);
  }
  return true;
}
