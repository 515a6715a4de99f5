import type { Comm, Shareable, SlotSizes } from './types.ts';

/** Memory that the ranks of one process share, structured-cloneable into workers. */
export type SharedSpace = {
  readonly size: number;
  /** [arrived, generation, aborted] */
  readonly barrier: SharedArrayBuffer;
  readonly slots: Readonly<Record<string, SharedArrayBuffer>>;
};

/** Two banks per slot: a rank may already write the next message of a slot while another still reads the last. */
const banks = 2;

/** Allocates the memory for `size` ranks. Bytes: see `sharedBytes`. */
export function createSharedSpace(size: number, slots: SlotSizes): SharedSpace {
  return {
    size,
    barrier: new SharedArrayBuffer(12),
    slots: Object.fromEntries(
      Object.entries(slots).map(([name, length]) => [name, new SharedArrayBuffer(banks * size * length * 4)]),
    ),
  };
}

export function sharedBytes(size: number, slots: SlotSizes): number {
  return Object.values(slots).reduce((sum, length) => sum + banks * size * length * 4, 0);
}

/** One rank's end of the shared memory. Blocks its thread while waiting: for worker threads only. */
export function threadComm(space: SharedSpace, rank: number): Comm {
  const { size } = space;
  const state = new Int32Array(space.barrier);
  const turn = new Map<string, number>();

  function barrier(): void {
    const generation = Atomics.load(state, 1);
    if (Atomics.add(state, 0, 1) === size - 1) {
      Atomics.store(state, 0, 0);
      Atomics.add(state, 1, 1);
      Atomics.notify(state, 1);
    } else
      while (Atomics.load(state, 1) === generation && !Atomics.load(state, 2))
        Atomics.wait(state, 1, generation, 1000);
    if (Atomics.load(state, 2)) throw new Error('Another worker of this training run failed.');
  }

  /** The ranks' parts of a slot, n elements each. */
  function parts<T extends Shareable>(slot: string, like: T): T[] {
    const buffer = space.slots[slot];
    const n = like.length;
    const capacity = (buffer?.byteLength ?? 0) / (banks * size * 4);
    if (!buffer || capacity < n)
      throw new Error(`Slot ${slot} holds ${capacity} elements a rank, ${n} are needed.`);
    const bank = turn.get(slot) ?? 0;
    turn.set(slot, 1 - bank);
    const View = like.constructor as new (b: SharedArrayBuffer, o: number, n: number) => T;
    return Array.from({ length: size }, (_, r) => new View(buffer, (bank * size + r) * capacity * 4, n));
  }

  return {
    rank,
    size,
    allGather(slot, mine, all) {
      const everyone = parts(slot, mine);
      everyone[rank]!.set(mine);
      barrier();
      for (const [r, part] of everyone.entries()) all.set(part, r * mine.length);
    },
    allReduceSum(slot, mine, total) {
      const everyone = parts(slot, mine);
      everyone[rank]!.set(mine);
      barrier();
      // Each rank adds up its own stretch of elements, in place over the first part of the tree.
      const low = Math.floor((rank * mine.length) / size);
      const high = Math.floor(((rank + 1) * mine.length) / size);
      for (let stride = 1; stride < size; stride *= 2)
        for (let r = 0; r + stride < size; r += 2 * stride) {
          const left = everyone[r]!;
          const right = everyone[r + stride]!;
          // float32 + float32 in float64, rounded once more to float32, is the float32 sum exactly.
          for (let i = low; i < high; i++) left[i] = left[i]! + right[i]!;
        }
      barrier();
      total.set(everyone[0]!);
    },
    abort() {
      Atomics.store(state, 2, 1);
      Atomics.notify(state, 1);
    },
  };
}
