/** Our trainer as a contender: one optimizer step per turn on the same batches as the peers. */
import '../../src/platform/node.ts';
import { createTrainer, type StepMetrics, type TrainerConfig } from '../../src/train/index.ts';
import type { Contender } from './contender.ts';

export type TrainSizes = { readonly B: number; readonly D: number; readonly F: number; readonly K: number };

const common = {
  totalSteps: 1_000_000,
  warmupSteps: 0,
  decaySteps: 0,
  adam: { beta1: 0.9, beta2: 0.999, eps: 6.25e-10 },
  auxk: 256,
  auxkCoefficient: 1 / 32,
  deadSteps: 1000,
  freeze: 'none',
  seed: 0,
  shards: 8,
} as const;

/**
 * @param planted latents made dead before the first step: they have not fired for longer than the dead window, and their
 *   encoder rows are short, so that they stay out of every row's top K and yet half of their pre-activations are positive,
 *   as those of real dead latents are. 0: no latent is dead and AuxK never runs.
 */
export async function oursTraining(
  name: string,
  { B, D, F, K }: TrainSizes,
  batches: readonly Float32Array[],
  workers: number,
  planted: number,
): Promise<Contender> {
  // Small, so that the planted latents are still dead after the last turn; the time of a step does not depend on it.
  const config: TrainerConfig = { ...common, B, D, F, K, lr: planted > 0 ? 1e-7 : 2e-4, workers };
  const trainer = await createTrainer(config);
  await trainer.initialize(batches[0]!);
  if (planted > 0) {
    const state = await trainer.state();
    const [W_enc, sinceFired] = [state.get('W_enc')!, state.get('sinceFired')!];
    for (let j = 0; j < planted; j++) {
      const latent = Math.floor((j * F) / planted);
      sinceFired[latent] = config.deadSteps;
      for (let d = 0; d < D; d++) W_enc[latent * D + d]! *= 0.02;
    }
    await trainer.restore(state);
  }
  let last: StepMetrics | undefined;
  let step = 0;
  return {
    name,
    get about() {
      return { shards: config.shards, workers, auxk: config.auxk, bytes: trainer.budget, last };
    },
    async turn() {
      const x = batches[step++ % batches.length]!;
      const start = performance.now();
      last = await trainer.train(x);
      const ms = performance.now() - start;
      const enough = planted > 0 ? last.dead >= 0.98 * planted && last.auxLoss > 0 : last.dead === 0;
      if (!enough)
        throw new Error(
          `${name}: ${last.dead} latents are dead (aux loss ${last.auxLoss}), ${planted} were planted: the figure would not measure what it says`,
        );
      return ms;
    },
    close: () => trainer.close(),
  };
}

/** Steps that the controller gets to come down from the dense start. */
const settling = 12;

/** A JumpReLU SAE held at an L0 of 64, once it is there. */
export async function oursPenalised(
  name: string,
  { B, D, F }: TrainSizes,
  batches: readonly Float32Array[],
  workers: number,
): Promise<Contender> {
  const config: TrainerConfig = {
    ...common,
    ...{ B, D, F, K: 64, lr: 2e-4, workers, variant: 'jumprelu' },
    sparsity: { coefficient: 1, l0: 64, warmupSteps: 0 },
  };
  const trainer = await createTrainer(config);
  await trainer.initialize(batches[0]!);
  let last: StepMetrics | undefined;
  for (let i = 0; i < settling; i++) last = await trainer.train(batches[i % batches.length]!);
  let step = 0;
  return {
    name,
    get about() {
      return { shards: config.shards, workers, bytes: trainer.budget, last };
    },
    async turn() {
      const x = batches[step++ % batches.length]!;
      const start = performance.now();
      last = await trainer.train(x);
      const ms = performance.now() - start;
      if (last.l0 >= 100)
        throw new Error(
          `${name}: L0 is ${last.l0}, not below 100: the figure would not measure what it says`,
        );
      return ms;
    },
    close: () => trainer.close(),
  };
}
