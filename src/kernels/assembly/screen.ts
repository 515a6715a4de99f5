// Screening: products of numbers rounded to 8 bits say which latents can matter, and only those are computed in float32.
//
//     x = sx qx + ex,  w = sw qw + ew        q in [-most, most], s one scale a row, e what rounding left
//     |x w - sx sw qx qw| = |ex w + (x - ex) ew| <= |ex| |w| + (|x| + |ex|) |ew|
//
// All row widths P are multiples of 16, padded with zeros.

import { replaceWorst } from './heaps';

/**
 * x [rows,P] -> q [rows,P] as bytes with zero point 128, its scales [rows], and the sums of squares [rows] of x and of e. Rows too small to
 * be rounded become zero: e = x.
 */
export function quantiseRows(
  x: usize, rows: u32, P: u32, most: f32, q: usize, scales: usize, squares: usize, errors: usize,
): void {
  const bytes: usize = <usize>P << 2;
  for (let r: u32 = 0; r < rows; r++) {
    const row = x + <usize>r * bytes;
    let top = f32x4.splat(0);
    let sum = f32x4.splat(0);
    for (let p: usize = 0; p < bytes; p += 16) {
      const v = v128.load(row + p);
      top = f32x4.max(top, f32x4.abs(v));
      sum = f32x4.add(sum, f32x4.mul(v, v));
    }
    const largest = max(
      max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)), max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)),
    );
    const tiny = largest < 1e-30;
    const scale: f32 = tiny ? 0 : largest / most;
    const inverse = f32x4.splat(tiny ? 0 : most / largest);
    const step = f32x4.splat(scale);
    let error = f32x4.splat(0);
    let out = q + <usize>(r * P);
    for (let p: usize = 0; p < bytes; p += 64) {
      const v0 = v128.load(row + p), v1 = v128.load(row + p, 16), v2 = v128.load(row + p, 32), v3 = v128.load(row + p, 48);
      const q0 = f32x4.nearest(f32x4.mul(v0, inverse)), q1 = f32x4.nearest(f32x4.mul(v1, inverse));
      const q2 = f32x4.nearest(f32x4.mul(v2, inverse)), q3 = f32x4.nearest(f32x4.mul(v3, inverse));
      const e0 = f32x4.sub(v0, f32x4.mul(q0, step)), e1 = f32x4.sub(v1, f32x4.mul(q1, step));
      const e2 = f32x4.sub(v2, f32x4.mul(q2, step)), e3 = f32x4.sub(v3, f32x4.mul(q3, step));
      error = f32x4.add(error, f32x4.add(
        f32x4.add(f32x4.mul(e0, e0), f32x4.mul(e1, e1)), f32x4.add(f32x4.mul(e2, e2), f32x4.mul(e3, e3)),
      ));
      const packed = i8x16.narrow_i16x8_s(
        i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(q0), i32x4.trunc_sat_f32x4_s(q1)),
        i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(q2), i32x4.trunc_sat_f32x4_s(q3)),
      );
      v128.store(out, v128.xor(packed, i8x16.splat(-128)));
      out += 16;
    }
    const at: usize = <usize>r << 2;
    store<f32>(scales + at, scale);
    store<f32>(squares + at, laneSum(sum));
    store<f32>(errors + at, laneSum(error));
  }
}

function laneSum(v: v128): f32 {
  return (f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1)) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/**
 * Streams integer products [rows,width] past the rows' lists of candidates: latents whose upper bound
 *
 *     u = sx sw product + offset + a |w| + c |ew|
 *
 * is above the row's limit. scale (sw), norm (|w|), error (|ew|), offset [width] begin at latent `first`; groups: the same four, the largest of every
 * 16 latents, of which the scale is its inverse, `stride` bytes apart; rowScale (sx), a, c, limit [rows]. width is a multiple of 16. With K > 0 a row's
 * limit follows the K-th largest estimate, u - a |w| - c |ew|, minus margin [rows]: whenever its list has as many entries as due [rows] says. counts
 * [rows] of a row whose list stays near `capacity`, a multiple of 4, becomes capacity + 1, and the row is left alone. Scratch: 48 bytes.
 */
