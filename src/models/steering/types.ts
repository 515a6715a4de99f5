/** Changes of activations while a model runs, as plain data. N rows are tokens, D width read, Dout width written, F latents. */
import type { Positions } from '../../shared/intervention.ts';

/** How the latents of an SAE are read off rows x [N,D]: `latentCode` in steer/ makes it. Equal objects share one encoder. */
export type LatentCode = {
  readonly name: string;
  readonly D: number;
  readonly Dout: number;
  readonly F: number;
  readonly norm: 'layer' | 'norm' | 'centre' | undefined;
  /** [F,D] */
  readonly W_enc: Float32Array;
  /** [D], subtracted in front of the encoder */
  readonly bias: Float32Array | undefined;
  /** [4,F]: b, bound, scale, shift.  z = max(scale pre + shift, 0) where pre = x W_enc^T + b >= bound, else 0 */
  readonly selection: Float32Array;
  /** Instead of `bound`: the K largest of pre; signed: of |pre|. */
  readonly rank: { readonly K: number; readonly signed: boolean } | undefined;
  /** [F,Dout] */
  readonly W_dec: Float32Array;
  readonly b_dec: Float32Array;
  /** [Dout,D] */
  readonly W_skip: Float32Array | undefined;
  /** [V,Dout] */
  readonly b_token: Float32Array | undefined;
};

/** z' = min(max(scale z + shift, least), most); a shift [T] holds one for each position of a text. */
export type Change = {
  readonly scale: number;
  readonly shift: number | Float32Array;
  readonly least: number;
  readonly most: number;
};

/** A latent that is looked at, and the hook where it is read. */
export type Condition = {
  readonly code: LatentCode;
  readonly reads: string;
  readonly latent: number;
  readonly above?: number;
  readonly below?: number;
};

/** One change at one hook. Made by `steer` in steer/, which takes SAEs, modes and values. */
export type Intervention = {
  /** The hook that is changed, and the one that z is read from: the same one but for transcoders. */
  readonly writes: string;
  readonly reads: string;
  /** Without one, z = x . direction. */
  readonly code?: LatentCode;
  readonly latent?: number;
  /** [Dout]: what (z' - z) is multiplied with. */
  readonly direction?: Float32Array;
  readonly change?: Change;
  readonly when?: Condition;
  /** Before the changes the row becomes what the SAE makes of it, or the rows [T,Dout] at their positions; one row stands for all. */
  readonly replace?: 'reconstruction' | Float32Array;
  readonly positions: Positions;
  /** Rows [from, to) of the batch that are changed. Default: all. */
  readonly rows?: readonly [number, number];
  /** Token ids that are left as they are. */
  readonly except: ReadonlySet<number>;
};

/** The N tokens of one run: the row of the batch, where each stands in its text, how long that text's prompt is, and what it is. */
export type SteerRows = {
  readonly rows: ArrayLike<number>;
  readonly positions: ArrayLike<number>;
  readonly prompts: ArrayLike<number>;
  readonly ids: ArrayLike<number>;
};
