import { describe, expect, it } from 'vitest';
import type { FeatureCard, FeatureExample } from '../../shared/feature.ts';
import { cardText, chooseRows } from './card.ts';
import { samplesText } from './samples.ts';
import { createStyle } from './style.ts';
import { displayWidth } from './width.ts';
import { wrap } from './wrap.ts';

const example = (value: number, kind: 'top' | 'spread', peak = ' 4th'): FeatureExample => ({
  left: ['The', ' letter', ' is', ' dated'],
  peak,
  right: [' of', ' March', ',', ' and', ' by', ' then', ' everybody', ' had', ' read', ' it', ' twice'],
  activations: [0, 0, 0, 1, value, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0],
  value,
  kind,
  document: 0,
});
const card: FeatureCard = {
  latent: 1234,
  density: 1 / 410,
  guess: 'dates/day',
  best: {
    label: 'dates/day',
    kind: 'concept',
    threshold: 1,
    f1: 0.86,
    precision: 0.9,
    recall: 0.8,
    positives: 50,
  },
  entropy: 2,
  passages: 40,
  registers: [],
  peakTokens: [],
  examples: [9, 8, 7, 6, 5]
    .map((value) => example(value, 'top'))
    .concat([6.5, 4, 2, 1].map((value) => example(value, 'spread'))),
  raises: [
    { token: ' March', id: 1, effect: 2 },
    { token: '\n', id: 2, effect: 1 },
  ],
  lowers: [{ token: ' he', id: 3, effect: -1 }],
};

describe('feature card', () => {
  it('says what it is, how sure that is, where it fires and what it writes', () => {
    const text = cardText(card, { style: createStyle({}, {}), columns: 90, rows: 4 });
    const lines = text.split('\n');
    expect(lines[0]).toBe('#1234 dates/day guess   F1 0.86 for dates/day   fires on 1 in 410');
    expect(lines).toHaveLength(6);
    expect(lines[1]).toMatch(/dated «4th» of March, .* 9\.0$/);
    expect(lines.at(-1)).toBe("  raises ' March' '\\n'  lowers ' he'");
  });

  it('fits any width', () => {
    for (const columns of [40, 60, 79, 118])
      for (const env of [{}, { FORCE_COLOR: '1' }])
        for (const line of cardText(card, { style: createStyle({}, env), columns, rows: 4 }).split('\n'))
          expect(displayWidth(line)).toBeLessThanOrEqual(columns);
  });

  it('shows weak passages beside strong ones', () => {
    expect(chooseRows(card.examples, 4).map(({ value }) => value)).toEqual([9, 8, 4, 1]);
    expect(chooseRows(card.examples.slice(0, 2), 4).map(({ value }) => value)).toEqual([9, 8]);
  });
});

describe('samples', () => {
  it('stand one under another, prompt included, and let no control character through', () => {
    const text = samplesText(
      { without: ' in the\nhouse', steered: ' on 14\x1b[2J March', random: '' },
      { prompt: 'It is', latent: 3, strength: 8, selfTest: 'unverified: nothing was measured' },
      createStyle({}, {}),
    );
    expect(text.split('\n')).toEqual([
      '  without  It is in the ↵ house',
      '  with     It is on 14·[2J March',
      '  random   It is',
      '           #3 added at strength 8; random: a random direction as long',
      '           SAE unverified: nothing was measured',
    ]);
  });
});

describe('wrap', () => {
  it('breaks at spaces, and words that are longer than a line anywhere', () => {
    expect(wrap('one two three', 8)).toEqual(['one two', 'three']);
    expect(wrap('ACGTACGTAC', 4)).toEqual(['ACGT', 'ACGT', 'AC']);
    expect(wrap('', 10)).toEqual([]);
    // The space after a word that just fits belongs to neither line.
    expect(wrap('one two', 3)).toEqual(['one', 'two']);
  });
});
