import { axpy, dot, horizontalSum } from './simd';

// Backward and Adam of one latent at a time, so that its gradient rows never leave the first-level cache.
//
// With r = the error rows this latent is trained on (e for main entries, the AuxK residual for dead ones) and
// dL/dxhat = -g r:
//   dL/dpre_b = -g r_b . w_dec            (z_b > 0; zero elsewhere)
//   dL/dw_dec = -g sum_b z_b r_b,         projected: G -= (G . w) w for the unit row w
//   dL/dw_enc = sum_b dL/dpre_b x_b,      dL/db_enc = sum_b dL/dpre_b,   x already centred by b_dec
//   dL/db_dec gets - (dL/db_enc) w_enc,   summed over the latents of a shard in ascending order

/**
 * One optimizer step for latents [start, end) of one shard.
 * xCentred [B,D]. A latent with isAux[i] is dead: it learns from the AuxK residual and entries, the others from error.
 * latentStart/rows/values: entries by latent; weights and moments [F,D], b_enc and moments [F].
 * biasGradient [D] collects the encoder's share of dL/db_dec. gradients is scratch [2,D].
 * stepSize = lr / (1 - beta1^t); secondScale = 1 / sqrt(1 - beta2^t). freeze: bit 0 decoder,
 * bit 1 encoder, bit 2 soft: decoder rows stay within cosine 0.8 of W_start [F,D].
 */
export function updateLatents(
  start: u32, end: u32, D: u32, xCentred: usize, g: f32, error: usize, auxG: f32, auxError: usize, isAux: usize,
  latentStart: usize, rows: usize, values: usize, auxLatentStart: usize, auxRows: usize, auxValues: usize,
  W_enc: usize, mEnc: usize, vEnc: usize, W_dec: usize, mDec: usize, vDec: usize, b_enc: usize, mBias: usize, vBias: usize,
  biasGradient: usize, gradients: usize, stepSize: f32, secondScale: f32, beta1: f32, beta2: f32, eps: f32, freeze: u32, W_start: usize,
): void {
  const bytes: usize = <usize>D << 2;
  const gDec = gradients;
  const gEnc = gradients + bytes;
  for (let i = start; i < end; i++) {
    const offset = <usize>i * bytes;
    const wDec = W_dec + offset;
    const wEnc = W_enc + offset;
    const aux = load<u8>(isAux + i) != 0;
    const at = (aux ? auxLatentStart : latentStart) + (<usize>i << 2);
    const first = load<u32>(at);
    const last = load<u32>(at, 4);
    let sum: f32 = 0;
    memory.fill(gradients, 0, bytes << 1);
    if (last > first) {
      sum = gradient(
        first, last, aux ? auxRows : rows, aux ? auxValues : values, aux ? auxError : error, xCentred,
        wDec, gDec, gEnc, aux ? auxG : g, bytes,
      );
      axpy(-sum, wEnc, biasGradient, D);
    }
    if (!(freeze & 1)) {
      axpy(-dot(gDec, wDec, D), wDec, gDec, D);
      adam(wDec, mDec + offset, vDec + offset, gDec, bytes, stepSize, secondScale, beta1, beta2, eps);
      normalise(wDec, D);
      if (freeze & 4) keepInCone(wDec, W_start + offset, D);
    }
    if (!(freeze & 2)) {
      adam(wEnc, mEnc + offset, vEnc + offset, gEnc, bytes, stepSize, secondScale, beta1, beta2, eps);
      adamScalar(b_enc + (<usize>i << 2), mBias + (<usize>i << 2), vBias + (<usize>i << 2), sum, stepSize, secondScale, beta1, beta2, eps);
    }
  }
}

/** Adds this latent's gradients into gDec and gEnc, two entries per pass; returns dL/db_enc. */
@inline function gradient(
  first: u32, last: u32, rows: usize, values: usize, error: usize, x: usize, wDec: usize, gDec: usize, gEnc: usize, g: f32, bytes: usize,
): f32 {
  let sum: f32 = 0;
  let j = first;
  for (; j + 2 <= last; j += 2) {
    const r = rows + (<usize>j << 2);
    const row0 = <usize>load<u32>(r) * bytes;
    const row1 = <usize>load<u32>(r, 4) * bytes;
    const z0 = f32x4.splat(-g * load<f32>(values + (<usize>j << 2)));
    const z1 = f32x4.splat(-g * load<f32>(values + (<usize>j << 2), 4));
    let dot0 = f32x4.splat(0);
    let dot1 = f32x4.splat(0);
    for (let p: usize = 0; p < bytes; p += 16) {
      const w = v128.load(wDec + p);
      const e0 = v128.load(error + row0 + p);
      const e1 = v128.load(error + row1 + p);
      dot0 = f32x4.add(dot0, f32x4.mul(e0, w));
      dot1 = f32x4.add(dot1, f32x4.mul(e1, w));
      v128.store(gDec + p, f32x4.add(f32x4.add(v128.load(gDec + p), f32x4.mul(z0, e0)), f32x4.mul(z1, e1)));
    }
    const d0 = -g * horizontalSum(dot0);
    const d1 = -g * horizontalSum(dot1);
    sum += d0;
    sum += d1;
    const v0 = f32x4.splat(d0);
    const v1 = f32x4.splat(d1);
    for (let p: usize = 0; p < bytes; p += 16) {
      const step = f32x4.add(f32x4.mul(v0, v128.load(x + row0 + p)), f32x4.mul(v1, v128.load(x + row1 + p)));
      v128.store(gEnc + p, f32x4.add(v128.load(gEnc + p), step));
    }
  }
  if (j < last) {
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
