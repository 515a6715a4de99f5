/** The control of a steered text: the same changes, at the same tokens and as long, in random directions. */
import type { Intervention } from '../models/steering/types.ts';
import { createRng } from '../shared/rng.ts';

/** A unit vector [D], uniform on the sphere. */
export function randomDirection(D: number, seed: string): Float32Array {
  const rng = createRng(seed);
  const direction = Float32Array.from({ length: D }, () => rng.normal());
  const norm = Math.hypot(...direction);
  return direction.map((value) => value / norm);
}

/** The interventions with random directions of the same lengths; equal latents get equal ones. What replaces whole rows stays as it is. */
export function randomised(interventions: readonly Intervention[], seed: number): Intervention[] {
  return interventions.map((one) => {
    const { direction, code, latent, writes } = one;
    if (direction === undefined) return one;
    const which = interventions.findIndex(
      (other) => other.writes === writes && other.code === code && other.latent === latent,
    );
    const random = randomDirection(
      direction.length,
      `${seed}/random direction${which > 0 ? ` ${which}` : ''}`,
    );
    const length = Math.hypot(...direction);
    return { ...one, direction: random.map((value) => value * length) };
  });
}
