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

/** Said once after Ctrl-C. */
export const STOPPING = 'Stopping after this step and saving. Ctrl-C again stops at once.';

/**
 * @param signal when it is raised, the block says that the work is stopping: printed between two draws it would be drawn over
 */
export function createLive(write: (text: string) => void, style: Style, signal?: AbortSignal): Live {
  let shown: readonly string[] = [];
  let drawn = 0;
  const up = (): string => (drawn === 0 ? '' : `\x1b[${drawn}A\r\x1b[J`);
  const draw = (lines: readonly string[]): void => {
    if (!style.terminal) return;
    const all = signal?.aborted ? [...lines, '', style.format('yellow', `  ${STOPPING}`)] : lines;
    // One write, so that no half-drawn block is ever seen. A wrapped line would break the count: clip to the width.
    write(`${up()}${all.map((line) => `${clip(line, style.columns - 1)}\n`).join('')}`);
    drawn = all.length;
    shown = lines;
  };
  const redraw = (): void => draw(shown);
  const forget = (): void => {
    drawn = 0;
    signal?.removeEventListener('abort', redraw);
  };
  return {
    draw(lines) {
      // Only while something is shown: a job may have many blocks, one after the other.
      if (drawn === 0) signal?.addEventListener('abort', redraw);
      draw(lines);
    },
    keep: forget,
    clear() {
      if (drawn > 0) write(up());
      forget();
    },
  };
}
