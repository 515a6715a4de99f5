import { createProduct } from '../sae/product.ts';
import type { Comm } from './comm/types.ts';
import { createGroup } from './group.ts';
import { type Scales, type StepResult, trainStep } from './step.ts';
import type { TrainerConfig } from './types.ts';

/** Named arrays, each the slice of this rank's latents (b_dec and its moments whole, from every rank alike). */
export type RankState = Record<string, RankArray>;
export type RankArray = Float32Array | Int32Array | Float64Array;

/** One rank of a training run: its latents, and the step program on them. Behind a worker's port or called directly. */
export type Rank = {
  step(raw: Float32Array, step: number, scales: Scales): Promise<StepResult>;
  /** What `read` can give. */
  readonly names: readonly string[];
  /** A copy. Rows are unpadded: [F,D] with the model's D. */
  read(name: string): RankArray;
  /** Overwrites what is given, leaves the rest. */
  write(state: RankState): void;
  close(): Promise<void>;
};

export async function createRank(config: TrainerConfig, comm: Comm, threads: number): Promise<Rank> {
  const group = createGroup(config, comm.rank, comm.size);
  const product = await createProduct(threads);
  const { D: padded } = group;
  const { D } = config;
  const { sinceFired, fired, b_dec, mBDec, vBDec, emaBDec } = group;
  const vectors: RankState = { sinceFired, fired, b_dec, mBDec, vBDec, emaBDec };
  const arrays: RankState = { ...group.weights, ...vectors };
  /** Arrays whose rows are D wide. */
  const wide = new Set([
    'W_enc',
    'W_dec',
    'mEnc',
    'vEnc',
    'mDec',
    'vDec',
    'W_start',
    'b_dec',
    'mBDec',
    'vBDec',
    'emaEnc',
    'emaDec',
    'emaBDec',
  ]);

  return {
    async step(raw, step, scales) {
      try {
        return await trainStep({ group, comm, product, config }, scales, step, raw);
      } catch (error) {
        comm.abort();
        throw error;
      }
    },
    names: Object.keys(arrays).filter((name) => arrays[name]!.length > 0),
    read(name) {
      const array = arrays[name];
      if (!array) throw new Error(`A rank has no array ${name}.`);
      return wide.has(name) ? repack(array, padded, D) : array.slice();
    },
    write(state) {
      for (const [name, values] of Object.entries(state)) {
        const target = arrays[name];
        if (!target)
          throw new Error(`A training state has no array ${name}; it has ${Object.keys(arrays).join(', ')}.`);
        const source = wide.has(name) ? repack(values, D, padded) : values;
        if (source.length !== target.length)
          throw new Error(`${name} holds ${source.length} numbers, this run needs ${target.length}.`);
        target.set(source);
      }
    },
    close: () => product.close(),
  };
}

/** Rows of width `from` as rows of width `to`, cut or padded with zeros; a copy. */
function repack<T extends RankArray>(values: T, from: number, to: number): T {
  if (from === to) return values.slice() as T;
  const rows = values.length / from;
  const out = new (values.constructor as new (n: number) => T)(rows * to);
  for (let r = 0; r < rows; r++) out.set(values.subarray(r * from, r * from + Math.min(from, to)), r * to);
  return out;
}
