// BatchTopK: of all B rows together the n largest positive pre-activations, exactly. Entries stream in the order shard, row, latent; of
// equal values the earlier ones win, which is the same whoever holds which shard.
//
// A group keeps candidates in a list of `capacity` >= 2 n places. When it is full, the n best stay, and what comes later must exceed the
// worst of them. Positive floats order as their bits do, so the n-th largest is found by counting bits from the top.

/** state [3]: candidates there are, the bits that a new one must exceed, smallest bits kept. */
export function collectBatch(
  pre: usize, rows: u32, width: u32, firstRow: u32, firstLatent: u32, n: u32, capacity: u32,
  rowOf: usize, latents: usize, values: usize, bins: usize, state: usize,
): void {
  const bytes: usize = <usize>width << 2;
  const blocks: usize = bytes & ~15;
  let count = load<u32>(state);
  let limit = load<i32>(state, 4);
  for (let r: u32 = 0; r < rows; r++) {
    const row = pre + <usize>r * bytes;
    let t = i32x4.splat(limit);
    for (let p: usize = 0; p < bytes; p += 16) {
      if (p < blocks && !v128.any_true(i32x4.gt_s(v128.load(row + p), t))) continue;
      const end = min(p + 16, bytes);
      for (let q = p; q < end; q += 4) {
        const v = load<i32>(row + q);
        if (v <= limit) continue;
        const at: usize = <usize>count << 2;
        store<u32>(rowOf + at, firstRow + r);
        store<u32>(latents + at, firstLatent + <u32>(q >> 2));
        store<i32>(values + at, v);
        if (++count == capacity) {
          limit = nthLargest(values, count, n, bins);
          count = keepAbove(rowOf, latents, values, count, limit, n - countBits(values, count, limit));
          t = i32x4.splat(limit);
        }
      }
    }
  }
  store<u32>(state, count);
  store<i32>(state, limit, 4);
}

/** How many of n bits exceed `limit`. */
export function countBits(values: usize, n: u32, limit: i32): u32 {
  let count: u32 = 0;
  for (let j: usize = 0; j < <usize>n; j++) if (load<i32>(values + (j << 2)) > limit) count++;
  return count;
}

/** Keeps, in order, the candidates whose bits exceed `limit` and the first `room` that equal it. Returns how many. */
export function keepAbove(rowOf: usize, latents: usize, values: usize, n: u32, limit: i32, room: u32): u32 {
  let to: usize = 0;
  for (let j: usize = 0; j < <usize>n; j++) {
    const v = load<i32>(values + (j << 2));
    if (v < limit) continue;
    if (v == limit) {
      if (room == 0) continue;
      room--;
    }
    store<i32>(values + (to << 2), v);
    store<u32>(rowOf + (to << 2), load<u32>(rowOf + (j << 2)));
    store<u32>(latents + (to << 2), load<u32>(latents + (j << 2)));
    to++;
  }
  return <u32>to;
}

/**
 * bins [2048] of the next `width` bits of those values whose bits above agree with `prefix`:  (v >> (shift + width)) == prefix.
 */
export function countBins(values: usize, n: u32, prefix: i32, shift: u32, width: u32, bins: usize): void {
  memory.fill(bins, 0, <usize>2048 << 2);
  const mask = (1 << width) - 1;
  for (let j: usize = 0; j < <usize>n; j++) {
    const v = load<i32>(values + (j << 2));
    if (v >> (shift + width) != prefix) continue;
    const at = bins + (<usize>((v >> shift) & mask) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
}

function nthLargest(values: usize, count: u32, n: u32, bins: usize): i32 {
  let prefix: i32 = 0;
  let left = n;
  for (let round = 0; round < 3; round++) {
    const shift: u32 = round == 0 ? 20 : round == 1 ? 10 : 0;
    const width: u32 = round == 0 ? 11 : 10;
    countBins(values, count, prefix, shift, width, bins);
    let bin = (1 << width) - 1;
    for (; bin > 0; bin--) {
      const inBin = load<u32>(bins + (<usize>bin << 2));
      if (inBin >= left) break;
      left -= inBin;
    }
    prefix = (prefix << width) | bin;
  }
  return prefix;
}

/** Candidates in the order shard, row, latent -> entries by row and shard, latents ascending. cursor [B*S] is scratch. */
export function entriesByRow(
  rowOf: usize, candidates: usize, candidateValues: usize, n: u32, B: u32, S: u32, shardLatents: u32, cursor: usize,
  rowStart: usize, latents: usize, values: usize,
): void {
  memory.fill(rowStart, 0, (<usize>B * <usize>S + 1) << 2);
  for (let j: usize = 0; j < <usize>n; j++) {
    const at = rowStart + ((<usize>cellOf(rowOf, candidates, j, S, shardLatents) + 1) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  let total: u32 = 0;
  for (let c: usize = 0; c < <usize>B * <usize>S; c++) {
    store<u32>(cursor + (c << 2), total);
    total += load<u32>(rowStart + ((c + 1) << 2));
    store<u32>(rowStart + ((c + 1) << 2), total);
  }
  for (let j: usize = 0; j < <usize>n; j++) {
    const slot = cursor + (<usize>cellOf(rowOf, candidates, j, S, shardLatents) << 2);
    const to: usize = load<u32>(slot);
    store<u32>(slot, <u32>to + 1);
    store<u32>(latents + (to << 2), load<u32>(candidates + (j << 2)));
    store<u32>(values + (to << 2), load<u32>(candidateValues + (j << 2)));
  }
}

// @ts-ignore: decorator
@inline function cellOf(rowOf: usize, latents: usize, j: usize, S: u32, shardLatents: u32): u32 {
  return load<u32>(rowOf + (j << 2)) * S + load<u32>(latents + (j << 2)) / shardLatents;
}

/**
 * Entries by row and shard -> the same once per group of latents: group g holds latents [ends[g-1], ends[g]) of this group of shards.
 * groupStart [G*B*S+1], rows counted g B + b.
 */
export function entriesByPrefix(
  rowStart: usize, latents: usize, values: usize, B: u32, S: u32, ends: usize, G: u32,
  groupStart: usize, groupLatents: usize, groupValues: usize,
): void {
  let n: usize = 0;
  store<u32>(groupStart, 0);
  let low: u32 = 0;
  for (let g: u32 = 0; g < G; g++) {
    const high = load<u32>(ends + (<usize>g << 2));
    for (let c: u32 = 0; c < B * S; c++) {
      const last = load<u32>(rowStart + (<usize>(c + 1) << 2));
      for (let j = load<u32>(rowStart + (<usize>c << 2)); j < last; j++) {
        const latent = load<u32>(latents + (<usize>j << 2));
        if (latent < low || latent >= high) continue;
        store<u32>(groupLatents + (n << 2), latent);
        store<u32>(groupValues + (n << 2), load<u32>(values + (<usize>j << 2)));
        n++;
      }
      store<u32>(groupStart + (<usize>(g * B * S + c + 1) << 2), <u32>n);
    }
    low = high;
  }
}
