/** The sparse code of a batch in its two orders (see kernels/assembly/index.ts). */
import { pointer as at } from '../kernels/arena.ts';
import type { Group } from './group.ts';

/** Entries of `rows` rows and S shards by row -> by latent. */
export function byLatent(group: Group, rows: number, S: number): void {
  // biome-ignore format: grouped as in the kernel
  group.kernels.transposeEntries(
    at(group.rowStart), at(group.rowLatent), at(group.rowValue), rows, S, group.F, at(group.latentStart),
    at(group.cursor), at(group.latentRow), at(group.latentValue),
  );
}

/** The same of a whole batch, and how often each latent fires: where an entry is one that is active. */
export function entriesByLatent(group: Group, B: number): void {
  byLatent(group, B, group.own);
  for (let i = 0; i < group.F; i++) group.firedNow[i] = group.latentStart[i + 1]! - group.latentStart[i]!;
}
