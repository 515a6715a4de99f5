import { horizontalSum } from './simd';

/** out[b] = scale * x[b] - bias, B rows of D floats. In place when out == x. */
export function centre(x: usize, bias: usize, scale: f32, out: usize, B: u32, D: u32): void {
  const bytes: usize = <usize>D << 2;
  const factor = f32x4.splat(scale);
  for (let b: u32 = 0; b < B; b++) {
    const row = <usize>b * bytes;
    for (let p: usize = 0; p < bytes; p += 16) {
      v128.store(out + row + p, f32x4.sub(f32x4.mul(factor, v128.load(x + row + p)), v128.load(bias + p)));
    }
  }
}

/** a += b over n floats (n a multiple of 4): one node of the reduction tree. */
export function sumRows(a: usize, b: usize, n: u32): void {
  const bytes: usize = <usize>n << 2;
  for (let p: usize = 0; p < bytes; p += 16) {
    v128.store(a + p, f32x4.add(v128.load(a + p), v128.load(b + p)));
  }
}

/** error[b] = target[b] - total[b], and squared[b] = |error[b]|^2 in float64. error may be target or total. */
export function rowError(target: usize, total: usize, error: usize, squared: usize, B: u32, D: u32): void {
  const bytes: usize = <usize>D << 2;
  for (let b: u32 = 0; b < B; b++) {
    const row = <usize>b * bytes;
    let sum = f32x4.splat(0);
    for (let p: usize = 0; p < bytes; p += 16) {
      const e = f32x4.sub(v128.load(target + row + p), v128.load(total + row + p));
      v128.store(error + row + p, e);
      sum = f32x4.add(sum, f32x4.mul(e, e));
    }
    f64.store(squared + (<usize>b << 3), <f64>horizontalSum(sum));
  }
}

/** sums[d] = sum over b of x[b,d], accumulated in float64 (D doubles). */
export function columnSums(x: usize, sums: usize, B: u32, D: u32): void {
  const bytes: usize = <usize>D << 2;
  memory.fill(sums, 0, <usize>D << 3);
  for (let b: u32 = 0; b < B; b++) {
    const row = x + <usize>b * bytes;
    for (let p: usize = 0; p < bytes; p += 8) {
      const pair = f64x2.promote_low_f32x4(v128.load64_zero(row + p));
      v128.store(sums + p * 2, f64x2.add(v128.load(sums + p * 2), pair));
    }
  }
}

/** Sum over all rows of |x[b]|^2, float64 across rows. */
export function squaredSum(x: usize, B: u32, D: u32): f64 {
  const bytes: usize = <usize>D << 2;
  let total: f64 = 0;
  for (let b: u32 = 0; b < B; b++) {
    const row = x + <usize>b * bytes;
    let sum = f32x4.splat(0);
    for (let p: usize = 0; p < bytes; p += 16) {
      const v = v128.load(row + p);
      sum = f32x4.add(sum, f32x4.mul(v, v));
    }
    total += <f64>horizontalSum(sum);
  }
  return total;
}
