/**
 * One WebAssembly memory cut into named arrays, all allocated up front: growing would detach every view.
 * Offsets are 64-byte aligned. A memory ends at 4 GiB; a group of latents that needs more is split over more workers.
 */
const pageBytes = 65_536;
/** The linker puts the kernels' own few constants at the bottom. */
const reservedBytes = pageBytes;
export const maximumBytes = 65_535 * pageBytes;

export type Arena = {
  readonly memory: WebAssembly.Memory;
  /** The first byte that is not taken yet. */
  end(): number;
  f32(length: number): Float32Array;
  i32(length: number): Int32Array;
  u8(length: number): Uint8Array;
  f64(length: number): Float64Array;
};

/** A view's byte offset in its memory: what a kernel takes. */
export function pointer(view: ArrayBufferView): number {
  return view.byteOffset;
}

/** Bytes an array of n elements takes in an arena, alignment included. */
export function alignedBytes(elements: number, bytesPerElement: number): number {
  return Math.ceil((elements * bytesPerElement) / 64) * 64;
}

/**
 * An arena with room for `bytes`; `shared` between threads on request. Throws when that is more than one WebAssembly memory can hold.
 */
export function createArena(bytes: number, { shared = false } = {}): Arena {
  if (bytes + reservedBytes > maximumBytes)
    throw new Error(
      `These latents need ${(bytes / 2 ** 30).toFixed(1)} GiB in one WebAssembly memory, which ends at 4 GiB. Use more workers (and shards), fewer latents or a smaller batch.`,
    );
  const initial = Math.ceil((bytes + reservedBytes) / pageBytes);
  return openArena(new WebAssembly.Memory(shared ? { initial, maximum: initial, shared } : { initial }));
}

/** The arrays of a memory from byte `from` on; several arenas may divide up one memory. */
export function openArena(memory: WebAssembly.Memory, from = reservedBytes): Arena {
  let top = from;
  function take(elements: number, size: number): number {
    const at = top;
    top += alignedBytes(elements, size);
    if (top > memory.buffer.byteLength)
      throw new Error(
        `Arena of ${memory.buffer.byteLength} bytes is full: ${elements * size} more were asked for.`,
      );
    return at;
  }
  return {
    memory,
    end: () => top,
    f32: (n) => new Float32Array(memory.buffer, take(n, 4), n),
    i32: (n) => new Int32Array(memory.buffer, take(n, 4), n),
    u8: (n) => new Uint8Array(memory.buffer, take(n, 1), n),
    f64: (n) => new Float64Array(memory.buffer, take(n, 8), n),
  };
}
