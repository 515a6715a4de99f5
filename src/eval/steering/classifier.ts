/**
 * Which of two kinds of text a text is, from its tokens alone (multinomial naive Bayes; McCallum & Nigam 1998).
 *
 *     w_v = ln (n⁺_v + 1) / (N⁺ + V) − ln (n⁻_v + 1) / (N⁻ + V)          n: how often token v stands in the texts of each kind
 *     score(t_1 … t_n) = (1/n) Σ_i w_{t_i};   positive when score > 0    the kinds count as equally likely
 */

export type TokenClassifier = {
  /** Mean log-likelihood ratio per token; 0 for no tokens. */
  score(ids: ArrayLike<number>): number;
  /** [V], the weight of every token. */
  readonly weights: Float64Array;
};

/**
 * Learns from texts of both kinds.
 *
 * @param V vocabulary
 * @throws RangeError when a kind has no tokens
 */
export function tokenClassifier(
  positive: readonly ArrayLike<number>[],
  negative: readonly ArrayLike<number>[],
  V: number,
): TokenClassifier {
  const logShares = (texts: readonly ArrayLike<number>[], what: string): Float64Array => {
    const counts = new Float64Array(V).fill(1);
    let total = V;
    for (const ids of texts)
      for (let i = 0; i < ids.length; i++) {
        counts[ids[i]!]! += 1;
        total++;
      }
    if (total === V) throw new RangeError(`The ${what} texts are empty: there is nothing to learn from.`);
    return counts.map((count) => Math.log(count / total));
  };
  const [plus, minus] = [logShares(positive, 'positive'), logShares(negative, 'negative')];
  const weights = plus.map((value, v) => value - minus[v]!);
  return {
    weights,
    score(ids) {
      let sum = 0;
      for (let i = 0; i < ids.length; i++) sum += weights[ids[i]!]!;
      return ids.length === 0 ? 0 : sum / ids.length;
    },
  };
}
