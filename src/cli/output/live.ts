/** A block of lines that is redrawn in place on a terminal. Elsewhere nothing is redrawn: print plain lines instead. */
import type { Style } from './style.ts';
import { clip } from './width.ts';

export type Live = {
  /** Draws these lines over the last ones. */
  draw(lines: readonly string[]): void;
  /** Leaves the last lines where they are; the next draw starts below. */
  keep(): void;
  /** Removes the last lines. */
  clear(): void;
};

export function createLive(write: (text: string) => void, style: Style): Live {
  let drawn = 0;
  const up = (): string => (drawn === 0 ? '' : `\x1b[${drawn}A\r\x1b[J`);
  return {
    draw(lines) {
      if (!style.terminal) return;
      // One write, so that no half-drawn block is ever seen. A wrapped line would break the count: clip to the width.
      write(`${up()}${lines.map((line) => `${clip(line, style.columns - 1)}\n`).join('')}`);
      drawn = lines.length;
    },
    keep() {
      drawn = 0;
    },
    clear() {
      if (drawn > 0) write(up());
      drawn = 0;
    },
  };
}
