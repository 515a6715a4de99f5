/** "held-out tokens 40,960 of 100,000 (41 %), 12 s left": one line, redrawn on a terminal, every few seconds elsewhere. */
import type { Context } from '../context.ts';
import { createLive } from './live.ts';
import { duration, grouped, percent } from './numbers.ts';

const DRAW_MS = 150;
const LINE_MS = 5000;

export function createCounter(
  { style, write, note }: Context,
  what: string,
): {
  update(done: number, total: number): void;
  /** Removes the line from a terminal. */
  end(): void;
} {
  const live = createLive(write, style);
  const started = performance.now();
  let printedAt = started;
  return {
    update(done, total) {
      const now = performance.now();
      if (now - printedAt < (style.terminal ? DRAW_MS : LINE_MS)) return;
      printedAt = now;
      const left = ((now - started) / 1000 / Math.max(1, done)) * Math.max(0, total - done);
      const text = `${what} ${grouped(done)} of ${grouped(total)} (${percent(Math.min(1, done / total))}), ${duration(left)} left`;
      if (style.terminal) live.draw([style.format('dim', `  ${text}`)]);
      else note(text);
    },
    end: () => live.clear(),
  };
}
