/** What a variant of the SAE says of itself and does in a step. */

import type { VariantSettings } from '../../sae/variants/registry.ts';
import type { VARIANTS } from '../../shared/config.ts';
import type { Competitors } from '../auxk.ts';
import type { Scales, StepContext } from '../step.ts';
import type { TrainerConfig } from '../types.ts';

export type VariantName = (typeof VARIANTS)[number];

export type StepInput = {
  readonly scales: Scales;
  /** mseScale / (B D): squared errors to loss. */
  readonly toLoss: number;
  /** From 0. */
  readonly step: number;
  readonly competitors: Competitors | undefined;
};

/** After the forward half: group.error is x - xhat, group.firedNow says how often each latent is active. */
export type Forward = {
  /** |x - xhat|^2, summed over the batch. */
  readonly squaredError: number;
  /** What is minimised, AuxK aside. */
  readonly loss: number;
  /** Multi-TopK: |x - xhat_4K|^2, summed over the batch. */
  readonly wideError?: number;
  /** BatchTopK: the least active value. */
  readonly least?: number;
  /** The penalty's part of the loss, and of active entries the sum of pre - theta. */
  readonly penalty?: number;
  readonly excess?: number;
};

export type BackwardInput = StepInput & {
  /** dL/dxhat_aux = -auxG (e - xhat_aux); 0 without AuxK in this step. */
  readonly auxG: number;
  /** Given when there is an AuxK loss. */
  readonly competitors: Competitors | undefined;
  readonly forward: Forward;
};

export type Parameter = {
  readonly start: (config: TrainerConfig) => number;
  /** In units of x, so that inputs of another scale need another value. */
  readonly scales: boolean;
};

export type Variant = {
  /** How active latents are found: the K best of a row, the B K best of a batch, or all above a threshold. */
  readonly selection: 'rows' | 'batch' | 'threshold';
  /** Parameters [F] beside b_enc. */
  readonly parameters: Readonly<Record<string, Parameter>>;
  /** There is a penalty with a coefficient. */
  readonly penalised: boolean;
  /** A gate has a reconstruction of its own. */
  readonly gate?: boolean;
  /** Prefixes of the latents have reconstructions of their own. */
  readonly nested?: boolean;
  /** It reads one place of the model and gives another: rows y beside the rows x. */
  readonly transcodes?: boolean;
  /** + W_skip x. */
  readonly skip?: boolean;
  /** AuxK can reach dead latents: theirs may be positive without being active. */
  readonly auxk: boolean;
  /** The finished SAE: its own part of the config; `threshold` is BatchTopK's, for inputs as they are. */
  settings(config: TrainerConfig, threshold: number): VariantSettings;
  forward(context: StepContext, input: StepInput): Promise<Forward>;
  /** Gradients, Adam and unit norm for every own latent and for b_dec, and what is to be done to thresholds. */
  backward(context: StepContext, input: BackwardInput): Promise<void>;
};
