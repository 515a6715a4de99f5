/** Tokens per second of a planned training run on this machine, from a few real steps whose result is thrown away. */
import type { TrainConfig } from '../shared/config.ts';
import { createTrainer } from '../train/index.ts';
import { withResources } from './resources.ts';
import { withStoredLength } from './streams.ts';
import { openSource } from './train-sae.ts';
import { nextRows } from './training/loop.ts';

/** Steps that warm up the engine and the compiler, then steps that are timed. */
const WARM_UP = 2;
const TIMED = 5;

/**
 * Runs seven steps of the plan, data and model included.
 *
 * @returns tokens per second
 */
export async function measureSpeed(
  config: TrainConfig,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<number> {
  return await withResources(async (own) => {
    const unread = await openSource(config, signal ? { signal } : {}, own);
    const plan = unread.plan(await withStoredLength(config), '');
    const source = await unread.read();
    const { batchTokens: B } = config;
    const small = { ...plan, settings: { ...plan.settings, shuffleTokens: B } };
    const { rows } = source.open(small, [plan.settings.hook], { signal });
    own(rows);
    const trainer = own(await createTrainer(plan.trainer));
    await trainer.initialize((await nextRows(rows, B))[0]!);
    let started = 0;
    for (let i = 0; i < WARM_UP + TIMED; i++) {
      signal?.throwIfAborted();
      if (i === WARM_UP) started = performance.now();
      const [x] = await nextRows(rows, B);
      await trainer.train(x!);
    }
    return (TIMED * B * 1000) / (performance.now() - started);
  });
}
