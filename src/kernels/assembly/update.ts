import { addFour, axpy, dot, fourDots, horizontalSum } from './simd';

// Backward and Adam of one latent at a time, so that its gradient rows never leave the first-level cache.
//
// With r = the rows this latent is trained on (e for main entries, the AuxK residual for dead ones) and
// dL/dxhat = -g r:
//   dL/dpre_b = -g r_b . w_dec            (z_b > 0; zero elsewhere)
//   dL/dw_dec = -g sum_b z_b r_b,         projected: G -= (G . w) w for the unit row w
//   dL/dw_enc = sum_b dL/dpre_b x_b,      dL/db_enc = sum_b dL/dpre_b,   x already centred by b_dec
//   dL/db_dec gets - (dL/db_enc) w_enc,   summed over the latents of a shard in ascending order

/**
 * Rows in a block of `accumulateAux`: their error and x rows (2 * 128 * D floats) stay in a second-level cache while all
 * dead latents of a shard visit them. A dead latent has hundreds of entries where a live one has a handful.
 */
const blockRows: u32 = 128;

/**
 * Gradients of the n dead latents auxLatents [n] of a shard into gradients [n,2,D] (decoder row, encoder row) and
 * sums [n] (dL/db_enc). cursor [n] is scratch.
 */
export function accumulateAux(
  auxLatents: usize, n: u32, B: u32, D: u32, xCentred: usize, g: f32, error: usize,
  latentStart: usize, rows: usize, values: usize, W_dec: usize, gradients: usize, sums: usize, cursor: usize,
): void {
  const bytes: usize = <usize>D << 2;
  memory.fill(gradients, 0, n * bytes * 2);
  memory.fill(sums, 0, <usize>n << 2);
  for (let c: u32 = 0; c < n; c++) {
    const latent = load<u32>(auxLatents + (<usize>c << 2));
    store<u32>(cursor + (<usize>c << 2), load<u32>(latentStart + (<usize>latent << 2)));
  }
  for (let end: u32 = blockRows; end < B + blockRows; end += blockRows) {
    for (let c: u32 = 0; c < n; c++) {
      const latent = load<u32>(auxLatents + (<usize>c << 2));
      const first = load<u32>(cursor + (<usize>c << 2));
      const limit = load<u32>(latentStart + (<usize>latent << 2), 4);
      let last = first;
      while (last < limit && load<u32>(rows + (<usize>last << 2)) < end) last++;
      if (last == first) continue;
      const to = gradients + <usize>c * bytes * 2;
      const sum = sums + (<usize>c << 2);
      store<f32>(sum, load<f32>(sum) + gradient(
        first, last, rows, values, error, xCentred, W_dec + <usize>latent * bytes, to, to + bytes, g, bytes,
      ));
      store<u32>(cursor + (<usize>c << 2), last);
    }
  }
}

/**
 * One optimizer step for latents [start, end) of one shard, each from its own entries on the error rows.
 * xCentred, error [B,D]; latentStart/rows/values: entries by latent; weights and moments [F,D], b_enc and moments [F].
 * auxIndex [F] is 1 + the latent's place in auxGradients [n,2,D] and auxSums [n] if it learns from AuxK, else 0.
 * biasGradient [D] collects the encoder's share of dL/db_dec. gradients is scratch [2,D].
 * stepSize = lr / (1 - beta1^t), encoderStep the same of W_enc; secondScale = 1 / sqrt(1 - beta2^t). freeze: bit 0 decoder, bit 1 encoder,
 * bit 2 soft: decoder rows stay within cosine 0.8 of W_start [F,D].
 * Multi-TopK: wideStart/wideRows/wideValues, entries by latent of the wider code, with their own residual and factor, whose
 * gradients are added before anything else happens to the sum; wideStart 0 is off.
 * biasSums [n], where it is not 0: dL/db_enc of latents in auxGradients, where it is not the sum of dL/dpre.
 */
