/**
 * Lines of true arithmetic with whole numbers.
 * Spans: `operand`, `operator` (value: the sign), `result`, and `carry` around lines of additions that carry.
 */
import type { Rng } from '../../shared/rng.ts';
import { createDraft, type Draft, type LabelledText } from '../labelled-text.ts';

function carries(a: number, b: number): boolean {
  for (let x = a, y = b; x > 0 && y > 0; x = Math.floor(x / 10), y = Math.floor(y / 10))
    if ((x % 10) + (y % 10) >= 10) return true;
  return false;
}

function putLine(draft: Draft, numbers: readonly number[], signs: readonly string[], result: number): void {
  for (const [i, value] of numbers.entries()) {
    if (i > 0) {
      const sign = signs[i - 1] as string;
      draft.put(' ');
      draft.mark('operator', sign, sign);
      draft.put(' ');
    }
    draft.mark('operand', String(value));
  }
  draft.put(' = ');
  draft.mark('result', String(result));
}

/** Fourteen to twenty-two sums, differences, products, divisions without rest, and sums of three, in sizes of one kind per text. */
export function generateArithmetic(rng: Rng): LabelledText {
  const draft = createDraft();
  const size = rng.pick([10, 100, 100, 1000]);
  for (let line = 14 + rng.int(9); line > 0; line--) {
    const a = rng.int(size);
    const b = rng.int(size);
    switch (rng.int(6)) {
      case 0:
      case 1: {
        const write = () => putLine(draft, [a, b], ['+'], a + b);
        if (carries(a, b)) draft.mark('carry', write);
        else write();
        break;
      }
      case 2:
        putLine(draft, [Math.max(a, b), Math.min(a, b)], ['-'], Math.abs(a - b));
        break;
      case 3:
        putLine(draft, [a % 13, b % 13], ['*'], (a % 13) * (b % 13));
        break;
      case 4:
        putLine(draft, [(a % 13) * (1 + (b % 12)), 1 + (b % 12)], ['/'], a % 13);
        break;
      default: {
        const c = rng.int(size);
        putLine(draft, [a, b, c], ['+', '+'], a + b + c);
      }
    }
    draft.put('\n');
  }
  return draft.done();
}
