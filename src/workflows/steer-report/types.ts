import type { HubAccess } from '../../hub/types.ts';
import type { Model } from '../../models/index.ts';
import type { Sae } from '../../sae/index.ts';
import type { SteerReportConfig } from '../../shared/steer-report.ts';
import type { EvalTarget } from '../evaluate-sae.ts';
import type { ModelMemory } from '../model-memory.ts';
import type { Judge } from './measure.ts';

export type SteerReportProgress = {
  readonly stage: 'latents' | 'output effect' | 'candidates';
  readonly done: number;
  readonly total: number;
};

export type SteerReportOptions = HubAccess & {
  /** A score of one's own for every text, such as a larger model's. */
  readonly judge?: Judge;
  readonly onTarget?: (target: EvalTarget, model: Model, memory: ModelMemory | undefined) => void;
  readonly onProgress?: (progress: SteerReportProgress) => void;
};

/** What all parts of a report share. */
export type Work = {
  readonly config: SteerReportConfig;
  readonly options: SteerReportOptions;
  readonly model: Model;
  readonly sae: Sae;
  /** What latents are read from, and what they change: the same but of transcoders. */
  readonly hook: string;
  readonly writes: string;
  readonly checker: ((text: string) => boolean) | undefined;
};
