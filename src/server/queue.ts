/**
 * So many jobs at once, so many waiting, and no more: what is beyond is sent away at once with how long to wait.
 *
 *     retry after = mean seconds of a job x (waiting + 1) / running
 */
import { ApiError } from './errors.ts';

export type Queue = {
  /**
   * Waits for a place and returns how to give it back.
   *
   * @throws ApiError 503 when too many wait; the signal's reason when the caller has gone
   */
  enter(signal: AbortSignal): Promise<() => void>;
  /** Waits, runs, gives the place back. */
  run<T>(signal: AbortSignal, job: () => Promise<T>): Promise<T>;
  readonly state: { readonly running: number; readonly waiting: number };
};

/** A first guess at a job's seconds, until one has been seen. */
const FIRST_GUESS = 2;

export function createQueue({
  running: most,
  waiting: longest,
}: {
  running: number;
  waiting: number;
}): Queue {
  let running = 0;
  let seconds = FIRST_GUESS;
  const line: (() => void)[] = [];

  function leave(since: number): () => void {
    let left = false;
    return () => {
      if (left) return;
      left = true;
      running--;
      seconds = 0.8 * seconds + 0.2 * ((performance.now() - since) / 1000);
      line.shift()?.();
    };
  }

  async function enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (running >= most) {
      if (line.length >= longest)
        throw new ApiError(
          `The server is busy: ${running} texts are being written and ${line.length} requests wait. Try again later.`,
          {
            status: 503,
            code: 'overloaded',
            retryAfter: Math.max(1, Math.ceil((seconds * (line.length + 1)) / most)),
          },
        );
      await new Promise<void>((resolve, reject) => {
        const go = (): void => {
          signal.removeEventListener('abort', gone);
          running++;
          resolve();
        };
        const gone = (): void => {
          line.splice(line.indexOf(go), 1);
          reject(signal.reason);
        };
        signal.addEventListener('abort', gone, { once: true });
        line.push(go);
      });
    } else running++;
    return leave(performance.now());
  }

  return {
    enter,
    async run(signal, job) {
      const done = await enter(signal);
      try {
        return await job();
      } finally {
        done();
      }
    },
    get state() {
      return { running, waiting: line.length };
    },
  };
}
