/** Bytes of a decoder row that a block of rows visits at a time: some 500 such pieces fit a second-level cache. */
const columnBytes: usize = 1024;

/**
 * out[b] = sum over own shards, in a fixed binary tree, of sum over entries of value * W_dec[latent].
 * S is a power of two; leaves is scratch [S,block,D]. Rows come in blocks: with many entries a row (AuxK) a shard's few
 * decoder rows then stay in the cache for a whole block; with few entries a block of 1 keeps the leaves there.
 */
export function decodeRows(
  rowStart: usize, latents: usize, values: usize, W_dec: usize, leaves: usize, out: usize, B: u32, S: u32, D: u32, block: u32,
): void {
  const bytes: usize = <usize>D << 2;
  const plane: usize = <usize>block * bytes;
  const chunk: usize = block > 1 ? min(bytes, columnBytes) : bytes;
  for (let first: u32 = 0; first < B; first += block) {
    const end = min(first + block, B);
    for (let s: u32 = 0; s < S; s++) {
      const leavesOfShard = S == 1 ? out + <usize>first * bytes : leaves + <usize>s * plane;
      for (let from: usize = 0; from < bytes; from += chunk) {
        const to = min(bytes, from + chunk);
        for (let b = first; b < end; b++) {
          const at = rowStart + (<usize>(b * S + s) << 2);
          leaf(load<u32>(at), load<u32>(at, 4), latents, values, W_dec, leavesOfShard + <usize>(b - first) * bytes, bytes, from, to);
        }
      }
    }
    const length = <usize>(end - first) * bytes;
    for (let stride: u32 = 1; stride < S; stride <<= 1) {
      const final = stride << 1 == S;
      for (let s: u32 = 0; s < S; s += stride << 1) {
        const left = leaves + <usize>s * plane;
        const right = left + <usize>stride * plane;
        const to = final ? out + <usize>first * bytes : left;
        for (let p: usize = 0; p < length; p += 16) v128.store(to + p, f32x4.add(v128.load(left + p), v128.load(right + p)));
      }
    }
  }
}

/** Bytes [from, end) of to = sum of value * W_dec[latent] over entries [start, last), added in entry order. */
// @ts-ignore: decorator
@inline function leaf(
  start: u32, last: u32, latents: usize, values: usize, W_dec: usize, to: usize, bytes: usize, from: usize, end: usize,
): void {
  memory.fill(to + from, 0, end - from);
  let j = start;
  for (; j + 4 <= last; j += 4) {
    const l = latents + (<usize>j << 2);
    const r0 = W_dec + <usize>load<u32>(l) * bytes;
    const r1 = W_dec + <usize>load<u32>(l, 4) * bytes;
    const r2 = W_dec + <usize>load<u32>(l, 8) * bytes;
    const r3 = W_dec + <usize>load<u32>(l, 12) * bytes;
    const v = values + (<usize>j << 2);
    const z0 = v128.load32_splat(v);
    const z1 = v128.load32_splat(v, 4);
    const z2 = v128.load32_splat(v, 8);
    const z3 = v128.load32_splat(v, 12);
    for (let p = from; p < end; p += 16) {
      let sum = f32x4.add(v128.load(to + p), f32x4.mul(z0, v128.load(r0 + p)));
      sum = f32x4.add(sum, f32x4.mul(z1, v128.load(r1 + p)));
      sum = f32x4.add(sum, f32x4.mul(z2, v128.load(r2 + p)));
      v128.store(to + p, f32x4.add(sum, f32x4.mul(z3, v128.load(r3 + p))));
    }
  }
  for (; j < last; j++) {
    const row = W_dec + <usize>load<u32>(latents + (<usize>j << 2)) * bytes;
    const z = v128.load32_splat(values + (<usize>j << 2));
    for (let p = from; p < end; p += 16) {
      v128.store(to + p, f32x4.add(v128.load(to + p), f32x4.mul(z, v128.load(row + p))));
    }
  }
}
