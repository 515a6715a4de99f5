/**
 * Exact global top K from every shard's own top K. values [S,B,K] of ALL shards, each row sorted descending; ties go
 * to the lower shard, and within a shard to the lower latent, which is the order the shard lists already have.
 * Writes the entries of shards [first, first+own) by row and returns how many. A value <= 0 is dropped: z = ReLU(.).
 * indices [own,B,K] are shard-local; latents come out local to the group (shard offset added).
 */
export function mergeTopK(
  values: usize, indices: usize, S: u32, B: u32, K: u32, first: u32, own: u32, shardLatents: u32,
  heads: usize, rowStart: usize, latents: usize, kept: usize,
): u32 {
  const plane: usize = <usize>B * <usize>K;
  let n: u32 = 0;
  store<u32>(rowStart, 0);
  for (let b: u32 = 0; b < B; b++) {
    const row: usize = <usize>b * <usize>K;
    memory.fill(heads, 0, <usize>S << 2);
    for (let taken: u32 = 0; taken < K; taken++) {
      let best: f32 = 0;
      let from: i32 = -1;
      for (let s: u32 = 0; s < S; s++) {
        const head = load<u32>(heads + (<usize>s << 2));
        if (head >= K) continue;
        const v = load<f32>(values + ((<usize>s * plane + row + <usize>head) << 2));
        if (v > best) {
          best = v;
          from = s;
        }
      }
      if (from < 0) break; // nothing positive is left
      const at = heads + (<usize>from << 2);
      store<u32>(at, load<u32>(at) + 1);
    }
    for (let s: u32 = 0; s < own; s++) {
      const count = load<u32>(heads + (<usize>(first + s) << 2));
      const source: usize = <usize>(first + s) * plane + row;
      const sourceIndex: usize = <usize>s * plane + row;
      for (let k: u32 = 0; k < count; k++) {
        store<u32>(latents + (<usize>n << 2), load<u32>(indices + ((sourceIndex + <usize>k) << 2)) + s * shardLatents);
        store<f32>(kept + (<usize>n << 2), load<f32>(values + ((source + <usize>k) << 2)));
        n++;
      }
      store<u32>(rowStart + (<usize>(b * own + s + 1) << 2), n);
    }
  }
  return n;
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
 * counts[b] += its positive columns.
 */
export function auxPrepare(pre: usize, hidden: usize, B: u32, n: u32, counts: usize): void {
  const bytes: usize = <usize>n << 2;
  const zero = i32x4.splat(0);
  for (let b: u32 = 0; b < B; b++) {
    const row = pre + <usize>b * bytes;
    let count = i32x4.splat(0);
    for (let p: usize = 0; p < bytes; p += 16) {
      // Negative floats are negative integers: one integer max is the ReLU.
      const v = v128.andnot(i32x4.max_s(v128.load(row + p), zero), v128.load(hidden + p));
      v128.store(row + p, v);
      count = i32x4.sub(count, i32x4.gt_s(v, zero));
    }
    const at = counts + (<usize>b << 2);
    store<i32>(at, load<i32>(at) + laneSum(count));
  }
}

/** counts[b] += number of columns of row b whose bits exceed threshold[b]. */
export function countAbove(pre: usize, threshold: usize, B: u32, n: u32, counts: usize): void {
  const bytes: usize = <usize>n << 2;
  for (let b: u32 = 0; b < B; b++) {
    const row = pre + <usize>b * bytes;
    const t = i32x4.splat(load<i32>(threshold + (<usize>b << 2)));
    let count = i32x4.splat(0);
    for (let p: usize = 0; p < bytes; p += 16) count = i32x4.sub(count, i32x4.gt_s(v128.load(row + p), t));
    const at = counts + (<usize>b << 2);
    store<i32>(at, load<i32>(at) + laneSum(count));
  }
}

function laneSum(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
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
