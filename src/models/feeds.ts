/** Graph inputs of one batch, made only when the cut graph still has them. */
import { STEER_DIRECTIONS, STEER_STRENGTHS } from '../graph/index.ts';
import type { Ort } from '../platform/index.ts';
import { INPUTS, ropeInputs } from './families/blocks.ts';
import { ropesOf, type TransformerSpec } from './families/spec.ts';
import { type RopeSpec, ropeTables } from './rope.ts';
import type { Feeds } from './sessions.ts';
import type { SteerRows } from './steering/types.ts';
import type { SteerEdit, TokenBatch } from './types.ts';

/** Positions [B,T] count real tokens: 0 at the first one, whatever padding stands before it. */
export function positionsOf({ mask, B, T }: TokenBatch): Int32Array {
  const positions = new Int32Array(B * T);
  for (let b = 0; b < B; b++) {
    let next = 0;
    for (let i = b * T; i < (b + 1) * T; i++) {
      positions[i] = Math.max(0, next - 1 + mask[i]!);
      next += mask[i]!;
    }
  }
  return positions;
}

/** True when every row's padding stands on the right, so that token t has position t. */
function isRightPadded({ mask, B, T }: TokenBatch): boolean {
  for (let b = 0; b < B; b++)
    for (let i = b * T + 1; i < (b + 1) * T; i++) if (mask[i]! > mask[i - 1]!) return false;
  return true;
}

const rowLengths = ({ mask, B, T }: TokenBatch): number[] =>
  Array.from({ length: B }, (_, b) => mask.subarray(b * T, (b + 1) * T).reduce((sum, m) => sum + m, 0));

/** Rows of the rotary tables [B,T]: those of the only table, or of P = B tables. */
export function rotaryRows(
  B: number,
  T: number,
  P: number,
  Tensor: Ort['Tensor'],
): InstanceType<Ort['Tensor']> {
  const rows = BigInt64Array.from({ length: B * T }, (_, i) => BigInt(P === 1 ? i % T : i));
  return new Tensor('int64', rows, [B, T]);
}

export function batchFeeds(
  batch: TokenBatch,
  spec: Pick<TransformerSpec, 'attention' | 'headDim'>,
  { Tensor }: Ort,
): Feeds {
  const { ids, mask, B, T } = batch;
  const arange = () => Int32Array.from({ length: T }, (_, t) => t);

  // One table serves all rows, unless a row's angles depend on its own length or padding.
  const ropes = ropesOf(spec);
  const lengths = rowLengths(batch);
  const own = ropes.some(
    ({ scaling }) => scaling.type === 'dynamic' && lengths.some((length) => length > scaling.originalContext),
  );
  const shared = !own && isRightPadded(batch);

  /** Feeds of one pair of rotary tables, made when the first of the two is asked for. */
  function rope(spec: RopeSpec, index: number): Feeds {
    let tables: { cos: Float32Array; sin: Float32Array } | undefined;
    const angles = (which: 'cos' | 'sin') => () => {
      tables ??= ropeTables(spec, shared ? arange() : positionsOf(batch), shared ? [T] : lengths);
      return new Tensor('float32', tables[which], [tables[which].length / (spec.dims / 2), spec.dims / 2]);
    };
    const { cos, sin } = ropeInputs(index);
    return { [cos]: angles('cos'), [sin]: angles('sin') };
  }

  return {
    [INPUTS.ids]: () => new Tensor('int32', ids, [B, T]),
    [INPUTS.mask]: () =>
      mask.includes(0)
        ? new Tensor('bool', mask, [B, T])
        : new Tensor('bool', new Uint8Array(T).fill(1), [1, T]),
    [INPUTS.index]: () => new Tensor('int32', arange(), [T]),
    [INPUTS.positions]: () => new Tensor('int32', positionsOf(batch), [B, T]),
    [INPUTS.headShape]: () =>
      new Tensor('int64', BigInt64Array.of(BigInt(B), BigInt(T), -1n, BigInt(spec.headDim)), [4]),
    [INPUTS.rotaryRows]: () => rotaryRows(B, T, shared ? 1 : B, Tensor),
    ...Object.assign({}, ...ropes.map(rope)),
  };
}

/** The tokens of a batch as the bus takes them; prompts as long as their rows, unless said otherwise. `first`: what its first row is called. */
export function steerRows(
  batch: TokenBatch,
  promptLengths: readonly number[] = rowLengths(batch),
  first = 0,
): SteerRows {
  if (promptLengths.length !== batch.B)
    throw new Error(`${promptLengths.length} prompt lengths for ${batch.B} rows; give one for each`);
  const ofRow = (value: (b: number) => number): Int32Array =>
    Int32Array.from({ length: batch.B * batch.T }, (_, i) => value(Math.floor(i / batch.T)));
  return {
    rows: ofRow((b) => first + b),
    positions: positionsOf(batch),
    prompts: ofRow((b) => promptLengths[b]!),
    ids: batch.ids,
  };
}

/** Feeds of the steering input. Throws when the sizes do not fit the hook's width. */
export function steerFeeds(
  { hook, directions, strengths }: SteerEdit,
  width: number,
  { Tensor }: Ort,
): Feeds {
  const m = strengths.length;
  if (directions.length !== m * width) {
    throw new Error(
      `Steering at ${hook}: ${m} strengths and ${directions.length} direction elements; expected ${m} x ${width} = ${m * width}`,
    );
  }
  return {
    [STEER_STRENGTHS]: () => new Tensor('float32', strengths, [1, m]),
    [STEER_DIRECTIONS]: () => new Tensor('float32', directions, [m, width]),
  };
}
