// Selection: by threshold, and the K largest of every row out of the lists of all groups (heaps.ts makes those). Ties go to the
// lower latent: `>` within a group, where latents ascend, and the lower group between groups.

/**
 * The entries of a tile pre [rows,width] that are above the threshold of their latent: value = scale * pre + shift, kept where it is
 * positive; scale and shift may be 0 (none: value = pre). threshold, scale, shift [width] begin at the tile's first latent. Writes entries
 * by row (rowStart [rows+1], latents, values; room for rows * width) and returns how many there are.
 */
export function selectAbove(
  pre: usize, rows: u32, width: u32, firstLatent: u32, threshold: usize, scale: usize, shift: usize,
  rowStart: usize, latents: usize, values: usize,
): u32 {
  const bytes: usize = <usize>width << 2;
  const blocks: usize = bytes & ~15;
  let n: u32 = 0;
  store<u32>(rowStart, 0);
  for (let r: u32 = 0; r < rows; r++) {
    const row = pre + <usize>r * bytes;
    for (let p: usize = 0; p < bytes; ) {
      if (p < blocks && !v128.any_true(f32x4.gt(v128.load(row + p), v128.load(threshold + p)))) {
        p += 16;
        continue;
      }
      const end = p < blocks ? p + 16 : bytes;
      for (; p < end; p += 4) {
        let v = load<f32>(row + p);
        if (!(v > load<f32>(threshold + p))) continue;
        if (scale) v = load<f32>(scale + p) * v + load<f32>(shift + p);
        if (!(v > 0)) continue;
        store<u32>(latents + (<usize>n << 2), firstLatent + <u32>(p >> 2));
        store<f32>(values + (<usize>n << 2), v);
        n++;
      }
    }
    store<u32>(rowStart + (<usize>(r + 1) << 2), n);
  }
  return n;
}

/**
 * The exact global top `take` from the lists of all groups: values [groups,B,K], best first, take <= K. Writes this group's
 * winners by row and shard (latents local to the group, best first within a shard) and returns how many there are.
 */
export function mergeTopK(
  values: usize, groups: u32, B: u32, K: u32, take: u32, group: u32, ownLatents: usize, own: u32, shardLatents: u32,
  heads: usize, rowStart: usize, latents: usize, kept: usize,
): u32 {
  const plane: usize = <usize>B * <usize>K;
  let n: u32 = 0;
  store<u32>(rowStart, 0);
  for (let b: u32 = 0; b < B; b++) {
    const row: usize = <usize>b * <usize>K;
    memory.fill(heads, 0, <usize>groups << 2);
    for (let taken: u32 = 0; taken < take; taken++) {
      let best: f32 = 0;
      let from: i32 = -1;
      for (let g: u32 = 0; g < groups; g++) {
        const head = load<u32>(heads + (<usize>g << 2));
        if (head >= K) continue;
        const v = load<f32>(values + ((<usize>g * plane + row + <usize>head) << 2));
        if (v > best) {
          best = v;
          from = g;
        }
      }
      if (from < 0) break; // nothing positive is left
      const at = heads + (<usize>from << 2);
      store<u32>(at, load<u32>(at) + 1);
    }
    const count = load<u32>(heads + (<usize>group << 2));
    const source = values + ((<usize>group * plane + row) << 2);
    const sourceLatent = ownLatents + (row << 2);
    for (let s: u32 = 0; s < own; s++) {
      for (let k: u32 = 0; k < count; k++) {
        const latent = load<u32>(sourceLatent + (<usize>k << 2));
        if (latent / shardLatents != s) continue;
        store<u32>(latents + (<usize>n << 2), latent);
        store<f32>(kept + (<usize>n << 2), load<f32>(source + (<usize>k << 2)));
        n++;
      }
      store<u32>(rowStart + (<usize>(b * own + s + 1) << 2), n);
    }
  }
  return n;
}

/** out [rows,n] = the columns of pre [rows,width] named by columns [n] (their place in the tile). */
export function gatherColumns(pre: usize, rows: u32, width: u32, columns: usize, n: u32, out: usize): void {
  for (let r: u32 = 0; r < rows; r++) {
    const row = pre + (<usize>(r * width) << 2);
    for (let c: u32 = 0; c < n; c++) {
      store<f32>(out, load<f32>(row + (<usize>load<u32>(columns + (<usize>c << 2)) << 2)));
      out += 4;
    }
  }
}

/**
 * Entries by row -> entries by latent (counting sort; rows stay ascending within a latent).
 * rowStart [B*S+1]; latentStart [F+1] is written; cursor [F] is scratch.
 */
