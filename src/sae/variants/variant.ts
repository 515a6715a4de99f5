/**
 * What every variant of a sparse autoencoder shares.
 *
 *     x'   = x                                  or normalised per row (normalise.ts)
 *     pre  = (x' - b_dec) W_enc^T + b_enc       subtractDecoderBias false: x' W_enc^T + b_enc
 *     z    = sigma(pre)                         what the variants differ in: one file each
 *     xhat = z W_dec + b_dec                    + W_skip x of a skip transcoder, + b_token[id] of an SAE with token bias
 *
 * B rows, D width of x, F latents, K active latents, V vocabulary. A transcoder writes another place of the model: xhat is [B,Dout] there.
 */
import type { z } from 'zod';

/** All latent-major, so that one latent is one contiguous slice. */
export type Arrays = {
  /** [F,D] */
  readonly W_enc: Float32Array;
  /** [F]; of a gated SAE the bias of the gate. */
  readonly b_enc: Float32Array;
  /** [F,Dout] */
  readonly W_dec: Float32Array;
  /** [Dout] */
  readonly b_dec: Float32Array;
  /** [F], JumpReLU. */
  readonly threshold?: Float32Array;
  /** [F], gated: log scale and bias of the magnitude. */
  readonly r_mag?: Float32Array;
  readonly b_mag?: Float32Array;
  /** [Dout,D], skip transcoder. */
  readonly W_skip?: Float32Array;
  /** [V,Dout], SAE with token bias: a row for each token id. */
  readonly b_token?: Float32Array;
  /** Temporal SAE: attn.0.q [E,F] and the like, of each layer (temporal.ts). */
  readonly [attention: `attn.${string}`]: Float32Array | undefined;
};

/** How z is read off pre. `threshold`: z = scale pre + shift where pre > threshold, if that is positive; scale 1 and shift 0 when absent. */
export type Selection =
  | { readonly by: 'rank'; readonly K: number; readonly signed: boolean }
  | {
      readonly by: 'threshold';
      /** [F] each. `pre` is then without b_enc where `bias` is false. */
      readonly threshold: Float32Array;
      readonly scale?: Float32Array;
      readonly shift?: Float32Array;
      readonly bias?: false;
    }
  /** The largest of each of K groups (groupmax.ts). */
  | { readonly by: 'group'; readonly K: number }
  /** Latents are taken one by one out of what is left of the row (matching-pursuit.ts): pre is not all that z is read off. */
  | {
      readonly by: 'pursuit';
      readonly residualThreshold: number;
      readonly steps: number;
      readonly revisits: boolean;
    }
  /** Of what the rows before do not tell (temporal.ts). */
  | {
      readonly by: 'context';
      readonly K: number;
      readonly heads: number;
      readonly layers: number;
      readonly epsilon: number;
    };

/** Selections that read z off pre. */
export type PreSelection = Exclude<Selection, { by: 'pursuit' | 'context' }>;
/** Of these, those that screening and the steering bus know. */
export type RankOrThreshold = Exclude<PreSelection, { by: 'group' }>;

export type Variant<Settings extends z.ZodType = z.ZodType> = {
  /** For people: TopK, JumpReLU. */
  readonly title: string;
  /** What its config holds beside what all share; `architecture` tells the variants apart. */
  readonly settings: Settings;
  /** The arrays [F] that it has beside the four of all. */
  readonly arrays: readonly ('threshold' | 'r_mag' | 'b_mag')[];
  /** Arrays of other shapes, by name. */
  shapes?(config: z.output<Settings> & { readonly D: number; readonly F: number }): Record<string, number[]>;
  /** @throws when settings and arrays do not go together */
  selection(settings: z.output<Settings>, arrays: Arrays): Selection;
};

/** Keeps the type of the settings. */
export const defineVariant = <Settings extends z.ZodType>(variant: Variant<Settings>): Variant<Settings> =>
  variant;
