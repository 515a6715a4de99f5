import { addFour, axpy, dot, fourDots, lanes } from './simd';

// Gradients of penalised variants: from dL/dz of an entry, through its activation function, to pre and to the latent's own scalars.
// With e the residual, dL/dxhat = -g e, and c the weight of the penalty:
//   d = -g e_b . w_dec                                         dL/dz of entry b
//   ReLU      dpre = d + c p z^(p-1)                           penalty c sum z^p
//   JumpReLU  dpre = d [pre > theta]                           penalty c sum [pre > theta]
//             dtheta = sum over |pre - theta| < eps / 2 of -(theta d + c) / eps
//   Gated     d' = -g e'_b . w_dec + c p pi^(p-1)              pi = gate_pre > 0, e' the residual of pi W_dec, W_dec held
//             dc = d' + e^r d [f > 0]                          c = W_enc x, what both paths share
//             db_gate = sum d',  db_mag = sum d [f > 0],  dr = sum e^r c d [f > 0]
// and then  dL/dw_dec = -g sum z_b e_b,  dL/dw_enc = sum dpre_b x_b,  as for TopK.

const jumprelu: u32 = 1;
const gated: u32 = 2;

let kind: u32 = 0;
let theta: f32 = 0;
let halfBand: f32 = 0;
let penalty: f32 = 0;
let power: f32 = 1;
let scale: f32 = 1;
let bGate: f32 = 0;
let bMag: f32 = 0;
let sumPre: f32 = 0;
let sum1: f32 = 0;
let sum2: f32 = 0;
let sum3: f32 = 0;
let bare: f32 = 0;
let weight: f32 = 0;

/** The derivative of the penalty at value v > 0, over its weight c. */
// @ts-ignore: decorator
@inline function slope(v: f32): f32 {
  return power == 1 ? 1 : power * Mathf.pow(v, power - 1);
}

/** Decoded value of an entry that stands in the list as v. */
// @ts-ignore: decorator
@inline function decoded(v: f32): f32 {
  return kind == gated ? max<f32>(0, scale * (v - bGate) + bMag) : v;
}

/** The gradient of the loss without and with the penalty; the two parts are added up apart. */
// @ts-ignore: decorator
@inline function balance(d: f32, s: f32): f32 {
  bare += d;
  weight += s;
  return d + penalty * s;
}

/** dL/dpre of an entry with value v, from d and, of Gated, the gate's d2; adds to the latent's sums. */
// @ts-ignore: decorator
@inline function through(v: f32, d: f32, d2: f32): f32 {
  let dPre: f32;
  if (kind == jumprelu) {
    // Listed without being active: it is in the band.
    if (v == 0 || v - theta < halfBand) {
      sum1 -= (theta * d + penalty) / (2 * halfBand);
      bare += theta * d;
      weight += 1;
    }
    dPre = v > 0 ? d : 0;
  } else if (kind == gated) {
    const c = v - bGate;
    const gate = balance(d2, slope(v));
    sum1 += gate;
    dPre = gate;
    if (scale * c + bMag > 0) {
      sum2 += d;
      sum3 += scale * c * d;
      dPre += scale * d;
    }
  } else dPre = balance(d, slope(v));
  sumPre += dPre;
  return dPre;
}

/**
 * Adds the gradients of latents [start, end) of one shard, over the entries in the lists, to gradients [end-start,2,D] (decoder row,
 * encoder row) and sums [6,end-start]: sum of dpre; JumpReLU: dtheta; Gated: db_gate, db_mag, dr; and of what the penalty acts on, the
 * gradient without it and its own over c. error2 is the gate's residual.
 */
