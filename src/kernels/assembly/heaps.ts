// The K largest pre-activations of every row, exactly, of tiles that stream past; ties go to the lower latent, and nothing that is
// <= 0 is ever taken: z = ReLU(TopK(.)). Latents stream in ascending order, so an equal value comes later and is not better: `>` is
// the whole tie rule.
//
// Kept is a heap per row, worst at the root: [rows,K] of values and of latents.
//
//     first tiles   the values above a limit, gathered as keys; the K best of them and of the heap, ascending, are the new heap
//     later tiles   few values are above the root, and each takes its place: K ln(tiles) of them
//
// A key is one number of 64 bits, the bits of a positive float, which order like it, above the complement of the latent.

/** Keys at once: of more, the K best are kept. Their place, `keys`, is the caller's: threads may share one memory. */
const room = 2048;

/**
 * Streams a tile pre [rows,width] past the heaps of its rows: heapValues, heapLatents [rows,K], zero at the beginning.
 * Column c is latent firstLatent + c. keys [2048] of 8 bytes is scratch.
 */
export function selectTile(
  pre: usize, rows: u32, width: u32, firstLatent: u32, heapValues: usize, heapLatents: usize, K: u32, keys: usize,
): void {
  const few = <i32>K > room / 2 - 16 || firstLatent >= 4 * width;
  // Rows resemble each other: well below the K-th value of the last one there are somewhat more than K, and seldom fewer.
  let guess: f32 = 0;
  for (let r: u32 = 0; r < rows; r++) {
    const row = pre + (<usize>r * <usize>width << 2);
    const values = heapValues + (<usize>(r * K) << 2);
    const latents = heapLatents + (<usize>(r * K) << 2);
    if (few) {
      replaceInHeap(row, width, firstLatent, values, latents, K);
      continue;
    }
    const worst = load<f32>(values);
    if (!(guess > worst && renewHeap(row, width, firstLatent, values, latents, K, guess, keys)))
      renewHeap(row, width, firstLatent, values, latents, K, worst, keys);
    guess = 0.6 * load<f32>(values);
  }
}

/** Which of the 16 floats at p are above t, as bits. */
// @ts-ignore: decorator
@inline function above(p: usize, t: v128): i32 {
  return i8x16.bitmask(i8x16.narrow_i16x8_s(
    i16x8.narrow_i32x4_s(f32x4.gt(v128.load(p), t), f32x4.gt(v128.load(p, 16), t)),
    i16x8.narrow_i32x4_s(f32x4.gt(v128.load(p, 32), t), f32x4.gt(v128.load(p, 48), t)),
  ));
}

function replaceInHeap(row: usize, width: u32, firstLatent: u32, values: usize, latents: usize, K: u32): void {
  let worst = load<f32>(values);
  let c: u32 = 0;
  for (; c < (width & ~15); c += 16) {
    for (let bits = above(row + (<usize>c << 2), f32x4.splat(worst)); bits; bits &= bits - 1)
      worst = offer(row, c + <u32>ctz(bits), firstLatent, values, latents, K, worst);
  }
  for (; c < width; c++) worst = offer(row, c, firstLatent, values, latents, K, worst);
}

/** Puts column c in the place of the worst if it is above; returns what is the worst then. */
// @ts-ignore: decorator
@inline function offer(row: usize, c: u32, firstLatent: u32, values: usize, latents: usize, K: u32, worst: f32): f32 {
  const v = load<f32>(row + (<usize>c << 2));
  if (!(v > worst)) return worst;
  replaceWorst(values, latents, K, v, firstLatent + c);
  return load<f32>(values);
}

/**
 * The K best of the heap and of the row's values above `least` become the heap. False, and nothing is changed, when those may not be
 * the K best of all: `least` was above the K-th of them, and above the worst of the heap.
 */
function renewHeap(
  row: usize, width: u32, firstLatent: u32, values: usize, latents: usize, K: u32, least: f32, keys: usize,
): bool {
  const worst = load<f32>(values);
  const full: usize = keys + ((room - 16) << 3);
  let limit = least;
  let end = keys;
  let c: u32 = 0;
  for (; c < (width & ~15); c += 16) {
    for (let bits = above(row + (<usize>c << 2), f32x4.splat(limit)); bits; bits &= bits - 1) {
      const column = c + <u32>ctz(bits);
      end = push(end, row + (<usize>column << 2), firstLatent + column);
    }
    if (end <= full - (<usize>K << 3)) continue;
    const best = end - (<usize>K << 3);
    sortFrom(keys, end, best);
    limit = load<f32>(best, 4);
    memory.copy(keys, best, <usize>K << 3);
    end = keys + (<usize>K << 3);
  }
  for (; c < width; c++)
    if (load<f32>(row + (<usize>c << 2)) > limit) end = push(end, row + (<usize>c << 2), firstLatent + c);
  if (end == keys && least == worst) return true;
  end = pushHeap(end, values, latents, K);
  const n = min<u32>(<u32>(end - keys) >> 3, K);
  let key = end - (<usize>n << 3);
  sortFrom(keys, end, key);
  if (least > worst && (n < K || load<f32>(key, 4) < least)) return false;
  const free = <usize>(K - n) << 2;
  memory.fill(values, 0, free);
  memory.fill(latents, 0, free);
  for (let k = free; k < <usize>K << 2; k += 4, key += 8) pull(key, values + k, latents + k);
  return true;
}

