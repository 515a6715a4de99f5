/**
 * An SAE as nodes of an ONNX graph, standard operators only, for every variant. The code is dense here:
 *
 *     x [B,D] -> z [B,F]          pre = (x' - b_dec) W_enc^T + b_enc,  z by rank or by threshold (variants/variant.ts)
 *     z [B,F] -> xhat [B,Dout]    z W_dec + b_dec (+ W_skip x) (+ b_token[id]), scaled back where the input was normalised
 */
import { type GraphBuilder, rowNorm, type Value } from '../graph/index.ts';
import { outputWidth, preSelection, shapesOf, subtractsBias } from './check.ts';
import type { Sae } from './types.ts';
import type { Arrays, PreSelection } from './variants/variant.ts';

/** The arrays of an SAE as values of the graph, each made when it is first asked for. */
export type SaeValues = (name: keyof Arrays) => Value;

/** [F], or one number where all are the same. */
const perLatent = (g: GraphBuilder, array: Float32Array): Value =>
  array.every((value) => value === array[0]) ? g.scalar(array[0]!) : g.float32([array.length], array);

function select(g: GraphBuilder, selection: PreSelection, pre: Value, F: number): Value {
  if (selection.by === 'rank') {
    const ranked = g.topK(selection.signed ? g.op('Abs', [pre]) : pre, selection.K);
    const kept = selection.signed ? g.gatherElements(pre, ranked.indices, 1) : g.relu(ranked.values);
    const zeros = g.op('Expand', [g.scalar(0), g.op('Shape', [pre])]);
    return g.op('ScatterElements', [zeros, ranked.indices, kept], { axis: 1 });
  }
  if (selection.by === 'group') {
    const groups = g.reshape(pre, [-1, selection.K, F / selection.K]);
    const best = g.op('ArgMax', [groups], { axis: 2, keepdims: 1 });
    const zeros = g.op('Expand', [g.scalar(0), g.op('Shape', [groups])]);
    const kept = g.relu(g.gatherElements(groups, best, 2));
    return g.reshape(g.op('ScatterElements', [zeros, best, kept], { axis: 2 }), [-1, F]);
  }
  const { threshold, scale, shift } = selection;
  const scaled = scale ? g.mul(pre, perLatent(g, scale)) : pre;
  const shifted = shift ? g.add(scaled, perLatent(g, shift)) : scaled;
  const active = g.op('Greater', [pre, perLatent(g, threshold)]);
  return g.relu(g.where(active, shifted, g.scalar(0)));
}

/** Rows x [B,D] -> z [B,F]. @throws as `preSelection` */
export function encodeNodes(g: GraphBuilder, sae: Sae, values: SaeValues, x: Value): Value {
  const selection = preSelection(sae);
  const { D, inputNorm } = sae.config;
  let rows = x;
  if (inputNorm) {
    const { shift, divisor } = rowNorm(g, inputNorm, x, D);
    rows = g.div(shift ? g.sub(rows, shift) : rows, divisor);
  }
  if (subtractsBias(sae.config)) rows = g.sub(rows, values('b_dec'));
  const biased = !(selection.by === 'threshold' && selection.bias === false);
  return select(
    g,
    selection,
    g.gemm(rows, values('W_enc'), biased ? values('b_enc') : undefined, { transB: true }),
    sae.config.F,
  );
}

/** Whether `decode` needs the rows x beside the code. */
export const decodeReadsX = ({ config, W_skip }: Sae): boolean =>
  config.inputNorm !== undefined || W_skip !== undefined;

/**
 * z [B,F] -> xhat [B,Dout].
 *
 * @param x rows [B,D], where `decodeReadsX`
 * @param ids int64 [B], of an SAE with token bias
 */
export function decodeNodes(
  g: GraphBuilder,
  sae: Sae,
  values: SaeValues,
  { z, x, ids }: { readonly z: Value; readonly x: Value; readonly ids: Value },
): Value {
  const { D, inputNorm } = sae.config;
  let rows = g.gemm(z, values('W_dec'), values('b_dec'));
  if (sae.W_skip) rows = g.add(rows, g.gemm(x, values('W_skip'), undefined, { transB: true }));
  if (sae.b_token) rows = g.add(rows, g.gather(values('b_token'), ids));
  if (!inputNorm) return rows;
  const { shift, factor } = rowNorm(g, inputNorm, x, D);
  rows = g.mul(rows, factor);
  return shift ? g.add(rows, shift) : rows;
}

/** Name and shape of every array that the SAE has. */
export const arrayShapes = (sae: Sae): [name: keyof Arrays, shape: number[]][] =>
  Object.entries(shapesOf(sae.config, sae)) as [keyof Arrays, number[]][];

/** Names of the inputs and outputs of an SAE's graphs, and their shapes. */
export const saeEnds = (sae: Sae) => ({
  x: { type: 'float32' as const, dims: ['B', sae.config.D] },
  z: { type: 'float32' as const, dims: ['B', sae.config.F] },
  ids: { type: 'int64' as const, dims: ['B'] },
  xhat: { type: 'float32' as const, dims: ['B', outputWidth(sae.config)] },
});
