/**
 * Well-nested brackets of four kinds, some with letters inside.
 * Spans: `depth` (runs at one depth, value: the depth; a bracket belongs to the inside it opens or closes) and `closing`
 * (a closing bracket).
 */
import type { Rng } from '../../shared/rng.ts';
import { compareSpans, createDraft, type LabelledText, type Span } from '../labelled-text.ts';

const pairs = ['()', '[]', '{}', '<>'] as const;

/** One line of 150 to 260 characters that opens and closes at random up to a depth of eight. */
export function generateBrackets(rng: Rng): LabelledText {
  const draft = createDraft();
  const depths: number[] = [];
  const stack: string[] = [];
  const kinds = pairs.slice(0, 1 + rng.int(4));
  const letters = rng.int(2) === 0 ? 'abcxyz' : '';
  const goal = 150 + rng.int(110);
  const put = (letter: string, depth: number) => {
    depths.push(depth);
    draft.put(letter);
  };
  while (draft.length() < goal || stack.length > 0) {
    const closing = draft.length() >= goal;
    const action = rng.uniform();
    if (!closing && stack.length < 8 && (stack.length === 0 || action < 0.48)) {
      const pair = rng.pick(kinds);
      stack.push(pair.charAt(1));
      depths.push(stack.length);
      draft.put(pair.charAt(0));
    } else if (stack.length > 0 && (closing || letters === '' || action < 0.88)) {
      depths.push(stack.length);
      const bracket = stack.pop() as string;
      draft.mark('closing', bracket);
    } else put(letters === '' ? ' ' : letters.charAt(rng.int(letters.length)), stack.length);
  }
  const { text, spans } = draft.done();
  const runs: Span[] = [];
  for (let start = 0, end = 0; start < text.length; start = end) {
    while (end < text.length && depths[end] === depths[start]) end++;
    runs.push({ start, end, label: 'depth', value: String(depths[start]) });
  }
  return { text, spans: [...spans, ...runs].sort(compareSpans) };
}
