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

/**
 * The decoder side of four entries of one latent, so that four rows r_i (at e_i) stream in at once: gDec += sum over i of z_i r_i, with
 * z_i in lane i. Returns r_i . w in lane i.
 */
@inline export function fourDots(
  z: v128, e0: usize, e1: usize, e2: usize, e3: usize, w: usize, gDec: usize, bytes: usize,
): v128 {
  const z0 = f32x4.splat(f32x4.extract_lane(z, 0));
  const z1 = f32x4.splat(f32x4.extract_lane(z, 1));
  const z2 = f32x4.splat(f32x4.extract_lane(z, 2));
  const z3 = f32x4.splat(f32x4.extract_lane(z, 3));
  let dot0 = f32x4.splat(0);
  let dot1 = f32x4.splat(0);
  let dot2 = f32x4.splat(0);
  let dot3 = f32x4.splat(0);
  for (let p: usize = 0; p < bytes; p += 16) {
    const v = v128.load(w + p);
    const r0 = v128.load(e0 + p);
    const r1 = v128.load(e1 + p);
    const r2 = v128.load(e2 + p);
    const r3 = v128.load(e3 + p);
    dot0 = f32x4.add(dot0, f32x4.mul(r0, v));
    dot1 = f32x4.add(dot1, f32x4.mul(r1, v));
    dot2 = f32x4.add(dot2, f32x4.mul(r2, v));
    dot3 = f32x4.add(dot3, f32x4.mul(r3, v));
    const step = f32x4.add(
      f32x4.add(f32x4.mul(z0, r0), f32x4.mul(z1, r1)), f32x4.add(f32x4.mul(z2, r2), f32x4.mul(z3, r3)),
    );
    v128.store(gDec + p, f32x4.add(v128.load(gDec + p), step));
  }
  return lanes(horizontalSum(dot0), horizontalSum(dot1), horizontalSum(dot2), horizontalSum(dot3));
}

/** The encoder side: y += sum over i of d_i x_i, d_i in lane i. */
@inline export function addFour(d: v128, x0: usize, x1: usize, x2: usize, x3: usize, y: usize, bytes: usize): void {
  const d0 = f32x4.splat(f32x4.extract_lane(d, 0));
  const d1 = f32x4.splat(f32x4.extract_lane(d, 1));
  const d2 = f32x4.splat(f32x4.extract_lane(d, 2));
  const d3 = f32x4.splat(f32x4.extract_lane(d, 3));
  for (let p: usize = 0; p < bytes; p += 16) {
    const step = f32x4.add(
      f32x4.add(f32x4.mul(d0, v128.load(x0 + p)), f32x4.mul(d1, v128.load(x1 + p))),
      f32x4.add(f32x4.mul(d2, v128.load(x2 + p)), f32x4.mul(d3, v128.load(x3 + p))),
    );
    v128.store(y + p, f32x4.add(v128.load(y + p), step));
  }
}

/** Four floats as the lanes of one vector. */
@inline export function lanes(a: f32, b: f32, c: f32, d: f32): v128 {
  return f32x4.replace_lane(f32x4.replace_lane(f32x4.replace_lane(f32x4.splat(a), 1, b), 2, c), 3, d);
}
