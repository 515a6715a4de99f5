/**
 * A label by rule. Always a guess: shown as one, and never written where a person's label goes.
 *
 *     1. one label fits (F1 and precision >= 0.5 on held-out documents): the label
 *     2. otherwise the readable tokens at which its strongest passages peak, after the register that holds at least 80 % of the firings, if one does
 *     3. that register alone, or that it peaks at parts of characters, where no token is readable
 *
 * Constants are ours. Precision counts by itself because a rare label can reach F1 0.5 while most firings lie elsewhere.
 */
import type { FeatureCard, LabelScore } from '../shared/feature.ts';

const fitting = 0.5;
const dominates = 0.8;

/** Whether a label is good enough to stand for the latent. */
export function fits(score: LabelScore | undefined): score is LabelScore {
  return score !== undefined && score.f1 >= fitting && score.precision >= fitting;
}

/**
 * @param strongest peak tokens of the strongest passages, strongest first
 * @example guessLabel(card, ['{', ',']) // 'french', or 'json: "{", ","'
 */
export function guessLabel(
  { best, registers }: Pick<FeatureCard, 'best' | 'registers'>,
  strongest: readonly string[],
): string {
  if (fits(best)) return best.label;
  const readable = strongest.filter((token) => !token.includes('\ufffd'));
  const shown = [...new Set(readable.map((token) => JSON.stringify(token.trim() || token)))]
    .slice(0, 3)
    .join(', ');
  const register =
    registers[0] !== undefined && registers[0].share >= dominates ? registers[0].name : undefined;
  if (shown === '') return register ?? (strongest.length === 0 ? 'never fired' : 'bytes of split characters');
  return register === undefined ? shown : `${register}: ${shown}`;
}
