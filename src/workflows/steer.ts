/** Text with and without one latent's direction added, beside a random direction of the same length: the control. */
import type { Model, SteerEdit } from '../models/types.ts';
import type { Sae } from '../sae/types.ts';
import { UsageError } from '../shared/errors.ts';
import { createRng } from '../shared/rng.ts';

export type SteerOptions = {
  readonly prompt: string;
  readonly hook: string;
  readonly latent: number;
  /** Added at every position, in units of the latent's own activation: the decoder row has length 1. */
  readonly strength: number;
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
};

/** Continuations of the same prompt with the same seed. */
export type SteeredSamples = {
  readonly without: string;
  readonly steered: string;
  /** A random direction of the same length. */
  readonly random: string;
};

/** @throws UsageError when the SAE has no such latent */
export async function steeredSamples(model: Model, sae: Sae, options: SteerOptions): Promise<SteeredSamples> {
  const { prompt, hook, latent, strength, seed, signal, maxNewTokens, temperature, topP } = options;
  const { D, F } = sae.config;
  if (!Number.isInteger(latent) || latent < 0 || latent >= F)
    throw new UsageError(`Latent ${latent} is not there: this SAE has latents 0 to ${F - 1}.`);
  const edit = (direction: Float32Array): SteerEdit => ({
    hook,
    directions: direction,
    strengths: Float32Array.of(strength),
  });
  const common = { maxNewTokens, temperature, topP, seed, ...(signal ? { signal } : {}) };
  return {
    without: await model.generate(prompt, common),
    steered: await model.generate(prompt, {
      ...common,
      steer: edit(sae.W_dec.slice(latent * D, (latent + 1) * D)),
    }),
    random: await model.generate(prompt, { ...common, steer: edit(randomDirection(D, seed)) }),
  };
}

/** A unit vector [D], uniform on the sphere. */
function randomDirection(D: number, seed: number): Float32Array {
  const rng = createRng(`${seed}/random direction`);
  const direction = Float32Array.from({ length: D }, () => rng.normal());
  const norm = Math.hypot(...direction);
  return direction.map((value) => value / norm);
}
