/**
 * Shape letters: B rows (tokens), D model width, F latents, K active latents.
 * Canonical layout: W_enc and W_dec both latent-major [F,D], so that one latent is one contiguous slice.
 */
export type SaeConfig = {
  readonly architecture: 'topk';
  readonly D: number;
  readonly F: number;
  readonly K: number;
  /** Where the activations came from; written to SAELens's metadata. */
  readonly metadata: Readonly<Record<string, unknown>>;
};

/** A finished SAE: xhat = z W_dec + b_dec, z = ReLU(TopK((x - b_dec) W_enc^T + b_enc)). */
export type Sae = {
  readonly config: SaeConfig;
  readonly W_enc: Float32Array;
  readonly b_enc: Float32Array;
  readonly W_dec: Float32Array;
  readonly b_dec: Float32Array;
};

/** The K largest latents of every row, largest first: values[b,k] >= 0, indices[b,k] in [0,F). */
export type SparseCode = {
  readonly B: number;
  readonly K: number;
  readonly values: Float32Array;
  readonly indices: Int32Array;
};
