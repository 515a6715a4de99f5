/**
 * Labels of real prose, by patterns on the layout that the collectors write.
 *
 * scripture: `verse-number` · definitions: `headword`, `part-of-speech` (value), `quotation` · countries: `field-name`, `percentage` ·
 * maths: `answer`, `equation`, `result` · speeches: `year`, `quotation` · novels: `quotation`.
 */
import { compareSpans, type Span } from '../../../src/demo/labelled-text.ts';

type Pattern = readonly [label: string, pattern: RegExp];

/** What is labelled is group 1 where there is one, else the match; the value of a part of speech is its text. */
const patterns: Readonly<Record<string, readonly Pattern[]>> = {
  scripture: [['verse-number', /^(\d+) /gm]],
  definitions: [
    ['headword', /^([^\n(]+) \((?:noun|verb|adjective|adverb)\):/gm],
    ['part-of-speech', /^[^\n(]+ \((noun|verb|adjective|adverb)\):/gm],
    ['quotation', /"([^"\n]+)"/g],
  ],
  countries: [
    ['field-name', /^([^\n:]{2,70}):/gm],
    ['percentage', /\d+(?:\.\d+)?%/g],
  ],
  maths: [
    ['answer', /^Answer: ([\s\S]*?)\nResult:/gm],
    ['equation', /\$?\d[\d.,/]*%?(?: ?[-+*/x] ?\$?[\d.,/(]+%?\)?)+ ?= ?\$?\d(?:[\d.,]*\d)?/g],
    ['result', /^Result: (.*)$/gm],
  ],
  speeches: [
    ['year', /\b1[789]\d\d\b|\b20[012]\d\b/g],
    ['quotation', /(?<=^|[\s—(])[“"]([^\s“”"][^“”"\n]{2,300})[”"]/g],
  ],
  novels: [['quotation', /(?<=^|[\s—(])[“"]([^\s“”"][^“”"]{2,500})[”"]/g]],
};

/** The labels of a prose document; none for a register without patterns. */
export function labelProse(register: string, text: string): Span[] {
  const spans: Span[] = [];
  for (const [label, pattern] of patterns[register] ?? []) {
    for (const match of text.matchAll(pattern)) {
      const content = match[1] ?? match[0];
      const start =
        match.index +
        match[0].indexOf(
          content,
          match[1] !== undefined && label === 'part-of-speech' ? match[0].lastIndexOf('(') : 0,
        );
      const value = label === 'part-of-speech' ? { value: content } : {};
      spans.push({ start, end: start + content.length, label, ...value });
    }
  }
  return spans.filter((span) => span.end > span.start).sort(compareSpans);
}
