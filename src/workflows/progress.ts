/** Speed and figures of a training run as it goes. */
import type { ActivationStream } from '../harvest/index.ts';
import type { StepMetrics } from '../train/index.ts';
import type { TrainPlan, TrainProgress } from './types.ts';

/** Speed over the last 30 steps: dead latents and AuxK make later steps slower than early ones. */
export function createPace(firstStep: number) {
  const times: number[] = [performance.now()];
  let known = firstStep;
  return (step: number) => {
    if (step > known) times.push(performance.now());
    known = step;
    if (times.length > 31) times.shift();
    const secondsPerStep = Math.max(
      1e-9,
      ((times.at(-1) as number) - (times[0] as number)) / 1000 / Math.max(1, times.length - 1),
    );
    return {
      tokensPerStep: (tokens: number) => tokens / secondsPerStep,
      secondsLeft: (steps: number) => steps * secondsPerStep,
    };
  };
}

export function progressOf(
  metrics: StepMetrics,
  { settings, trainer: { F } }: TrainPlan,
  { stages, epochs }: Pick<ActivationStream, 'stages' | 'epochs'>,
  pace: { tokensPerStep(tokens: number): number; secondsLeft(steps: number): number },
): TrainProgress {
  const { step, tokens, loss, fvu, l0, dead, lr } = metrics;
  return {
    step,
    totalSteps: settings.totalSteps,
    tokens,
    loss,
    fvu,
    l0,
    dead,
    latents: F,
    lr,
    tokensPerSecond: pace.tokensPerStep(tokens / step),
    secondsLeft: pace.secondsLeft(settings.totalSteps - step),
    epochs,
    stages: { ...stages },
    overlap: settings.overlap,
  };
}
