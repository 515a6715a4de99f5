/**
 * out[b] = sum over own shards, in a fixed binary tree, of sum over entries of value * W_dec[latent].
 * S is a power of two; leaves is scratch [S,D]. Four decoder rows are read per pass over a leaf.
 */
export function decodeRows(
  rowStart: usize, latents: usize, values: usize, W_dec: usize, leaves: usize, out: usize, B: u32, S: u32, D: u32,
): void {
  const bytes: usize = <usize>D << 2;
  for (let b: u32 = 0; b < B; b++) {
    for (let s: u32 = 0; s < S; s++) {
      const at = rowStart + (<usize>(b * S + s) << 2);
      leaf(load<u32>(at), load<u32>(at, 4), latents, values, W_dec, S == 1 ? out + <usize>b * bytes : leaves + <usize>s * bytes, bytes);
    }
    for (let stride: u32 = 1; stride < S; stride <<= 1) {
      const final = stride << 1 == S;
      for (let s: u32 = 0; s < S; s += stride << 1) {
        const left = leaves + <usize>s * bytes;
        const right = left + <usize>stride * bytes;
        const to = final ? out + <usize>b * bytes : left;
        for (let p: usize = 0; p < bytes; p += 16) v128.store(to + p, f32x4.add(v128.load(left + p), v128.load(right + p)));
      }
    }
  }
}

/** to = sum of value * W_dec[latent] over entries [start, end), added in entry order. */
@inline function leaf(start: u32, end: u32, latents: usize, values: usize, W_dec: usize, to: usize, bytes: usize): void {
  memory.fill(to, 0, bytes);
  let j = start;
  for (; j + 4 <= end; j += 4) {
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
    for (let p: usize = 0; p < bytes; p += 16) {
      let sum = f32x4.add(v128.load(to + p), f32x4.mul(z0, v128.load(r0 + p)));
      sum = f32x4.add(sum, f32x4.mul(z1, v128.load(r1 + p)));
      sum = f32x4.add(sum, f32x4.mul(z2, v128.load(r2 + p)));
      v128.store(to + p, f32x4.add(sum, f32x4.mul(z3, v128.load(r3 + p))));
    }
  }
  for (; j < end; j++) {
    const row = W_dec + <usize>load<u32>(latents + (<usize>j << 2)) * bytes;
    const z = v128.load32_splat(values + (<usize>j << 2));
    for (let p: usize = 0; p < bytes; p += 16) {
      v128.store(to + p, f32x4.add(v128.load(to + p), f32x4.mul(z, v128.load(row + p))));
    }
  }
}
