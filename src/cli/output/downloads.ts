/** "tiny/llama 123 MB of 548 MB (22 %), 12.3 MB/s, 35 s left": one line, redrawn on a terminal, every few seconds elsewhere. */
import type { HubAccess } from '../../hub/types.ts';
import type { Context } from '../context.ts';
import { createLive } from './live.ts';
import { bytes, duration, percent } from './numbers.ts';

const DRAW_MS = 150;
const LINE_MS = 5000;

/** Access to the hub that shows what comes; `end` removes the line from a terminal. */
export function createDownloads({ style, write, note, signal }: Context): {
  readonly access: HubAccess;
  end(): void;
} {
  const live = createLive(write, style, signal);
  let started = 0;
  let first = 0;
  let name = '';
  let printedAt = 0;
  const access: HubAccess = {
    signal,
    onNote(text) {
      live.clear();
      note(style.format('dim', `  ${text}`));
    },
    onDownload(progress) {
      const now = performance.now();
      const { done, total } = progress;
      // The first report has what an earlier run left, which says nothing about the rate.
      if (progress.name !== name || done < first) {
        [name, started, first, printedAt] = [progress.name, now, done, now];
        return;
      }
      if (done === total) live.clear();
      else if (now - printedAt >= (style.terminal ? DRAW_MS : LINE_MS)) {
        printedAt = now;
        const rate = (done - first) / ((now - started) / 1000);
        const text = `${name} ${bytes(done)} of ${bytes(total)} (${percent(done / total)}), ${bytes(rate)}/s, ${duration((total - done) / rate)} left`;
        if (style.terminal) live.draw([style.format('dim', `  ${text}`)]);
        else note(text);
      }
    },
  };
  return { access, end: () => live.clear() };
}

/** Runs what may download, shown as it comes; the line is gone when the result is there. */
export async function withDownloads<T>(
  context: Context,
  action: (access: HubAccess) => Promise<T>,
): Promise<T> {
  const downloads = createDownloads(context);
  try {
    return await action(downloads.access);
  } finally {
    downloads.end();
  }
}
