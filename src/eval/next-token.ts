/**
 * Losses from logits l [V] of one position.
 *
 *     log p_v = l_v − log Σ_w exp l_w
 *     CE(target)       = −log p_target
 *     KL(clean ‖ other) = Σ_v p_v (log p_v − log q_v)          all in nats
 */

const steps = 32;
const stepSize = Math.LN2 / steps;
const fractions = Float64Array.from({ length: steps }, (_, j) => 2 ** (j / steps));
const halvings = Float64Array.from({ length: 1100 }, (_, k) => 2 ** -k);

/**
 * exp(x) for x <= 0, relative error below 1e-11: 2^(n/32) from two tables times a short series in the rest. A vocabulary at every
 * position makes this the inner loop of the evaluation, and Math.exp takes four times as long.
 */
export function expNegative(x: number): number {
  if (x < -700) return 0;
  const n = -Math.trunc(0.5 - x / stepSize);
  const r = x - n * stepSize;
  return (
    fractions[n & (steps - 1)]! * halvings[-(n >> 5)]! * (1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r / 24))))
  );
}

/** log Σ exp of logits[from, from + V), stable for any offset of the logits. */
export function logSumExp(logits: Float32Array, from: number, V: number): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = from; i < from + V; i++) if (logits[i]! > top) top = logits[i]!;
  let sum = 0;
  for (let i = from; i < from + V; i++) sum += expNegative(logits[i]! - top);
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
    sum += expNegative(logP) * (logP - (other[i]! - otherNorm));
  }
  return sum;
}