export function transposeEntries(
  rowStart: usize, latents: usize, values: usize, B: u32, S: u32, F: u32,
  latentStart: usize, cursor: usize, rows: usize, sorted: usize,
): void {
  const n = load<u32>(rowStart + (<usize>(B * S) << 2));
  memory.fill(latentStart, 0, (<usize>F + 1) << 2);
  for (let j: u32 = 0; j < n; j++) {
    const at = latentStart + ((<usize>load<u32>(latents + (<usize>j << 2)) + 1) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  let total: u32 = 0;
  for (let i: u32 = 0; i < F; i++) {
    store<u32>(cursor + (<usize>i << 2), total);
    total += load<u32>(latentStart + ((<usize>i + 1) << 2));
    store<u32>(latentStart + ((<usize>i + 1) << 2), total);
  }
  let j: u32 = 0;
  for (let b: u32 = 0; b < B; b++) {
    const end = load<u32>(rowStart + (<usize>((b + 1) * S) << 2));
    for (; j < end; j++) {
      const slot = cursor + (<usize>load<u32>(latents + (<usize>j << 2)) << 2);
      const at: usize = load<u32>(slot);
      store<u32>(slot, <u32>at + 1);
      store<u32>(rows + (at << 2), b);
      store<f32>(sorted + (at << 2), load<f32>(values + (<usize>j << 2)));
    }
  }
}

// AuxK keeps the k largest positive pre-activations of each row over ALL dead latents, wherever they live. Positive floats
// order like their bits, so the k-th value is found by bisection over bits: each group counts its own columns above a
// row's threshold, the counts are added up, and the next threshold follows. Traffic: B integers a round, however many
// latents are dead.

/**
 * pre [B,n] (n a multiple of 4) becomes ReLU(pre) with the columns of hidden[n] != 0 (all ones: ~0) set to 0.
 * counts[b] += its positive columns, maxima[b] = the largest bits seen.
 */
export function auxPrepare(pre: usize, hidden: usize, B: u32, n: u32, counts: usize, maxima: usize): void {
  const bytes: usize = <usize>n << 2;
  const zero = i32x4.splat(0);
  for (let b: u32 = 0; b < B; b++) {
    const row = pre + <usize>b * bytes;
    let count = i32x4.splat(0);
    let most = i32x4.splat(0);
    for (let p: usize = 0; p < bytes; p += 16) {
      // Negative floats are negative integers: one integer max is the ReLU.
      const v = v128.andnot(i32x4.max_s(v128.load(row + p), zero), v128.load(hidden + p));
      v128.store(row + p, v);
      count = i32x4.sub(count, i32x4.gt_s(v, zero));
      most = i32x4.max_s(most, v);
    }
    const at = counts + (<usize>b << 2);
    store<i32>(at, load<i32>(at) + laneSum(count));
    const top = maxima + (<usize>b << 2);
    store<i32>(top, max(load<i32>(top), laneMax(most)));
  }
}

/** counts[b] += number of columns of row b whose bits exceed threshold[b]; a row with the largest threshold there is, is skipped. */
export function countAbove(pre: usize, threshold: usize, B: u32, n: u32, counts: usize): void {
  const bytes: usize = <usize>n << 2;
  for (let b: u32 = 0; b < B; b++) {
    const row = pre + <usize>b * bytes;
    const limit = load<i32>(threshold + (<usize>b << 2));
    if (limit == i32.MAX_VALUE) continue;
    const t = i32x4.splat(limit);
    let count = i32x4.splat(0);
    for (let p: usize = 0; p < bytes; p += 16) count = i32x4.sub(count, i32x4.gt_s(v128.load(row + p), t));
    const at = counts + (<usize>b << 2);
    store<i32>(at, load<i32>(at) + laneSum(count));
  }
}

function laneSum(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
}

function laneMax(v: v128): i32 {
  return max(
    max(i32x4.extract_lane(v, 0), i32x4.extract_lane(v, 1)), max(i32x4.extract_lane(v, 2), i32x4.extract_lane(v, 3)),
  );
}

/**
 * Appends the selected columns of one row and shard to the entries: bits > threshold, and of those equal to it the first
 * room (its 32-bit counter at `room` is decremented). columns[c] is the group's latent of column c. Returns the new count.
 */
export function auxCollect(
  row: usize, n: u32, threshold: i32, room: usize, columns: usize, latents: usize, values: usize, at: u32,
): u32 {
  const t = i32x4.splat(threshold - 1);
  const bytes: usize = <usize>n << 2;
  for (let p: usize = 0; p < bytes; p += 16) {
    if (!v128.any_true(i32x4.gt_s(v128.load(row + p), t))) continue;
    for (let q: usize = p; q < p + 16; q += 4) {
      const v = load<i32>(row + q);
      if (v < threshold || v <= 0) continue;
      if (v == threshold) {
        const left = load<i32>(room);
        if (left <= 0) continue;
        store<i32>(room, left - 1);
      }
      store<u32>(latents + (<usize>at << 2), load<u32>(columns + q));
      store<i32>(values + (<usize>at << 2), v);
      at++;
    }
  }
  return at;
}

/**
 * n floats v become |v| with the sign in the last bit of the fraction, so that the largest magnitudes are the largest values; 0 stays 0.
 * A magnitude changes by at most one in its last place.
 */
export function foldSign(values: usize, n: u32): void {
  const end = values + (<usize>n << 2);
  for (let p = values; p < end; p += 4) {
    const bits = load<u32>(p);
    const magnitude = bits & 0x7ffffffe;
    store<u32>(p, magnitude == 0 ? 0 : magnitude | (bits >>> 31));
  }
}

/** The other way round. */
export function unfoldSign(values: usize, n: u32): void {
  const end = values + (<usize>n << 2);
  for (let p = values; p < end; p += 4) {
    const bits = load<u32>(p);
    store<u32>(p, (bits & 0x7ffffffe) | (bits << 31));
  }
}
