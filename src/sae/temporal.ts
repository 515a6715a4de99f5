/** Temporal SAEs (variants/temporal.ts) in the engine: one graph for a sequence, its weights fed and not copied into it. */
import type { InferenceSession, Tensor } from 'onnxruntime-common';
import { createGraphBuilder, createSession, type GraphBuilder, type Value } from '../graph/index.ts';
import { getPlatform } from '../platform/index.ts';
import { shapesOf } from './check.ts';
import { joinCodes } from './select.ts';
import type { Sae, SparseCode } from './types.ts';
import type { Arrays, Selection } from './variants/variant.ts';

type InContext = Selection & { readonly by: 'context' };

function author(sae: Sae, { K, heads, layers, epsilon }: InContext) {
  const { D, F } = sae.config;
  const g: GraphBuilder = createGraphBuilder();
  g.input('r', 'float32', ['T', D]);
  /** [T,T]: 0 where a row may look, far below elsewhere. */
  g.input('mask', 'float32', ['T', 'T']);
  for (const [name, shape] of Object.entries(shapesOf(sae.config))) g.input(name, 'float32', shape);
  const linear = (x: Value, name: string): Value => g.gemm(x, name, `${name}_bias`, { transB: true });
  /** [T,H w] -> [H,T,w] */
  const split = (x: Value, width: number): Value =>
    g.transpose(g.reshape(x, [-1, heads, width / heads]), [1, 0, 2]);
  const read = (r: Value): Value =>
    g.gemm(g.mul(r, g.scalar(1 / (4 * D))), 'W_enc', undefined, { transB: true });
  const E = sae.config.architecture === 'temporal' ? sae.config.attentionWidth : heads;
  let r: Value = 'r';
  let context: Value | undefined;
  for (let l = 0; l < layers; l++) {
    const u = g.relu(read(r));
    const before = g.concat([g.float32([1, F], new Float32Array(F)), g.slice(u, 0, -1, 0)], 0);
    const [q, k, v] = [
      split(linear(u, `attn.${l}.q`), E),
      split(linear(before, `attn.${l}.k`), E),
      split(linear(before, `attn.${l}.v`), F),
    ];
    const scores = g.mul(g.matMul(q, g.transpose(k, [0, 2, 1])), g.scalar(1 / Math.sqrt(E / heads)));
    const mixed = g.matMul(g.softmax(g.add(scores, 'mask')), v);
    const p = g.relu(linear(g.reshape(g.transpose(mixed, [1, 0, 2]), [-1, F]), `attn.${l}.out`));
    const d = g.gemm(p, 'W_dec');
    const length = g.add(g.op('ReduceL2', [d, g.axes([-1])], { keepdims: 1 }), g.scalar(epsilon));
    const share = g.div(g.reduceSum(g.mul(d, r), -1, true), g.mul(length, length));
    const told = g.mul(d, share);
    r = g.sub(r, told);
    context = context === undefined ? told : g.add(context, told);
  }
  const ranked = g.topK(read(r), K);
  g.named('values', g.relu(ranked.values));
  g.named('indices', ranked.indices);
  // Read by r, too, so by a name of its own.
  g.named('context', g.op('Identity', [context ?? g.mul('r', g.scalar(0))]));
  return g.graph;
}

export type Temporal = {
  /** Rows r [B,D], normalised and centred, of sequences of these lengths. */
  encode(r: Float32Array, sequences: readonly number[], signal: AbortSignal | undefined): Promise<SparseCode>;
  close(): Promise<void>;
};

export async function openTemporal(sae: Sae, selection: InContext, threads: number): Promise<Temporal> {
  const { D } = sae.config;
  const outputs = ['values', 'indices', 'context'];
  const session = await createSession(author(sae, selection), outputs, {
    ...{ threads, outputTypes: new Map([['indices', 'int64' as const]]) },
  });
  const tensor = (data: Float32Array, dims: readonly number[]): Tensor =>
    new (getPlatform().ort.Tensor)('float32', data, [...dims]);
  const weights = (): InferenceSession.FeedsType =>
    Object.fromEntries(
      session.inputNames
        .filter((name) => name !== 'r' && name !== 'mask')
        .map((name) => [name, tensor(sae[name as keyof Arrays]!, shapesOf(sae.config)[name]!)]),
    );
  const maskOf = (T: number): Float32Array =>
    Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? -1e30 : 0));
  return {
    async encode(r, sequences, signal) {
      const B = r.length / D;
      const codes: SparseCode[] = [];
      const context = new Float32Array(r.length);
      let row = 0;
      for (const T of sequences) {
        signal?.throwIfAborted();
        const feeds = { ...weights(), r: tensor(r.subarray(row * D, (row + T) * D), [T, D]) };
        const found = await session.run({ ...feeds, mask: tensor(maskOf(T), [T, T]) });
        codes.push({
          ...{ B: T, K: selection.K, values: found.values!.data as Float32Array },
          indices: Int32Array.from(found.indices!.data as BigInt64Array, Number),
        });
        context.set(found.context!.data as Float32Array, row * D);
        row += T;
      }
      return { ...joinCodes(codes, B, selection.K), context };
    },
    close: () => session.release(),
  };
}
