/**
 * Work that ends when its client goes or the server closes.
 *
 * Not AbortSignal.any: on Node 20 a signal that lives long remembers every signal that was ever joined to it.
 */
export type Closing = {
  /** Runs `use` with a signal that is raised with any of `signals`, and when the server closes. */
  run<T>(signals: readonly AbortSignal[], use: (signal: AbortSignal) => Promise<T>): Promise<T>;
  close(): void;
};

export function createClosing(): Closing {
  const open = new Set<AbortController>();
  let closed = false;
  return {
    async run(signals, use) {
      const controller = new AbortController();
      // With a reason of its own: an HTTP server's is a text.
      const forward = (): void => controller.abort();
      for (const signal of signals) {
        if (signal.aborted) forward();
        signal.addEventListener('abort', forward);
      }
      if (closed) controller.abort();
      open.add(controller);
      try {
        return await use(controller.signal);
      } finally {
        open.delete(controller);
        for (const signal of signals) signal.removeEventListener('abort', forward);
      }
    },
    close() {
      closed = true;
      for (const controller of open) controller.abort();
    },
  };
}
