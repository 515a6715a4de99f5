/**
 * Rows are tokens, and behind the last attention no token looks at another: what only the logits of some tokens need is computed for those.
 *
 *     f(x [N,..])[rows] = f(x[rows])
 */
import { operandsOf, type Value } from '../../graph/index.ts';
import type { GraphNode } from '../../graph/types.ts';

/** The values that depend on some of `from`. */
export function valuesBehind(nodes: readonly GraphNode[], from: readonly Value[]): Set<Value> {
  const behind = new Set(from);
  for (const node of nodes)
    if (operandsOf(node).some((value) => behind.has(value)))
      for (const output of node.outputs) behind.add(output);
  for (const value of from) behind.delete(value);
  return behind;
}

/**
 * Everything behind `from` [N,..] sees only some rows, int32 [R].
 *
 * @param ids the input of tokens: what depends on it has a row for each
 */
export function chosenRows(
  nodes: readonly GraphNode[],
  from: Value,
  { rows, ids }: { rows: Value; ids: Value },
): GraphNode[] {
  const behind = valuesBehind(nodes, [from]);
  const perToken = valuesBehind(nodes, [ids]);
  const chosen = new Map<Value, Value>();
  return nodes.flatMap((node) => {
    if (!node.outputs.some((output) => behind.has(output))) return [node];
    const gathers: GraphNode[] = [];
    const inputs = node.inputs.map((value) => {
      if (behind.has(value) || !perToken.has(value)) return value;
      const name = chosen.get(value) ?? `${value}/chosen`;
      if (!chosen.has(value))
        gathers.push({
          op: 'Gather',
          domain: '',
          inputs: [value, rows],
          outputs: [name],
          attributes: { axis: 0 },
        });
      chosen.set(value, name);
      return name;
    });
    return [...gathers, { ...node, inputs }];
  });
}
