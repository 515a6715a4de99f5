// The sparse half of a training step, in WebAssembly SIMD. One shard group (a worker's latents) lives in one memory.
//
// Shape letters: B rows, D model width (padded to a multiple of 4), F latents of this group, S its logical shards.
// All pointers are byte offsets; all matrices are row-major float32 with D floats a row. Sums run in one fixed
// order, so that the result does not depend on how shards are dealt to workers.
//
// Sparse codes come in two orders:
//   by row (CSR):    entries of row b and shard s are rowStart[b*S+s] .. rowStart[b*S+s+1]: latent, value
//   by latent (CSC): entries of latent i are latentStart[i] .. latentStart[i+1]: row, value
// reference.ts says the same in plain loops and is what the tests compare with.

export { centre, columnSums, rowError, squaredSum, sumRows } from './dense';
export { auxCollect, auxPrepare, countAbove, foldSign, gatherColumns, mergeTopK, selectAbove, transposeEntries, unfoldSign } from './select';
export { selectTile, sortHeaps } from './heaps';
export { keepBest, quantiseRows, rescore, screenedEntries, screenTile } from './screen';
export { decodeRows } from './decode';
export { collectBatch, countBins, countBits, entriesByPrefix, entriesByRow, keepAbove } from './batch';
export { collectAbove, excess, gatedMagnitudes, orderByRow, powerSum } from './threshold';
export { accumulateThrough } from './through';
export { accumulateAux, adamVector, movingAverage, updateLatents } from './update';
