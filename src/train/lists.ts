/** The sparse code of a batch in its two orders (see kernels/assembly/index.ts). */
import { pointer as at } from '../kernels/arena.ts';
import type { Group } from './group.ts';

/** Entries by row -> by latent, and how often each latent fires. */
export function entriesByLatent(group: Group, B: number): void {
  // biome-ignore format: grouped as in the kernel
  group.kernels.transposeEntries(
    at(group.rowStart), at(group.rowLatent), at(group.rowValue), B, group.own, group.F, at(group.latentStart),
    at(group.cursor), at(group.latentRow), at(group.latentValue),
  );
  for (let i = 0; i < group.F; i++) group.firedNow[i] = group.latentStart[i + 1]! - group.latentStart[i]!;
}
