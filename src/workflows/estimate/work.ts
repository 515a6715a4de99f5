/**
 * Operations of one training step, by stage: multiplications and additions of float32.
 *
 *     model          (B / share of positions kept) x operations per position up to the hook
 *     encoder        2 B F D                          the one dense product, x W_enc^T; of a skip transcoder 4 B D Dout more for W_skip
 *     sparse         8 B K D                          decode, dL/dz, dL/dW_dec, dL/dW_enc: 2 each; Multi-TopK the same for 4 K more
 *     Adam           16 per weight of W_enc, W_dec    moments, step, unit norm; moves 48 bytes per weight, which is what takes its time
 *     AuxK           8 B k_aux D                      when enough latents are dead
 */
import type { TrainerConfig } from '../../train/index.ts';
import type { TrainPlan } from '../types.ts';

export type Work = {
  readonly model: number;
  readonly encoder: number;
  readonly sparse: number;
  readonly adam: number;
  readonly auxk: number;
};

/** K of Multi-TopK's second loss, in multiples of K. */
const WIDE = 4;
const ADAM = 16;

/** Of one SAE. */
export function trainerWork({
  variant,
  B,
  D,
  Dout = D,
  F,
  K,
  auxk,
  multiTopk,
}: TrainerConfig): Omit<Work, 'model'> {
  const active = multiTopk ? K + Math.min(F, WIDE * K) : K;
  return {
    encoder: 2 * B * F * D + (variant === 'skip-transcoder' ? 4 * B * D * Dout : 0),
    sparse: 8 * B * active * D,
    adam: ADAM * 2 * F * D,
    auxk: 8 * B * auxk * D,
  };
}

/** Share of a packed row's positions that are trained on: not the BOS at its beginning, not the excluded ones. */
export function keptShare({ config, settings, model }: TrainPlan): number {
  const bos = config.excludeSpecial && model?.bosTokenId !== undefined ? 1 : 0;
  return (settings.contextLength - Math.max(bos, config.excludeFirst)) / settings.contextLength;
}

/** Of SAEs on the same rows: one pass of the model, to the deepest hook. */
export function stepWork(plans: readonly TrainPlan[]): Work {
  const [first] = plans as [TrainPlan];
  const deepest = Math.max(...plans.map(({ cost }) => cost?.before.flops ?? 0));
  const sum = (part: keyof Omit<Work, 'model'>): number =>
    plans.reduce((total, { trainer }) => total + trainerWork(trainer)[part], 0);
  return {
    model: (first.trainer.B / keptShare(first)) * deepest,
    encoder: sum('encoder'),
    sparse: sum('sparse'),
    adam: sum('adam'),
    auxk: sum('auxk'),
  };
}