export function screenTile(
  product: usize, rows: u32, width: u32, first: u32, scale: usize, norm: usize, error: usize, offset: usize, groups: usize, stride: usize,
  rowScale: usize, a: usize, c: usize, margin: usize, limit: usize, K: u32, due: usize,
  counts: usize, latents: usize, uppers: usize, estimates: usize, capacity: u32, scratch: usize,
): void {
  const bytes: usize = <usize>width << 2;
  const zero = f32x4.splat(0);
  const never = f32x4.splat(-2147483648);
  // What a float32 step loses is far less.
  const lower = f32x4.splat(0.999999);
  for (let r: u32 = 0; r < rows; r++) {
    const at: usize = <usize>r << 2;
    let n = load<u32>(counts + at);
    if (n > capacity) continue;
    const row = product + <usize>r * bytes;
    const s = load<f32>(rowScale + at);
    const sx = f32x4.splat(s);
    const inverse = f32x4.splat(s > 0 ? 1 / s : 0);
    const ra = f32x4.splat(load<f32>(a + at));
    const rc = f32x4.splat(load<f32>(c + at));
    const list: usize = <usize>(r * capacity) << 2;
    let t = load<f32>(limit + at);
    let full = load<u32>(due + at);
    for (let g: usize = 0; g < bytes && n <= capacity; g += 256) {
      // The least product that can matter in each of four groups; where that is not above 0, every product may.
      const group = groups + (g >> 4);
      const rest = f32x4.sub(
        f32x4.sub(f32x4.splat(t), v128.load(group + 3 * stride)),
        f32x4.add(f32x4.mul(ra, v128.load(group + stride)), f32x4.mul(rc, v128.load(group + 2 * stride))),
      );
      const least = f32x4.mul(f32x4.mul(f32x4.mul(rest, v128.load(group)), inverse), lower);
      v128.store(scratch, i32x4.trunc_sat_f32x4_s(v128.bitselect(least, never, f32x4.gt(least, zero))), 32);
      const end = min(g + 256, bytes);
      for (let q = g; q < end && n <= capacity; q += 64) {
        const largest = i32x4.max_s(
          i32x4.max_s(v128.load(row + q), v128.load(row + q, 16)), i32x4.max_s(v128.load(row + q, 32), v128.load(row + q, 48)),
        );
        if (!v128.any_true(i32x4.gt_s(largest, v128.load32_splat(scratch + ((q - g) >> 4), 32)))) continue;
        for (let p = q; p < q + 64; p += 16) {
          const estimate = f32x4.add(
            f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(v128.load(row + p)), v128.load(scale + p)), sx), v128.load(offset + p),
          );
          const bound = f32x4.add(f32x4.mul(ra, v128.load(norm + p)), f32x4.mul(rc, v128.load(error + p)));
          const upper = f32x4.add(estimate, bound);
          let hits = i32x4.bitmask(f32x4.gt(upper, f32x4.splat(t)));
          if (!hits) continue;
          v128.store(scratch, upper);
          v128.store(scratch, estimate, 16);
          do {
            const lane: usize = <usize>ctz(hits) << 2;
            hits &= hits - 1;
            const u = load<f32>(scratch + lane);
            if (!(u > t)) continue;
            if (n == full) {
              if (K) t = tightened(estimates + list, n, K, t, load<f32>(margin + at));
              n = above(latents + list, uppers + list, estimates + list, n, t);
              if (n > capacity - (capacity >> 2)) {
                n = capacity + 1;
                break;
              }
              full = min(capacity, n + 4 * K);
            }
            const entry = list + (<usize>n << 2);
            store<u32>(latents + entry, first + <u32>((p + lane) >> 2));
            store<f32>(uppers + entry, u);
            store<f32>(estimates + entry, load<f32>(scratch + lane, 16));
            n++;
          } while (hits);
          if (n > capacity) break;
        }
      }
    }
    store<u32>(counts + at, n);
    store<f32>(limit + at, t);
    store<u32>(due + at, full);
  }
}

