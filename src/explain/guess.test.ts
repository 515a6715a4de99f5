import { describe, expect, it } from 'vitest';
import type { LabelScore } from '../shared/feature.ts';
import { guessLabel } from './guess.ts';

const score = (f1: number, precision: number): LabelScore => ({
  ...{ label: 'french', kind: 'register', threshold: 1, recall: 0.5, positives: 100 },
  f1,
  precision,
});
const registers = (share: number) => [{ name: 'json', rate: 0.1, share }];

describe('guessed labels', () => {
  it('are a label that fits, by F1 and by precision', () => {
    expect(guessLabel({ best: score(0.8, 0.9), registers: registers(1) }, ['{'])).toBe('french');
    expect(guessLabel({ best: score(0.51, 0.4), registers: registers(0) }, ['{'])).toBe('"{"');
    expect(guessLabel({ best: score(0.4, 0.9), registers: registers(0) }, ['{'])).toBe('"{"');
  });

  it('otherwise name up to three different peak tokens, after a register that dominates', () => {
    expect(guessLabel({ registers: registers(0.8) }, [' the', 'the', '\n', 'a', 'b'])).toBe(
      'json: "the", "\\n", "a"',
    );
    expect(guessLabel({ registers: registers(0.79) }, ['x'])).toBe('"x"');
    expect(guessLabel({ registers: registers(0.9) }, [])).toBe('json');
    expect(guessLabel({ registers: [] }, [])).toBe('never fired');
    expect(guessLabel({ registers: registers(0.2) }, ['\ufffd', ' \ufffd'])).toBe(
      'bytes of split characters',
    );
    expect(guessLabel({ registers: registers(0.9) }, ['\ufffd'])).toBe('json');
  });
});
