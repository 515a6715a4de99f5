/** Things that are slow to open: opened once, shared while in use, and the most recently used kept for the next time. */
export type Kept<T> = {
  use<R>(key: string, open: () => Promise<T>, use: (value: T) => Promise<R>): Promise<R>;
  /** Waits for what is in use. */
  close(): Promise<void>;
};

type Entry<T> = { readonly value: Promise<T>; users: number; dropped: boolean };

export function createKept<T>(most: number, close: (value: T) => Promise<void> = async () => {}): Kept<T> {
  const entries = new Map<string, Entry<T>>();
  let closed = false;
  let idle: (() => void) | undefined;

  async function drop(key: string, entry: Entry<T>): Promise<void> {
    if (entry.dropped) return;
    entry.dropped = true;
    if (entries.get(key) === entry) entries.delete(key);
    await entry.value.then(close, () => {});
  }

  /** The least recently used that nobody uses go first. */
  async function trim(): Promise<void> {
    for (const [key, entry] of entries) {
      if (entries.size <= (closed ? 0 : most)) break;
      if (entry.users === 0) await drop(key, entry);
    }
    if (entries.size === 0) idle?.();
  }

  return {
    async use(key, open, use) {
      if (closed) throw new Error('The server is closing.');
      const entry = entries.get(key) ?? { value: open(), users: 0, dropped: false };
      entries.delete(key);
      entries.set(key, entry);
      entry.users++;
      try {
        return await use(await entry.value);
      } catch (error) {
        // One that failed to open is not found again.
        await entry.value.catch(() => entries.get(key) === entry && entries.delete(key));
        throw error;
      } finally {
        entry.users--;
        await trim();
      }
    },
    async close() {
      closed = true;
      const empty = new Promise<void>((resolve) => {
        idle = resolve;
      });
      await trim();
      await empty;
    },
  };
}
