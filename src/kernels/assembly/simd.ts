// Row primitives. D is a multiple of 4.

/** Sum of the four lanes, in a fixed order. */
@inline export function horizontalSum(v: v128): f32 {
  return (f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1)) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** a . b over D floats. */
@inline export function dot(a: usize, b: usize, D: u32): f32 {
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  const bytes: usize = <usize>D << 2;
  const even: usize = bytes & ~31;
  let p: usize = 0;
  for (; p < even; p += 32) {
    s0 = f32x4.add(s0, f32x4.mul(v128.load(a + p), v128.load(b + p)));
    s1 = f32x4.add(s1, f32x4.mul(v128.load(a + p, 16), v128.load(b + p, 16)));
  }
  if (p < bytes) s0 = f32x4.add(s0, f32x4.mul(v128.load(a + p), v128.load(b + p)));
  return horizontalSum(f32x4.add(s0, s1));
}

/** y += a * x over D floats. */
@inline export function axpy(a: f32, x: usize, y: usize, D: u32): void {
  const va = f32x4.splat(a);
  const bytes: usize = <usize>D << 2;
  for (let p: usize = 0; p < bytes; p += 16) {
    v128.store(y + p, f32x4.add(v128.load(y + p), f32x4.mul(va, v128.load(x + p))));
  }
}
