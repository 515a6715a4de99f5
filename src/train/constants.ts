/** Multi-TopK: how many times K, and the weight of that loss (Gao et al. 2024, appendix A; sparsify takes the same). */
export const multiTopkFactor = 4;
export const multiTopkWeight = 1 / 8;

/** Rows that AuxK decodes together. */
export const auxBlock = 32;

/** Rows of a chunk when the entries of a whole batch do not fit their lists. */
export const chunkRows = 64;

/** Names of the Adam moments and of the moving average of a parameter [F] that a variant has beside b_enc. */
export const momentsOf = (parameter: string): [string, string] => [`m.${parameter}`, `v.${parameter}`];
export const averageOf = (parameter: string): string => `ema.${parameter}`;
