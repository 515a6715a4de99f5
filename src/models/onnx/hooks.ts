/**
 * Hooks in a graph that somebody else wrote. Every float value goes by its own name; the residual stream, where it was found, also by
 * TransformerLens's. A second name is an Identity behind the value, which all its readers read: so both names can be read, replaced and
 * steered. Values in half precision get a float32 stage that rounds to the same bits:
 *
 *     producer -> v        -> alias -> readers                       float32
 *     producer -> v/half -> v = float32(v/half) -> alias -> v/back = float16(alias) -> readers
 */
import { type Graph, type GraphNode, ONNX_TYPES, operandsOf, type Value } from '../../graph/index.ts';
import type { HookInfo } from '../types.ts';
import type { Measured } from './probe.ts';
import { node } from './values.ts';

export type Hooked = {
  readonly graph: Graph;
  /** In the order in which they are computed. */
  readonly hooks: readonly HookInfo[];
  /** Dimensions inside the graph, where N stands for B T. */
  readonly dims: ReadonlyMap<string, readonly string[]>;
};

const isFloat = ({ type }: Measured): boolean => type === 'float32' || type === 'float16';

/** What a hook looks like to the caller: N rows are B sequences of T positions. */
function hookInfo(name: string, { dims }: Measured, D: number | undefined): HookInfo {
  const last = dims.at(-1);
  const width = last !== undefined && /^\d+$/.test(last) ? Number(last) : 0;
  const own = dims.flatMap((dim) => (dim === 'N' ? ['B', 'T'] : [dim]));
  const residual = own.length === 3 && own[0] === 'B' && own[1] === 'T' && width === D;
  return { name, dims: residual ? ['B', 'T', 'D'] : own, width };
}

/**
 * @param names hook names of some values, in the order in which they are computed
 * @param D width of the residual stream, where it is known
 */
export function withHooks(
  graph: Graph,
  measured: ReadonlyMap<Value, Measured>,
  names: readonly { readonly hook: string; readonly value: Value }[],
  D: number | undefined,
): Hooked {
  // What a subgraph reads keeps its reader: its text is not changed.
  const held = new Set(graph.nodes.flatMap(({ reads }) => reads ?? []));
  const aliases = new Map<Value, string[]>();
  for (const { hook, value } of names) aliases.set(value, [...(aliases.get(value) ?? []), hook]);
  const hooks: HookInfo[] = [];
  const dims = new Map<string, readonly string[]>();
  const readInstead = new Map<Value, Value>();
  const nodes: GraphNode[] = [];
  for (const one of graph.nodes) {
    const read = (value: Value): Value => readInstead.get(value) ?? value;
    const hookable = one.outputs.filter((value) => {
      const found = measured.get(value);
      return found && isFloat(found) && !found.dims.includes('?') && !held.has(value);
    });
    const isHalf = (value: Value): boolean =>
      hookable.includes(value) && measured.get(value)!.type === 'float16';
    nodes.push({
      ...one,
      inputs: one.inputs.map(read),
      outputs: one.outputs.map((value) => (isHalf(value) ? `${value}/half` : value)),
    });
    for (const value of hookable) {
      const found = measured.get(value)!;
      if (isHalf(value)) nodes.push(node('Cast', [`${value}/half`], value, { to: ONNX_TYPES.float32 }));
      let end = value;
      for (const name of [value, ...(aliases.get(value) ?? [])]) {
        if (name !== value) {
          nodes.push(node('Identity', [end], name));
          end = name;
        }
        hooks.push(hookInfo(name, found, D));
        dims.set(name, found.dims);
      }
      if (isHalf(value)) {
        nodes.push(node('Cast', [end], `${value}/back`, { to: ONNX_TYPES.float16 }));
        end = `${value}/back`;
      }
      if (end !== value) readInstead.set(value, end);
    }
  }
  return { graph: { ...graph, nodes }, hooks, dims };
}

/** The initialiser that a value is made from, through casts and what dequantises. */
export function storedBehind(graph: Graph, value: Value): Value | undefined {
  let at = value;
  for (let steps = 0; steps < 8; steps++) {
    if (graph.initializers.has(at)) return at;
    const maker = graph.nodes.find(({ outputs }) => outputs.includes(at));
    if (!maker) return undefined;
    at = operandsOf(maker)[0] ?? '';
  }
  return undefined;
}
