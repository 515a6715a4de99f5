import { expect, it } from 'vitest';
import '../platform/node.ts';
import { batches, smallTraining as small } from '../../test/support/training.ts';
import { getPlatform, setPlatform } from '../platform/current.ts';
import type { WorkerHandle } from '../platform/types.ts';
import { createTrainer } from './trainer.ts';

it('a worker that dies fails the step and those after it, and the others do not wait for it', async () => {
  const platform = getPlatform();
  let spawned = 0;
  let closed = 0;
  const dying = (): WorkerHandle => {
    let [reply, fail]: [(message: unknown) => void, (error: Error) => void] = [() => {}, () => {}];
    return {
      postMessage: (request) =>
        (request as { type: string }).type === 'step' ? fail(new Error('no memory')) : reply({ result: {} }),
      onMessage: (receive) => void (reply = receive),
      onError: (receive) => void (fail = receive),
      keepAlive() {},
      close: async () => void closed++,
    };
  };
  setPlatform({
    ...platform,
    // The first is a real one: it comes to the barrier, where the second never arrives.
    spawnWorker: (...args) => (spawned++ === 0 ? platform.spawnWorker(...args) : dying()),
  });
  try {
    const trainer = await createTrainer({ ...small, workers: 2 });
    const [x] = batches(small, 1);
    await trainer.initialize(x!);
    for (let i = 0; i < 2; i++) await expect(trainer.train(x!)).rejects.toThrow('no memory');
    await trainer.close();
    expect(closed).toBe(1);
  } finally {
    setPlatform(platform);
  }
});
