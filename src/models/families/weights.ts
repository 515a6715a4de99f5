/** Weights in a graph: by reference, where they lie in the files. */
import { type GraphBuilder, ONNX_TYPES, type Value } from '../../graph/index.ts';
import type { ModelWeights } from '../hf-folder.ts';
import type { TransformerSpec } from './spec.ts';

const ELEMENT = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;

/** Puts a weight into the graph by reference. Half-precision weights are followed by a Cast, which the engine folds. */
export function createWeightReader(g: GraphBuilder, weights: ModelWeights) {
  const known = new Map<string, Value>();

  function stored(name: string, shape: readonly number[]): { value: Value; half: boolean } {
    const tensor = weights.find(name, shape);
    if (tensor.dtype !== 'F32' && tensor.dtype !== 'F16' && tensor.dtype !== 'BF16') {
      throw new Error(`Tensor ${name} is ${tensor.dtype}; weights are read as F32, F16 or BF16`);
    }
    const key = `stored ${name}`;
    const value =
      known.get(key) ??
      g.external(name, ELEMENT[tensor.dtype], shape, {
        file: tensor.file,
        offset: tensor.start,
        length: tensor.end - tensor.start,
      });
    known.set(key, value);
    return { value, half: tensor.dtype !== 'F32' };
  }

  /** The weight as float32. */
  function float(name: string, shape: readonly number[]): Value {
    const { value, half } = stored(name, shape);
    if (!half) return value;
    const cast = known.get(name) ?? g.cast(value, ONNX_TYPES.float32);
    known.set(name, cast);
    return cast;
  }
  return {
    float,
    /** x W^T + b of rows x [N,in], W [out,in] as PyTorch keeps it. */
    linear(x: Value, name: string, [out, into]: readonly [number, number], bias: boolean): Value {
      const W = float(`${name}.weight`, [out, into]);
      return g.gemm(x, W, bias ? float(`${name}.bias`, [out]) : undefined, { transB: true });
    },
    /** (x - mean x) / sqrt(var x + eps) * gain + shift of rows x [N,D]; `hook` names it before gain and shift. */
    layerNorm(
      x: Value,
      name: string,
      { D, normEpsilon }: Pick<TransformerSpec, 'D' | 'normEpsilon'>,
      {
        names: [gain, shift] = ['weight', 'bias'],
        hook,
      }: { readonly names?: readonly [string, string]; readonly hook?: Value } = {},
    ): Value {
      const scale = float(`${name}.${gain}`, [D]);
      const bias = float(`${name}.${shift}`, [D]);
      return hook === undefined
        ? g.layerNormalization(x, scale, bias, normEpsilon)
        : g.namedLayerNormalization(x, scale, bias, normEpsilon, hook);
    },
    /** Rows of an embedding table as float32; a half-precision table is converted after the look-up. */
    rows(name: string, shape: readonly number[], indices: Value): Value {
      const { value, half } = stored(name, shape);
      const rows = g.gather(value, indices);
      return half ? g.cast(rows, ONNX_TYPES.float32) : rows;
    },
  };
}
