// Selection by a threshold per latent: everything above it is active, so a row has as many active latents as it likes.
//
//   listed  pre > limit_i         limit = theta, lowered where a gradient also reaches latents just below it
//   value   pre where pre > theta_i, else 0
//
// A shard's list is ordered by row, then latent. `capacity` entries fit; beyond it entries are only counted.

/**
 * Appends the listed columns of a tile pre [rows,width] of one shard to latents, values at `at`; column c is latent
 * firstLatent + c of the group; limit, theta, fired [width] are those of the shard. rowEnd [rows] gets the place after each row; fired[c] += 1
 * for every active entry. Returns the new place, which exceeds `capacity` when entries were dropped.
 */
export function collectAbove(
  pre: usize, rows: u32, width: u32, firstLatent: u32, limit: usize, theta: usize, fired: usize,
  latents: usize, values: usize, at: u32, capacity: u32, rowEnd: usize,
): u32 {
  const bytes: usize = <usize>width << 2;
  const blocks: usize = bytes & ~15;
  for (let r: u32 = 0; r < rows; r++) {
    const row = pre + <usize>r * bytes;
    for (let p: usize = 0; p < blocks; p += 16) {
      if (!v128.any_true(f32x4.gt(v128.load(row + p), v128.load(limit + p)))) continue;
      for (let q = p; q < p + 16; q += 4) at = collectOne(row, q, firstLatent, limit, theta, fired, latents, values, at, capacity);
    }
    for (let q = blocks; q < bytes; q += 4) at = collectOne(row, q, firstLatent, limit, theta, fired, latents, values, at, capacity);
    store<u32>(rowEnd + (<usize>r << 2), at);
  }
  return at;
}

// @ts-ignore: decorator
@inline function collectOne(
  row: usize, q: usize, firstLatent: u32, limit: usize, theta: usize, fired: usize,
  latents: usize, values: usize, at: u32, capacity: u32,
): u32 {
  const v = load<f32>(row + q);
  if (!(v > load<f32>(limit + q))) return at;
  const on = v > load<f32>(theta + q);
  if (on) store<u32>(fired + q, load<u32>(fired + q) + 1);
  if (at < capacity) {
    store<u32>(latents + (<usize>at << 2), firstLatent + <u32>(q >> 2));
    store<f32>(values + (<usize>at << 2), on ? v : 0);
  }
  return at + 1;
}

/**
 * The lists of S shards, each of `capacity` places, -> entries by row and shard. rowEnd [S,B] as `collectAbove` leaves it; rowStart [B*S+1].
 */
export function orderByRow(
  shardLatents: usize, shardValues: usize, rowEnd: usize, B: u32, S: u32, capacity: u32,
  rowStart: usize, latents: usize, values: usize,
): void {
  let n: usize = 0;
  store<u32>(rowStart, 0);
  for (let b: u32 = 0; b < B; b++) {
    for (let s: u32 = 0; s < S; s++) {
      const end = rowEnd + (<usize>(s * B + b) << 2);
      const from: u32 = b > 0 ? load<u32>(end - 4) : 0;
      const count: usize = load<u32>(end) - from;
      const source: usize = (<usize>s * <usize>capacity + <usize>from) << 2;
      memory.copy(latents + (n << 2), shardLatents + source, count << 2);
      memory.copy(values + (n << 2), shardValues + source, count << 2);
      n += count;
      store<u32>(rowStart + (<usize>(b * S + s + 1) << 2), <u32>n);
    }
  }
}

/** Sum over n entries of value - theta[latent] where value > 0: how far active latents lie above their thresholds. */
export function excess(latents: usize, values: usize, n: u32, theta: usize): f64 {
  let sum: f64 = 0;
  for (let j: usize = 0; j < <usize>n; j++) {
    const v = load<f32>(values + (j << 2));
    if (v > 0) sum += <f64>(v - load<f32>(theta + (<usize>load<u32>(latents + (j << 2)) << 2)));
  }
  return sum;
}

/** sum over n entries of value^p, value > 0, in float64. */
export function powerSum(values: usize, n: u32, p: f32): f64 {
  let sum: f64 = 0;
  for (let j: usize = 0; j < <usize>n; j++) {
    const v = load<f32>(values + (j << 2));
    if (v > 0) sum += p == 1 ? <f64>v : <f64>Mathf.pow(v, p);
  }
  return sum;
}

/** Gated: f = ReLU(e^r (pi - b_gate) + b_mag) of n entries with pi = gate_pre > 0; scale = e^r [F]. */
export function gatedMagnitudes(
  latents: usize, gates: usize, n: u32, scale: usize, b_gate: usize, b_mag: usize, values: usize,
): void {
  for (let j: usize = 0; j < <usize>n; j++) {
    const i: usize = <usize>load<u32>(latents + (j << 2)) << 2;
    const c = load<f32>(gates + (j << 2)) - load<f32>(b_gate + i);
    store<f32>(values + (j << 2), max<f32>(0, load<f32>(scale + i) * c + load<f32>(b_mag + i)));
  }
}
