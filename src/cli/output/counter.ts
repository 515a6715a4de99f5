/** "held-out tokens 40,960 of 100,000 (41 %), 4,900 per second, 12 s left": one line, redrawn on a terminal, every few seconds elsewhere. */
import type { Context } from '../context.ts';
import { createLive } from './live.ts';
import { duration, grouped, percent } from './numbers.ts';

const DRAW_MS = 150;
const LINE_MS = 5000;

/** Per minute where little is done in a second. */
const speed = (perSecond: number): string =>
  perSecond < 2
    ? `${grouped(Number((perSecond * 60).toPrecision(2)))} per minute`
    : `${grouped(perSecond)} per second`;

export function createCounter(
  { style, write, note, signal }: Context,
  what: string,
): {
  update(done: number, total: number): void;
  /** Removes the line from a terminal. */
  end(): void;
} {
  const live = createLive(write, style, signal);
  let started: number | undefined;
  let first = 0;
  let printedAt = 0;
  return {
    update(done, total) {
      const now = performance.now();
      // The work begins at the first report; what comes before it (opening files) says nothing about the rate.
      if (started === undefined) {
        started = now;
        first = done;
        printedAt = now;
      }
      if (now - printedAt < (style.terminal ? DRAW_MS : LINE_MS)) return;
      printedAt = now;
      const rate = (Math.max(1, done - first) * 1000) / (now - started);
      const left = Math.max(0, total - done) / rate;
      const text = `${what} ${grouped(done)} of ${grouped(total)} (${percent(Math.min(1, done / total))}), ${speed(rate)}, ${duration(left)} left`;
      if (style.terminal) live.draw([style.format('dim', `  ${text}`)]);
      else note(text);
    },
    end: () => live.clear(),
  };
}

/** "tokens 1,204,992, 180,000 per second": like a counter, of work whose end is not known. */
export function createRate(
  { style, write, note, signal }: Context,
  what: string,
): { update(done: number): void; end(): void } {
  const live = createLive(write, style, signal);
  const started = performance.now();
  let printedAt = started;
  return {
    update(done) {
      const now = performance.now();
      if (now - printedAt < (style.terminal ? DRAW_MS : LINE_MS)) return;
      printedAt = now;
      const text = `${what} ${grouped(done)}, ${grouped(Math.round((done * 1000) / (now - started)))} per second`;
      if (style.terminal) live.draw([style.format('dim', `  ${text}`)]);
      else note(text);
    },
    end: () => live.clear(),
  };
}
