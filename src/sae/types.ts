/**
 * Shape letters: B rows (tokens), D model width, F latents, K active latents.
 * Canonical layout: W_enc and W_dec both latent-major [F,D], so that one latent is one contiguous slice.
 */
import type { Architecture, VariantSettings } from './variants/registry.ts';
import type { Arrays } from './variants/variant.ts';

/** What all variants have; variants/ has what is each one's own, told apart by `architecture`. */
export type SharedConfig = {
  /** Width of what is read. */
  readonly D: number;
  readonly F: number;
  /** Of a transcoder: width of what it writes, another place of the model. Absent: an SAE, which writes where it reads. */
  readonly Dout?: number;
  /**
   * P of a layer of a cross-layer transcoder: how many layers it writes to, its own first. Dout is then their widths together, the P outputs
   * side by side; b_dec and W_skip are of its own layer only. `hook_names_out` of the metadata has where they go.
   */
  readonly places?: number;
  /** The encoder reads x - b_dec (the default) or x; a transcoder always x. */
  readonly subtractDecoderBias?: boolean;
  /** Each row is normalised before anything else, and the output scaled back (normalise.ts). */
  readonly inputNorm?: InputNorm;
  /** Reads hook_z [B,T,H,headDim] with its heads flattened: D = H headDim. */
  readonly flattened?: boolean;
  /** Where the activations came from; written to SAELens's metadata. */
  readonly metadata: Readonly<Record<string, unknown>>;
};

export type InputNorm = 'layer' | 'norm' | 'centre';

/** Of all variants, or of one: SaeConfig<'topk'> has K. */
export type SaeConfig<A extends Architecture = Architecture> = SharedConfig & VariantSettings<A>;

/** A finished SAE: variants/variant.ts has the equations. */
export type Sae<A extends Architecture = Architecture> = { readonly config: SaeConfig<A> } & Arrays;

/**
 * The active latents of every row, largest magnitude first: indices[b,k] in [0,F); a slot of value 0 is free. K is the SAE's for TopK; for
 * variants that keep what is above a threshold it is the largest number of any row of this call. Only signed codes have values below 0.
 */
export type SparseCode = {
  readonly B: number;
  readonly K: number;
  readonly values: Float32Array;
  readonly indices: Int32Array;
  /** [B,Dout], of a temporal SAE: what the rows before tell of each, which the code is without and `decode` adds. */
  readonly context?: Float32Array;
};
