/**
 * Shapes and types by running. ONNX files rarely say the shapes of what lies between, and rules for some two hundred operators would be
 * incomplete; so the graph is run on two tiny inputs with every value as an output, and a dimension is what changed with B, T or B T:
 *
 *     2 -> 3 is B     5 -> 7 is T     10 -> 21 is N = B T     the same number twice is that number
 *
 * The session is opened without optimization and with its weights mapped, so that this costs neither memory nor much time.
 */
import type { Tensor as OrtTensor } from 'onnxruntime-common';
import { createSession, cutGraph, type Graph, type Value } from '../../graph/index.ts';
import type { ByteSource } from '../../platform/index.ts';
import { fedValues } from './values.ts';

/** Element type of the engine and dimensions: a number, or B, T, N, or '?' for what follows none of them. */
export type Measured = { readonly type: string; readonly dims: readonly string[] };

export const PROBES = [
  { B: 2, T: 5 },
  { B: 3, T: 7 },
] as const;

/** What is no tensor cannot be an output. */
const NO_TENSOR = /^(Sequence|SplitToSequence|Optional|ConcatFromSequence)/;

const letter = (first: number, second: number): string => {
  const [a, b] = PROBES;
  if (first === a.B && second === b.B) return 'B';
  if (first === a.T && second === b.T) return 'T';
  if (first === a.B * a.T && second === b.B * b.T) return 'N';
  return first === second ? String(first) : '?';
};

/** The shape alone; the numbers are let go. */
function shapeOf(tensor: OrtTensor): Pick<OrtTensor, 'type' | 'dims'> {
  const { type, dims } = tensor;
  tensor.dispose();
  return { type, dims };
}

type Feed = (size: { readonly B: number; readonly T: number }) => Readonly<Record<string, () => OrtTensor>>;

/** Shapes of some values at both sizes. */
async function run(graph: Graph, weightFiles: readonly ByteSource[], values: readonly Value[], feed: Feed) {
  const cut = cutGraph(graph, values);
  const session = await createSession(cut, values, {
    weightFiles,
    mapped: true,
    optimize: false,
    threads: 1,
  });
  try {
    const found: [Value, Measured][] = [];
    const before = new Map<Value, readonly number[]>();
    for (const size of PROBES) {
      const feeds = feed(size);
      const made = [...cut.inputs.keys()].map((name) => {
        const one = feeds[name];
        if (!one) throw new Error(`The graph needs an input ${name}`);
        return [name, one()] as const;
      });
      const results = await session.run(Object.fromEntries(made), values);
      for (const value of values) {
        const { type, dims } = shapeOf(results[value] as OrtTensor);
        const first = before.get(value);
        if (!first) before.set(value, dims);
        else if (first.length === dims.length)
          found.push([value, { type, dims: first.map((n, i) => letter(n, dims[i]!)) }]);
      }
    }
    return found;
  } finally {
    await session.release();
  }
}

/**
 * Runs the graph at both sizes.
 *
 * @param feed the inputs for B sequences of T positions
 * @param needed every value that these depend on is measured, and nothing behind them
 * @param atOnce so many values are held at a time, where they are large; the graph runs again for the next
 * @throws the engine's error when the graph does not run
 */
export async function probe(
  graph: Graph,
  weightFiles: readonly ByteSource[],
  needed: readonly Value[],
  feed: Feed,
  atOnce = Number.POSITIVE_INFINITY,
): Promise<ReadonlyMap<Value, Measured>> {
  const cut = cutGraph(graph, needed);
  const fed = fedValues(cut);
  const values = cut.nodes
    .filter(({ op }) => !NO_TENSOR.test(op))
    .flatMap(({ outputs }) => outputs)
    .filter((value) => fed.has(value));
  const measured = new Map<Value, Measured>();
  // Those in front first: what does not run at all mostly fails there, before much was computed.
  const step = Math.max(1, Math.min(atOnce, values.length));
  for (let at = 0; at < values.length; at += step)
    for (const [value, shape] of await run(cut, weightFiles, values.slice(at, at + step), feed))
      measured.set(value, shape);
  return measured;
}