export function updateLatents(
  start: u32, end: u32, D: u32, xCentred: usize, g: f32, error: usize, latentStart: usize, rows: usize, values: usize,
  auxIndex: usize, auxGradients: usize, auxSums: usize,
  W_enc: usize, mEnc: usize, vEnc: usize, W_dec: usize, mDec: usize, vDec: usize, b_enc: usize, mBias: usize, vBias: usize,
  biasGradient: usize, gradients: usize, stepSize: f32, secondScale: f32, beta1: f32, beta2: f32, eps: f32, freeze: u32, W_start: usize,
  wideG: f32, wideError: usize, wideStart: usize, wideRows: usize, wideValues: usize, encoderStep: f32, biasSums: usize,
): void {
  const bytes: usize = <usize>D << 2;
  for (let i = start; i < end; i++) {
    const offset = <usize>i * bytes;
    const wDec = W_dec + offset;
    const wEnc = W_enc + offset;
    const aux: usize = load<u32>(auxIndex + (<usize>i << 2));
    let gDec = gradients;
    let sum: f32 = 0;
    if (aux > 0) {
      gDec = auxGradients + (aux - 1) * bytes * 2;
      sum = load<f32>(auxSums + ((aux - 1) << 2));
    } else {
      const at = latentStart + (<usize>i << 2);
      const first = load<u32>(at);
      const last = load<u32>(at, 4);
      memory.fill(gDec, 0, bytes << 1);
      if (last > first) sum = gradient(first, last, rows, values, error, xCentred, wDec, gDec, gDec + bytes, g, bytes);
    }
    const gEnc = gDec + bytes;
    if (wideStart != 0) {
      const at = wideStart + (<usize>i << 2);
      const first = load<u32>(at);
      const last = load<u32>(at, 4);
      if (last > first) sum += gradient(first, last, wideRows, wideValues, wideError, xCentred, wDec, gDec, gEnc, wideG, bytes);
    }
    if (sum != 0) axpy(-sum, wEnc, biasGradient, D);
    if (!(freeze & 1)) {
      axpy(-dot(gDec, wDec, D), wDec, gDec, D);
      adam(wDec, mDec + offset, vDec + offset, gDec, bytes, stepSize, secondScale, beta1, beta2, eps);
      normalise(wDec, D);
      if (freeze & 4) keepInCone(wDec, W_start + offset, D);
    }
    if (!(freeze & 2)) {
      adam(wEnc, mEnc + offset, vEnc + offset, gEnc, bytes, encoderStep, secondScale, beta1, beta2, eps);
      const gBias: f32 = biasSums != 0 && aux > 0 ? load<f32>(biasSums + ((aux - 1) << 2)) : sum;
      adamScalar(b_enc + (<usize>i << 2), mBias + (<usize>i << 2), vBias + (<usize>i << 2), gBias, stepSize, secondScale, beta1, beta2, eps);
    }
  }
}

/** Adds this latent's gradients into gDec and gEnc, four entries per pass so that four rows stream in at once; returns dL/db_enc. */
function gradient(
  first: u32, last: u32, rows: usize, values: usize, error: usize, x: usize, wDec: usize, gDec: usize, gEnc: usize, g: f32, bytes: usize,
): f32 {
  let sum: f32 = 0;
  let j = first;
  for (; j + 4 <= last; j += 4) {
    const r = rows + (<usize>j << 2);
    const row0 = <usize>load<u32>(r) * bytes;
    const row1 = <usize>load<u32>(r, 4) * bytes;
    const row2 = <usize>load<u32>(r, 8) * bytes;
    const row3 = <usize>load<u32>(r, 12) * bytes;
    const z = f32x4.mul(f32x4.splat(-g), v128.load(values + (<usize>j << 2)));
    const dots = fourDots(z, error + row0, error + row1, error + row2, error + row3, wDec, gDec, bytes);
    const d = f32x4.mul(f32x4.splat(-g), dots);
    sum += horizontalSum(d);
    addFour(d, x + row0, x + row1, x + row2, x + row3, gEnc, bytes);
  }
  for (; j < last; j++) {
    const row = <usize>load<u32>(rows + (<usize>j << 2)) * bytes;
    const D = <u32>(bytes >> 2);
    const d = -g * dot(error + row, wDec, D);
    sum += d;
    axpy(-g * load<f32>(values + (<usize>j << 2)), error + row, gDec, D);
    axpy(d, x + row, gEnc, D);
  }
  return sum;
}

