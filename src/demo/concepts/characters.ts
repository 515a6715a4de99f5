/** Concepts that can be read off the characters, in any register. */
import { months, weekdays } from '../word-lists.ts';
import { type Concept, joinRanges, type Range } from './types.ts';

const matching = (name: string, about: string, kind: Concept['kind'], pattern: RegExp): Concept => ({
  name,
  about,
  kind,
  truth: ({ text }) =>
    joinRanges(
      Array.from(text.matchAll(pattern), (match): Range => [match.index, match.index + match[0].length]),
    ),
});

const longMonths = months.filter((month) => month !== 'May' && month !== 'March').join('|');

export const characterConcepts: readonly Concept[] = [
  matching('text/digit', 'A digit, wherever it stands', 'structure', /[0-9]/g),
  matching('text/capitals', 'A word of capital letters, at least four', 'structure', /\b[A-Z]{4,}\b/g),
  matching(
    'text/year',
    'A year from 1700 to 2039',
    'meaning',
    /(?<![\d.,/-])(?:1[789]\d\d|20[0-3]\d)(?![\d.,/:])/g,
  ),
  matching(
    'text/month',
    'The name of a month (March and May left out), wherever it stands',
    'meaning',
    new RegExp(`\\b(?:${longMonths})\\b`, 'g'),
  ),
  matching(
    'text/weekday',
    'The name of a weekday, wherever it stands',
    'meaning',
    new RegExp(`\\b(?:${weekdays.join('|')})\\b`, 'g'),
  ),
  matching('text/dollars', 'An amount in dollars', 'meaning', /\$\d[\d.,]*/g),
  matching(
    'text/number-word',
    'A number written as a word',
    'meaning',
    /\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|hundred|thousand|million)\b/gi,
  ),
  matching('text/email', 'An e-mail address', 'structure', /[\w.+-]+@[\w-]+\.[a-z]{2,}/g),
];
