import { outputWidth } from '../sae/check.ts';
import { createProduct } from '../sae/product.ts';
import type { Comm } from './comm/types.ts';
import { createGroup } from './group.ts';
import { type Scales, type StepResult, trainStep } from './step.ts';
import type { Beside, TrainerConfig } from './types.ts';
import { typeOf } from './window.ts';

/** Named arrays: weights, moments, counters. */
export type RankArray = Float32Array | Int32Array | Float64Array;

/** An array of a rank, seen from outside: unpadded, the slice of this rank's latents. */
export type ArrayInfo = {
  readonly type: 'F32' | 'I32' | 'F64';
  /** Elements. */
  readonly length: number;
  /** Elements that move together: the model's D where rows are D wide, else 1. */
  readonly width: number;
  /** Equal and whole on every rank: b_dec and what belongs to it. */
  readonly shared: boolean;
};

/** One rank of a training run: its latents, and the step program on them. Behind a worker's port or called directly. */
export type Rank = {
  step(raw: Float32Array, beside: Beside, step: number, scales: Scales): Promise<StepResult>;
  describe(): Readonly<Record<string, ArrayInfo>>;
  /** Copies elements [from, from + into.length) of an array out; both are multiples of its width. */
  read(name: string, from: number, into: RankArray): void;
  /** Overwrites elements [from, from + values.length) of an array; both are multiples of its width. */
  write(name: string, from: number, values: RankArray): void;
  /** to = factor * from, element by element; both have the same shape. */
  scale(to: string, from: string, factor: number): void;
  close(): Promise<void>;
};

export async function createRank(config: TrainerConfig, comm: Comm, threads: number): Promise<Rank> {
  const group = createGroup(config, comm.rank, comm.size);
  const product = await createProduct(threads);
  const { D: padded } = group;
  const { D } = config;
  const Dout = outputWidth(config);
  const widthOf = (name: string): number => (inputWide.has(name) ? D : outputWide.has(name) ? Dout : 1);
  const { sinceFired, fired, b_dec, mBDec, vBDec, emaBDec, control, centre } = group;
  const whole: Record<string, RankArray> = { b_dec, mBDec, vBDec, emaBDec, control, centre };
  const arrays: Record<string, RankArray> = { ...group.weights, sinceFired, fired, ...whole };
  const info = Object.fromEntries(
    Object.entries(arrays)
      .filter(([, { length }]) => length > 0)
      .map(([name, array]) => {
        const width = widthOf(name);
        const rows = width > 1 ? array.length / padded : array.length;
        return [name, { type: typeOf(array), length: rows * width, width, shared: name in whole }];
      }),
  ) satisfies Record<string, ArrayInfo>;

  /** Calls `move` with every stretch that lies together, in this rank's memory and in the unpadded array. */
  function each(
    name: string,
    from: number,
    count: number,
    move: (mine: RankArray, at: number) => void,
  ): void {
    const array = arrays[name]!;
    const row = info[name]!.width;
    const dense = row === 1 || row === padded;
    const width = dense ? count : row;
    const first = dense ? from : (from / row) * padded;
    for (let at = 0, mine = first; at < count; at += width, mine += padded)
      move(array.subarray(mine, mine + width), at);
  }

  return {
    async step(raw, beside, step, scales) {
      try {
        return await trainStep({ group, comm, product, config }, scales, step, raw, beside);
      } catch (error) {
        comm.abort();
        throw error;
      }
    },
    describe: () => info,
    read: (name, from, into) => each(name, from, into.length, (mine, at) => into.set(mine, at)),
    write: (name, from, values) =>
      each(name, from, values.length, (mine, at) => mine.set(values.subarray(at, at + mine.length))),
    scale(to, from, factor) {
      const [target, source] = [arrays[to]!, arrays[from]!];
      for (let i = 0; i < target.length; i++) target[i] = source[i]! * factor;
    },
    close: () => product.close(),
  };
}

/** Arrays whose rows are D wide, and Dout wide. */
const inputWide = new Set([
  'W_enc',
  'mEnc',
  'vEnc',
  'emaEnc',
  'W_skip',
  'mSkip',
  'vSkip',
  'emaSkip',
  'centre',
]);
const outputWide = new Set([
  ...['W_dec', 'mDec', 'vDec', 'emaDec', 'W_start'],
  ...['b_dec', 'mBDec', 'vBDec', 'emaBDec', 'b_token'],
]);