/** torch.optim.Adam without weight decay: w -= stepSize * m / (sqrt(v) * secondScale + eps). */
@inline function adam(
  w: usize, m: usize, v: usize, gradient: usize, bytes: usize,
  stepSize: f32, secondScale: f32, beta1: f32, beta2: f32, eps: f32,
): void {
  const b1 = f32x4.splat(beta1);
  const c1 = f32x4.splat(1 - beta1);
  const b2 = f32x4.splat(beta2);
  const c2 = f32x4.splat(1 - beta2);
  const size = f32x4.splat(stepSize);
  const scale = f32x4.splat(secondScale);
  const e = f32x4.splat(eps);
  for (let p: usize = 0; p < bytes; p += 16) {
    const g = v128.load(gradient + p);
    const first = f32x4.add(f32x4.mul(b1, v128.load(m + p)), f32x4.mul(c1, g));
    const second = f32x4.add(f32x4.mul(b2, v128.load(v + p)), f32x4.mul(c2, f32x4.mul(g, g)));
    v128.store(m + p, first);
    v128.store(v + p, second);
    const step = f32x4.div(f32x4.mul(size, first), f32x4.add(f32x4.mul(f32x4.sqrt(second), scale), e));
    v128.store(w + p, f32x4.sub(v128.load(w + p), step));
  }
}

@inline function adamScalar(
  w: usize, m: usize, v: usize, g: f32, stepSize: f32, secondScale: f32, beta1: f32, beta2: f32, eps: f32,
): void {
  const first = beta1 * load<f32>(m) + (1 - beta1) * g;
  const second = beta2 * load<f32>(v) + (1 - beta2) * g * g;
  store<f32>(m, first);
  store<f32>(v, second);
  store<f32>(w, load<f32>(w) - (stepSize * first) / (sqrt(second) * secondScale + eps));
}

/** One step of Adam on n single numbers. */
export function adamVector(
  w: usize, m: usize, v: usize, gradients: usize, n: u32, stepSize: f32, secondScale: f32, beta1: f32, beta2: f32, eps: f32,
): void {
  for (let at: usize = 0; at < <usize>n << 2; at += 4)
    adamScalar(w + at, m + at, v + at, load<f32>(gradients + at), stepSize, secondScale, beta1, beta2, eps);
}

/** w /= |w|. */
@inline function normalise(w: usize, D: u32): void {
  const inverse = f32x4.splat(1 / sqrt(dot(w, w, D)));
  const bytes: usize = <usize>D << 2;
  for (let p: usize = 0; p < bytes; p += 16) v128.store(w + p, f32x4.mul(v128.load(w + p), inverse));
}

/** Moves a unit row w whose cosine to the unit row w0 is below 0.8 onto that cone, in the plane of the two. */
@inline function keepInCone(w: usize, w0: usize, D: u32): void {
  const cosine = dot(w, w0, D);
  if (cosine >= 0.8) return;
  axpy(-cosine, w0, w, D);
  normalise(w, D);
  const bytes: usize = <usize>D << 2;
  const along = f32x4.splat(0.8);
  const across = f32x4.splat(0.6);
  for (let p: usize = 0; p < bytes; p += 16) {
    v128.store(w + p, f32x4.add(f32x4.mul(across, v128.load(w + p)), f32x4.mul(along, v128.load(w0 + p))));
  }
}

/** mean = decay * mean + (1 - decay) * w over n floats (n a multiple of 4): one step of an exponential moving average. */
export function movingAverage(mean: usize, w: usize, n: u32, decay: f32): void {
  const keep = f32x4.splat(decay);
  const add = f32x4.splat(1 - decay);
  const bytes: usize = <usize>n << 2;
  for (let p: usize = 0; p < bytes; p += 16) {
    v128.store(mean + p, f32x4.add(f32x4.mul(keep, v128.load(mean + p)), f32x4.mul(add, v128.load(w + p))));
  }
}
