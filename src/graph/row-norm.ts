import type { GraphBuilder } from './builder.ts';
import type { Value } from './types.ts';

export type RowNorm = { readonly shift?: Value; readonly divisor: Value; readonly factor: Value };

/** Added to the standard deviation, not under its root: SAELens's. */
const EPSILON = 1e-5;

/**
 * How an SAE normalises rows x [N,D] and its output back: x' = (x - shift) / divisor, xhat = xhat' factor + shift, all [N,1].
 *
 *     layer   shift = mean, factor = std over D - 1, divisor = std + 1e-5          norm   factor = divisor = |x| / sqrt(D)
 *     centre  shift = mean, factor = divisor = 1
 */
export function rowNorm(g: GraphBuilder, kind: 'layer' | 'norm' | 'centre', x: Value, D: number): RowNorm {
  const mean = (y: Value) => g.op('ReduceMean', [y, g.axes([-1])], { keepdims: 1 });
  if (kind === 'norm') {
    const scale = g.op('Sqrt', [mean(g.mul(x, x))]);
    return { divisor: scale, factor: scale };
  }
  const shift = mean(x);
  if (kind === 'centre') return { shift, divisor: g.scalar(1), factor: g.scalar(1) };
  const centred = g.sub(x, shift);
  const std = g.op('Sqrt', [g.div(g.reduceSum(g.mul(centred, centred), -1, true), g.scalar(D - 1))]);
  return { shift, divisor: g.add(std, g.scalar(EPSILON)), factor: std };
}
