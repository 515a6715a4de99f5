/**
 * A label by rule. Always a guess: shown as one, and never written where a person's label goes.
 *
 *     1. one label fits (F1 >= 0.5 on held-out documents): the label
 *     2. otherwise the commonest peak tokens, after the register that holds at least 80 % of the firings, if one does
 */
import type { FeatureCard } from '../shared/feature.ts';

const fits = 0.5;
const dominates = 0.8;

/** @example guessLabel(card) // 'french', or 'json: "{", ","' */
export function guessLabel({
  best,
  registers,
  peakTokens,
}: Pick<FeatureCard, 'best' | 'registers' | 'peakTokens'>): string {
  if (best !== undefined && best.f1 >= fits) return best.label;
  const tokens = [...new Set(peakTokens.map(({ token }) => JSON.stringify(token.trim() || token)))]
    .slice(0, 3)
    .join(', ');
  const register =
    registers[0] !== undefined && registers[0].share >= dominates ? registers[0].name : undefined;
  if (tokens === '') return register ?? 'never fired';
  return register === undefined ? tokens : `${register}: ${tokens}`;
}
