/**
 * How much of the loss that an ablation destroys a reconstruction keeps.
 *
 *     recovered = (CE_ablated − CE_spliced) / (CE_ablated − CE_clean)       1 lossless, 0 no better than the ablation, below 0 worse
 *
 * Zero ablation is the customary reference and an easy one; mean ablation is the fairer one. Both are reported.
 */

/** Recovered share of the loss; NaN when the ablation destroys nothing. */
export function recovered(ablated: number, spliced: number, clean: number): number {
  return ablated === clean ? Number.NaN : (ablated - spliced) / (ablated - clean);
}