/** A little below the K-th largest estimate minus margin, if that is above t; positive ones only. */
function tightened(estimates: usize, n: u32, K: u32, t: f32, margin: f32): f32 {
  let low: f32 = max<f32>(t + margin, 0);
  if (countOver(estimates, n, low) < K) return t;
  let high: f32 = low;
  for (let j: u32 = 0; j < n; j++) high = max(high, load<f32>(estimates + (<usize>j << 2)));
  for (let round = 0; round < 8; round++) {
    const middle: f32 = low + (high - low) / 2;
    if (countOver(estimates, n, middle) < K) high = middle;
    else low = middle;
  }
  return max(t, low - margin);
}

/** How many of n numbers are above v; up to three behind them are overwritten. */
function countOver(numbers: usize, n: u32, v: f32): u32 {
  for (let j = n; j & 3; j++) store<f32>(numbers + (<usize>j << 2), -Infinity);
  const limit = f32x4.splat(v);
  let count = i32x4.splat(0);
  const end = numbers + (<usize>n << 2);
  for (let p = numbers; p < end; p += 16) count = i32x4.sub(count, f32x4.gt(v128.load(p), limit));
  return i32x4.extract_lane(count, 0) + i32x4.extract_lane(count, 1) + i32x4.extract_lane(count, 2) + i32x4.extract_lane(count, 3);
}

/** Keeps what is above t of a list, in its order; returns how many there are. */
function above(latents: usize, uppers: usize, estimates: usize, n: u32, t: f32): u32 {
  let kept: u32 = 0;
  for (let j: u32 = 0; j < n; j++) {
    const u = load<f32>(uppers + (<usize>j << 2));
    if (!(u > t)) continue;
    store<f32>(uppers + (<usize>kept << 2), u);
    store<f32>(estimates + (<usize>kept << 2), load<f32>(estimates + (<usize>j << 2)));
    store<u32>(latents + (<usize>kept << 2), load<u32>(latents + (<usize>j << 2)));
    kept++;
  }
  return kept;
}

/**
 * With K > 0 the limits rise for the last time. The candidates above them -> entries by row: rowStart [rows+1], latents, and the number of each entry. A row of
 * more than `capacity` has none. Returns how many there are.
 */
export function screenedEntries(
  counts: usize, margin: usize, limit: usize, K: u32, latents: usize, uppers: usize, estimates: usize, rows: u32, capacity: u32,
  rowStart: usize, kept: usize, numbers: usize,
): u32 {
  let n: u32 = 0;
  store<u32>(rowStart, 0);
  for (let r: u32 = 0; r < rows; r++) {
    const at: usize = <usize>r << 2;
    const list: usize = <usize>(r * capacity) << 2;
    const count = load<u32>(counts + at);
    if (count <= capacity) {
      let t = load<f32>(limit + at);
      if (K) t = tightened(estimates + list, count, K, t, load<f32>(margin + at));
      store<f32>(limit + at, t);
      const left = above(latents + list, uppers + list, estimates + list, count, t);
      for (let j: u32 = 0; j < left; j++, n++) {
        store<u32>(kept + (<usize>n << 2), load<u32>(latents + list + (<usize>j << 2)));
        store<u32>(numbers + (<usize>n << 2), n);
      }
    }
    store<u32>(rowStart + at, n, 4);
  }
  return n;
}

/**
 * values[number] = x_row w_latent + b_latent of every entry; entries by latent, as transposeEntries makes them. One order of summation for
 * all: 16 sums, of every 16th product each; then sums 0..3 and 4..7, 8..11 and 12..15 of the same place modulo 4, these two, lanes (0 + 1) + (2 + 3), and b.
 */