export function accumulateThrough(
  variant: u32, start: u32, end: u32, D: u32, x: usize, g: f32, error: usize, error2: usize,
  latentStart: usize, rows: usize, values: usize, W_dec: usize, gradients: usize, sums: usize,
  c: f32, p: f32, band: f32, thetas: usize, scales: usize, bGates: usize, bMags: usize,
): void {
  const bytes: usize = <usize>D << 2;
  const plane: usize = <usize>(end - start) << 2;
  kind = variant;
  penalty = c;
  power = p;
  halfBand = band / 2;
  for (let i = start; i < end; i++) {
    const at = latentStart + (<usize>i << 2);
    const first = load<u32>(at);
    const last = load<u32>(at, 4);
    if (first == last) continue;
    const own: usize = <usize>i << 2;
    theta = variant == jumprelu ? load<f32>(thetas + own) : 0;
    if (variant == gated) {
      scale = load<f32>(scales + own);
      bGate = load<f32>(bGates + own);
      bMag = load<f32>(bMags + own);
    }
    sumPre = 0;
    sum1 = 0;
    sum2 = 0;
    sum3 = 0;
    bare = 0;
    weight = 0;
    const gDec = gradients + <usize>(i - start) * bytes * 2;
    latentGradient(first, last, rows, values, error, error2, x, W_dec + <usize>i * bytes, gDec, gDec + bytes, g, bytes);
    const to = sums + (<usize>(i - start) << 2);
    store<f32>(to, load<f32>(to) + sumPre);
    store<f32>(to + plane, load<f32>(to + plane) + sum1);
    store<f32>(to + 2 * plane, load<f32>(to + 2 * plane) + sum2);
    store<f32>(to + 3 * plane, load<f32>(to + 3 * plane) + sum3);
    store<f32>(to + 4 * plane, load<f32>(to + 4 * plane) + bare);
    store<f32>(to + 5 * plane, load<f32>(to + 5 * plane) + weight);
  }
}

/** Four entries per pass, so that four rows stream in at once. */
function latentGradient(
  first: u32, last: u32, rows: usize, values: usize, error: usize, error2: usize, x: usize,
  wDec: usize, gDec: usize, gEnc: usize, g: f32, bytes: usize,
): void {
  const D = <u32>(bytes >> 2);
  const two = kind == gated;
  let j = first;
  for (; j + 4 <= last; j += 4) {
    const r = rows + (<usize>j << 2);
    const row0 = <usize>load<u32>(r) * bytes;
    const row1 = <usize>load<u32>(r, 4) * bytes;
    const row2 = <usize>load<u32>(r, 8) * bytes;
    const row3 = <usize>load<u32>(r, 12) * bytes;
    const at = values + (<usize>j << 2);
    const v0 = load<f32>(at);
    const v1 = load<f32>(at, 4);
    const v2 = load<f32>(at, 8);
    const v3 = load<f32>(at, 12);
    const z = lanes(-g * decoded(v0), -g * decoded(v1), -g * decoded(v2), -g * decoded(v3));
    const dots = fourDots(z, error + row0, error + row1, error + row2, error + row3, wDec, gDec, bytes);
    const d0 = through(v0, -g * f32x4.extract_lane(dots, 0), two ? -g * dot(error2 + row0, wDec, D) : 0);
    const d1 = through(v1, -g * f32x4.extract_lane(dots, 1), two ? -g * dot(error2 + row1, wDec, D) : 0);
    const d2 = through(v2, -g * f32x4.extract_lane(dots, 2), two ? -g * dot(error2 + row2, wDec, D) : 0);
    const d3 = through(v3, -g * f32x4.extract_lane(dots, 3), two ? -g * dot(error2 + row3, wDec, D) : 0);
    addFour(lanes(d0, d1, d2, d3), x + row0, x + row1, x + row2, x + row3, gEnc, bytes);
  }
  for (; j < last; j++) {
    const row = <usize>load<u32>(rows + (<usize>j << 2)) * bytes;
    const v = load<f32>(values + (<usize>j << 2));
    const d = through(v, -g * dot(error + row, wDec, D), two ? -g * dot(error2 + row, wDec, D) : 0);
    axpy(-g * decoded(v), error + row, gDec, D);
    axpy(d, x + row, gEnc, D);
  }
}
