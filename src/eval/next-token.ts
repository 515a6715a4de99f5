/**
 * Losses from logits l [V] of one position.
 *
 *     log p_v = l_v − log Σ_w exp l_w
 *     CE(target)       = −log p_target
 *     KL(clean ‖ other) = Σ_v p_v (log p_v − log q_v)          all in nats
 */

/** log Σ exp of logits[from, from + V), stable for any offset of the logits. */
export function logSumExp(logits: Float32Array, from: number, V: number): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = from; i < from + V; i++) if (logits[i]! > top) top = logits[i]!;
  let sum = 0;
  for (let i = from; i < from + V; i++) sum += Math.exp(logits[i]! - top);
  return top + Math.log(sum);
}

/**
 * KL(clean ‖ other) in nats of two rows of logits at the same place, given their `logSumExp`; never below 0 by more than rounding.
 */
export function klDivergence(
  clean: Float32Array,
  cleanNorm: number,
  other: Float32Array,
  otherNorm: number,
  from: number,
  V: number,
): number {
  let sum = 0;
  for (let i = from; i < from + V; i++) {
    const logP = clean[i]! - cleanNorm;
    sum += Math.exp(logP) * (logP - (other[i]! - otherNorm));
  }
  return sum;
}