export function rescore(
  latentStart: usize, rows: usize, numbers: usize, F: u32, x: usize, W: usize, P: u32, b: usize, values: usize,
): void {
  const bytes: usize = <usize>P << 2;
  for (let i: u32 = 0; i < F; i++) {
    const start = load<u32>(latentStart + (<usize>i << 2));
    const end = load<u32>(latentStart + (<usize>i << 2), 4);
    if (start == end) continue;
    const w = W + <usize>i * bytes;
    const bias = load<f32>(b + (<usize>i << 2));
    let j = start;
    for (; j + 2 <= end; j += 2) {
      const entry: usize = <usize>j << 2;
      const x0 = x + <usize>load<u32>(rows + entry) * bytes;
      const x1 = x + <usize>load<u32>(rows + entry, 4) * bytes;
      let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
      let t0 = f32x4.splat(0), t1 = f32x4.splat(0), t2 = f32x4.splat(0), t3 = f32x4.splat(0);
      for (let p: usize = 0; p < bytes; p += 64) {
        const w0 = v128.load(w + p), w1 = v128.load(w + p, 16), w2 = v128.load(w + p, 32), w3 = v128.load(w + p, 48);
        s0 = f32x4.add(s0, f32x4.mul(w0, v128.load(x0 + p)));
        s1 = f32x4.add(s1, f32x4.mul(w1, v128.load(x0 + p, 16)));
        s2 = f32x4.add(s2, f32x4.mul(w2, v128.load(x0 + p, 32)));
        s3 = f32x4.add(s3, f32x4.mul(w3, v128.load(x0 + p, 48)));
        t0 = f32x4.add(t0, f32x4.mul(w0, v128.load(x1 + p)));
        t1 = f32x4.add(t1, f32x4.mul(w1, v128.load(x1 + p, 16)));
        t2 = f32x4.add(t2, f32x4.mul(w2, v128.load(x1 + p, 32)));
        t3 = f32x4.add(t3, f32x4.mul(w3, v128.load(x1 + p, 48)));
      }
      put(values, load<u32>(numbers + entry), laneSum(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3))) + bias);
      put(values, load<u32>(numbers + entry, 4), laneSum(f32x4.add(f32x4.add(t0, t1), f32x4.add(t2, t3))) + bias);
    }
    if (j == end) continue;
    const entry: usize = <usize>j << 2;
    const x0 = x + <usize>load<u32>(rows + entry) * bytes;
    let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
    for (let p: usize = 0; p < bytes; p += 64) {
      s0 = f32x4.add(s0, f32x4.mul(v128.load(w + p), v128.load(x0 + p)));
      s1 = f32x4.add(s1, f32x4.mul(v128.load(w + p, 16), v128.load(x0 + p, 16)));
      s2 = f32x4.add(s2, f32x4.mul(v128.load(w + p, 32), v128.load(x0 + p, 32)));
      s3 = f32x4.add(s3, f32x4.mul(v128.load(w + p, 48), v128.load(x0 + p, 48)));
    }
    put(values, load<u32>(numbers + entry), laneSum(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3))) + bias);
  }
}

function put(values: usize, number: u32, value: f32): void {
  store<f32>(values + (<usize>number << 2), value);
}

/** Entries by row, latents ascending -> heaps [rows,K] of the largest values above 0, which are zero at the beginning. */
export function keepBest(
  rowStart: usize, latents: usize, values: usize, rows: u32, heapValues: usize, heapLatents: usize, K: u32,
): void {
  for (let r: u32 = 0; r < rows; r++) {
    const heap: usize = <usize>(r * K) << 2;
    const end = load<u32>(rowStart + (<usize>r << 2), 4);
    for (let j = load<u32>(rowStart + (<usize>r << 2)); j < end; j++) {
      const v = load<f32>(values + (<usize>j << 2));
      if (v > load<f32>(heapValues + heap))
        replaceWorst(heapValues + heap, heapLatents + heap, K, v, load<u32>(latents + (<usize>j << 2)));
    }
  }
}
