/** The order of a worker's inbox, the same in Node and the browser: one message at a time, stop only between two. */

type Envelope = { readonly message?: unknown; readonly stop?: boolean };

/** Queues envelopes until `start`, then handles them one after the other; a stop is obeyed when its turn comes. */
export function serialPort(stop: () => void): {
  push(envelope: Envelope): void;
  start(receive: (message: unknown) => void | Promise<void>): void;
} {
  const waiting: Envelope[] = [];
  let receiver: ((message: unknown) => void | Promise<void>) | undefined;
  let busy = false;

  async function drain(): Promise<void> {
    if (busy) return;
    busy = true;
    for (let next = waiting[0]; next; next = waiting[0]) {
      if (next.stop) {
        stop();
        return;
      }
      if (!receiver) break;
      waiting.shift();
      await receiver(next.message);
    }
    busy = false;
  }

  return {
    push(envelope) {
      waiting.push(envelope);
      // An error in the receiver becomes an unhandled rejection, which ends the worker and reaches the owner.
      void drain();
    },
    start(receive) {
      receiver = receive;
      void drain();
    },
  };
}
