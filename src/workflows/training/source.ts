/** Where training rows come from: a model that reads text, or activations that lie on disk. */
import type { Corpus } from '../../data/index.ts';
import type { Moments } from '../../eval/index.ts';
import type { ResumableStreams, StreamPosition } from '../../harvest/index.ts';
import type { HubAccess } from '../../hub/types.ts';
import type { Sae, Screening } from '../../sae/index.ts';
import type { TrainConfig } from '../../shared/config.ts';
import type { Provenance } from '../../shared/run.ts';
import type { Measured } from '../measure.ts';
import type { PlanOptions } from '../plan.ts';
import type { SnippetProbe } from '../snippets.ts';
import type { TrainPlan } from '../types.ts';

/** Rows at several hooks; state k is that of a run on hook k alone. */
export type TrainingRows = Pick<
  ResumableStreams,
  'widths' | 'stages' | 'tokensSeen' | 'epochs' | 'next' | 'prepare' | 'state' | 'restore' | 'close'
>;

/** A source before its data are read: enough to plan, and to refuse, before anything large is done. */
export type UnreadSource = {
  plan(config: TrainConfig, options: Omit<PlanOptions, 'cores'>): TrainPlan;
  /** The hash of the model, where there is one. */
  readonly modelHash: string | undefined;
  read(): Promise<Source>;
};

export type Source = {
  readonly provenance: Pick<Provenance, 'model' | 'activations' | 'data' | 'split'>;
  /**
   * Rows at these hooks, from the beginning or from a saved place. Until `filled` is called the signal stops the reading with
   * Interrupted: nothing is trained yet, so nothing is lost. Later a stop waits for the step, because rows taken are in no saved state.
   */
  open(
    plan: TrainPlan,
    hooks: readonly string[],
    options: { readonly at?: StreamPosition | undefined; readonly signal?: AbortSignal | undefined },
  ): { readonly rows: TrainingRows; filled(): void };
  /** What cfg.json says of the rows. */
  metadata(plan: TrainPlan): Record<string, unknown>;
  /** The finished SAE on held-out rows; undefined when none are held out. */
  measure(
    plan: TrainPlan,
    sae: Sae,
    moments: Moments,
    options: {
      /** A control of the same budget. */
      readonly frozen?: Sae | undefined;
      readonly screen?: Screening | undefined;
      readonly signal?: AbortSignal | undefined;
      readonly onProgress?: ((done: number, total: number) => void) | undefined;
    },
  ): Promise<Measured | undefined>;
  /** A text to look at latents in. Stored rows have none. */
  openProbe?(plan: TrainPlan, count: number): Promise<SnippetProbe>;
};

export type SourceOptions = HubAccess & { readonly onCorpus?: ((corpus: Corpus) => void) | undefined };
