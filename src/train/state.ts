/**
 * The state of a run as named arrays [F,...], whole, over ranks that each hold a slice of the latents.
 *
 * Every transfer is a piece of at most `pieceBytes`, so that saving, loading and starting a run take no memory of the size of its weights.
 */
import type { StreamedArray } from '../store/types.ts';
import type { Crew } from './crew.ts';
import type { ArrayInfo, RankArray } from './rank.ts';
import { arrayOf } from './window.ts';

const pieceBytes = 4 * 2 ** 20;
const elementBytes = { F32: 4, I32: 4, F64: 8 };

export type State = {
  /** Elements of the whole array. Throws when there is no such array. */
  lengthOf(name: string): number;
  /** The whole array, a copy. */
  read(name: string): Promise<RankArray>;
  /** Overwrites elements from `from` on, a multiple of the row width. */
  write(name: string, values: RankArray, from?: number): Promise<void>;
  /** Overwrites a whole array. Throws when the length is another one. */
  load(name: string, array: RankArray | StreamedArray): Promise<void>;
  /** All arrays, to be read piece by piece while no step runs. */
  streamed(): Map<string, StreamedArray>;
};

export function createState(crew: Crew, arrays: Readonly<Record<string, ArrayInfo>>): State {
  function infoOf(name: string): ArrayInfo {
    const info = arrays[name];
    if (!info)
      throw new Error(`A training state has no array ${name}; it has ${Object.keys(arrays).join(', ')}.`);
    return info;
  }
  const ranksOf = ({ shared }: ArrayInfo): number => (shared ? 1 : crew.ranks);

  /** Stretches of whole rows, each of one rank and short enough to move at once. */
  function* pieces(info: ArrayInfo, from: number, to: number) {
    const most = Math.min(pieceBytes, crew.window) / elementBytes[info.type];
    const longest = Math.max(1, Math.floor(most / info.width)) * info.width;
    for (let at = from; at < to; ) {
      const rank = Math.floor(at / info.length);
      const count = Math.min(longest, to - at, (rank + 1) * info.length - at);
      yield { rank, at, inRank: at - rank * info.length, count };
      at += count;
    }
  }

  async function write(name: string, values: RankArray, from = 0): Promise<void> {
    const info = infoOf(name);
    for (const { rank, at, inRank, count } of pieces(info, from, from + values.length)) {
      const piece = values.subarray(at - from, at - from + count);
      const targets = info.shared ? Array.from({ length: crew.ranks }, (_, r) => r) : [rank];
      for (const target of targets) await crew.write(target, name, inRank, piece);
    }
  }

  const lengthOf = (name: string): number => infoOf(name).length * ranksOf(infoOf(name));

  async function* stream(name: string): AsyncGenerator<RankArray> {
    const info = infoOf(name);
    let buffer: RankArray | undefined;
    for (const { rank, inRank, count } of pieces(info, 0, lengthOf(name))) {
      buffer ??= arrayOf(info.type, count);
      const piece = buffer.subarray(0, count);
      await crew.read(rank, name, inRank, piece);
      yield piece;
    }
  }

  return {
    lengthOf,
    write,
    async read(name) {
      const info = infoOf(name);
      const whole = arrayOf(info.type, lengthOf(name));
      for (const { rank, at, inRank, count } of pieces(info, 0, whole.length))
        await crew.read(rank, name, inRank, whole.subarray(at, at + count));
      return whole;
    },
    async load(name, array) {
      if (array.length !== lengthOf(name))
        throw new Error(`${name} holds ${array.length} numbers, this run needs ${lengthOf(name)}.`);
      if (!('pieces' in array)) return await write(name, array);
      let at = 0;
      for await (const piece of array.pieces()) {
        await write(name, piece as RankArray, at);
        at += piece.length;
      }
    },
    streamed: () =>
      new Map(
        Object.entries(arrays).map(([name, { type }]) => [
          name,
          { type, length: lengthOf(name), pieces: () => stream(name) },
        ]),
      ),
  };
}