/** Appends a key; returns the end after it. */
// @ts-ignore: decorator
@inline function push(end: usize, value: usize, latent: u32): usize {
  store<u32>(end, ~latent);
  store<u32>(end, load<u32>(value), 4);
  return end + 8;
}

// @ts-ignore: decorator
@inline function pull(key: usize, value: usize, latent: usize): void {
  store<u32>(latent, ~load<u32>(key));
  store<u32>(value, load<u32>(key, 4));
}

/** Appends what is taken of a heap. */
function pushHeap(end: usize, values: usize, latents: usize, K: u32): usize {
  for (let k: usize = 0; k < <usize>K << 2; k += 4)
    if (load<f32>(values + k) > 0) end = push(end, values + k, load<u32>(latents + k));
  return end;
}

/** Puts the keys [low,end), all different, in ascending order from the address `from` on, where the largest are then (quicksort, halves below `from` left as they are). */
function sortFrom(low: usize, end: usize, from: usize): void {
  while (end - low > 16 * 8) {
    const a = load<u64>(low);
    const b = load<u64>(low + (((end - low) >> 4) << 3));
    const c = load<u64>(end - 8);
    const pivot = max(min(a, b), min(max(a, b), c));
    let middle = low;
    // Without a branch: the processor cannot foresee it.
    for (let p = low; p < end; p += 8) {
      const key = load<u64>(p);
      store<u64>(p, load<u64>(middle));
      store<u64>(middle, key);
      middle += <usize>(key < pivot) << 3;
    }
    sortFrom(middle, end, from);
    if (middle <= from) return;
    end = middle;
  }
  for (let p = low + 8; p < end; p += 8) {
    const key = load<u64>(p);
    let q = p;
    for (; q > low && load<u64>(q - 8) > key; q -= 8) store<u64>(q, load<u64>(q - 8));
    store<u64>(q, key);
  }
}

/** Puts (value, latent) in the place of the root and lets it sink. Of two equal values the higher latent is worse. */
export function replaceWorst(values: usize, latents: usize, K: u32, value: f32, latent: u32): void {
  let at: u32 = 0;
  for (;;) {
    let child: u32 = 2 * at + 1;
    if (child >= K) break;
    let v = load<f32>(values + (<usize>child << 2));
    let l = load<u32>(latents + (<usize>child << 2));
    if (child + 1 < K) {
      const w = load<f32>(values + (<usize>child << 2), 4);
      const m = load<u32>(latents + (<usize>child << 2), 4);
      if (w < v || (w == v && m > l)) {
        child++;
        v = w;
        l = m;
      }
    }
    if (value < v || (value == v && latent > l)) break;
    store<f32>(values + (<usize>at << 2), v);
    store<u32>(latents + (<usize>at << 2), l);
    at = child;
  }
  store<f32>(values + (<usize>at << 2), value);
  store<u32>(latents + (<usize>at << 2), latent);
}

/** Turns every row's heap into a list, best first. keys as above. */
export function sortHeaps(heapValues: usize, heapLatents: usize, rows: u32, K: u32, keys: usize): void {
  for (let r: u32 = 0; r < rows; r++) {
    const values = heapValues + (<usize>(r * K) << 2);
    const latents = heapLatents + (<usize>(r * K) << 2);
    if (<i32>K > room) {
      sortHeap(values, latents, K);
      continue;
    }
    let key = pushHeap(keys, values, latents, K);
    sortFrom(keys, key, keys);
    let k: usize = 0;
    for (; key > keys; k += 4) pull((key -= 8), values + k, latents + k);
    memory.fill(values + k, 0, (<usize>K << 2) - k);
    memory.fill(latents + k, 0, (<usize>K << 2) - k);
  }
}

function sortHeap(values: usize, latents: usize, K: u32): void {
  for (let size = K - 1; size > 0; size--) {
    const v = load<f32>(values);
    const l = load<u32>(latents);
    const last = <usize>size << 2;
    replaceWorst(values, latents, size, load<f32>(values + last), load<u32>(latents + last));
    store<f32>(values + last, v);
    store<u32>(latents + last, l);
  }
}
