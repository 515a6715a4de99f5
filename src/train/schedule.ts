import type { TrainerConfig } from './types.ts';

/** Learning rate of a step counted from 0: linear warm-up, constant, linear decay to 0 over the last decaySteps. */
export function learningRate(
  step: number,
  { lr, warmupSteps, decaySteps, totalSteps }: TrainerConfig,
): number {
  const warmup = step < warmupSteps ? (step + 1) / warmupSteps : 1;
  const decay = decaySteps > 0 ? Math.min(1, Math.max(0, (totalSteps - step) / decaySteps)) : 1;
  return lr * warmup * decay;
}
