/** Our model runtime as a contender: one batch of activations per turn, the graph cut after the hook. */
import '../../src/platform/node.ts';
import { openModel } from '../../src/models/index.ts';
import type { Contender } from './contender.ts';

export type HarvestBatch = { readonly ids: Int32Array; readonly B: number; readonly T: number };

/** `last` is the activation of the latest turn, for the comparison with the peer. */
export async function oursHarvest(
  name: string,
  folder: string,
  hook: string,
  { ids, B, T }: HarvestBatch,
  threads: number,
): Promise<Contender & { last(): Float32Array }> {
  const model = await openModel(folder, { threads });
  const batch = { ids, B, T, mask: new Uint8Array(B * T).fill(1) };
  let last = new Float32Array(0);
  return {
    name,
    about: { hook, B, T, threads, parameters: model.info.parameters },
    last: () => last,
    async turn() {
      const start = performance.now();
      const { cache } = await model.run(batch, { hooks: [hook] });
      const ms = performance.now() - start;
      last = cache[hook]!.data as Float32Array<ArrayBuffer>;
      return ms;
    },
    close: () => model.close(),
  };
}
