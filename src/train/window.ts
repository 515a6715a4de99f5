/** What trainer and workers say to each other, and the shared memory that the numbers themselves go through. */
import type { SharedSpace } from './comm/threads.ts';
import type { ArrayInfo, RankArray } from './rank.ts';
import type { Scales } from './step.ts';
import type { TrainerConfig } from './types.ts';

/** What a worker is started with. `window` holds the raw rows of the current step, or a piece of an array between steps. */
export type WorkerData = {
  readonly config: TrainerConfig;
  readonly space: SharedSpace;
  readonly rank: number;
  readonly window: SharedArrayBuffer;
};

type Piece = { readonly name: string; readonly from: number; readonly count: number };
export type WorkerRequest =
  | { readonly type: 'step'; readonly step: number; readonly scales: Scales }
  | { readonly type: 'describe' }
  | ({ readonly type: 'read' } & Piece)
  | ({ readonly type: 'write' } & Piece)
  | { readonly type: 'scale'; readonly to: string; readonly from: string; readonly factor: number }
  | { readonly type: 'close' };

export type WorkerReply = { readonly result: unknown } | { readonly error: string };

type Sizes = Pick<TrainerConfig, 'B' | 'D' | 'Dout' | 'vocabulary'>;

/** Room for the rows of a step, and enough that arrays of small runs do not come in crumbs. */
export const windowBytes = ({ B, D, Dout = 0, vocabulary }: Sizes): number =>
  Math.max(8 * Math.ceil((B * (D + Dout + (vocabulary ? 1 : 0))) / 2), 2 ** 20);

/** The rows of a step in the window, one array after the other. */
export const stepRows = (window: SharedArrayBuffer, { B, D, Dout = 0, vocabulary }: Sizes) => ({
  x: new Float32Array(window, 0, B * D),
  y: new Float32Array(window, 4 * B * D, B * Dout),
  tokens: new Int32Array(window, 4 * B * (D + Dout), vocabulary ? B : 0),
});

const types = { F32: Float32Array, I32: Int32Array, F64: Float64Array };

export const typeOf = (array: RankArray): ArrayInfo['type'] =>
  array instanceof Float32Array ? 'F32' : array instanceof Int32Array ? 'I32' : 'F64';

export const arrayOf = (type: ArrayInfo['type'], length: number): RankArray => new types[type](length);

/** The first `length` elements of the window. */
export const viewOf = (window: SharedArrayBuffer, type: ArrayInfo['type'], length: number): RankArray =>
  new (types[type] as new (buffer: SharedArrayBuffer, at: number, length: number) => RankArray)(
    window,
    0,
    length,
  );
