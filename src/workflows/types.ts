import type { StageTimes } from '../harvest/types.ts';
import type { ModelCost, ModelInfo } from '../models/types.ts';
import type { TrainConfig } from '../shared/config.ts';
import type { DerivedSettings } from '../shared/derive.ts';
import type { TrainerConfig } from '../train/index.ts';
import type { MemoryLine } from './estimate/memory.ts';

/** What training will do and hold, known before anything large is allocated. */
export type TrainPlan = {
  readonly config: TrainConfig;
  readonly settings: DerivedSettings;
  readonly trainer: TrainerConfig;
  /** That reads the text; none when training on stored activations. */
  readonly model: ModelInfo | undefined;
  readonly activations: { readonly name: string; readonly format: string; readonly rows: number } | undefined;
  /** D, the width at the hook. */
  readonly D: number;
  /** It reads hook_z [B,T,H,headDim], heads side by side: D = H headDim. */
  readonly flattened: boolean;
  /** Of a transcoder: the width of what it gives. */
  readonly Dout?: number;
  /** What the model takes, up to the hook and after it; none when training on stored activations. */
  readonly cost: ModelCost | undefined;
  /** Bytes by purpose, this process and the model included. */
  readonly memory: readonly MemoryLine[];
  readonly folder: string;
};

/** How far training is, after one step. */
export type TrainProgress = {
  readonly step: number;
  readonly totalSteps: number;
  readonly tokens: number;
  readonly loss: number;
  readonly fvu: number;
  readonly l0: number;
  readonly dead: number;
  readonly latents: number;
  readonly lr: number;
  readonly tokensPerSecond: number;
  readonly secondsLeft: number;
  /** Passes over the data that are complete. */
  readonly epochs: number;
  /** Where the time went so far, in milliseconds. */
  readonly stages: Readonly<StageTimes>;
  /** Whether the stages ran at the same time, so that together they took more than the wall time. */
  readonly overlap: boolean;
};

/** A latent's strongest passage in a fixed probe text, as training goes on. */
export type Snippet = {
  readonly latent: number;
  /** Share of probe tokens that it fires on. */
  readonly density: number;
  readonly maximum: number;
  readonly tokens: readonly string[];
  readonly activations: readonly number[];
  readonly peak: number;
};
