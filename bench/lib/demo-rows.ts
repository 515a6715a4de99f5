/** Activations of the bundled model in memory, and what measures an SAE on its held-out text. */
import { fileURLToPath } from 'node:url';
import { openCorpus, type PackedRows, packRows } from '../../src/data/index.ts';
import { createActivationStream } from '../../src/harvest/index.ts';
import { openModel } from '../../src/models/index.ts';
import { createRng } from '../../src/shared/rng.ts';

const demo = (path: string) => fileURLToPath(new URL(`../../demo/${path}`, import.meta.url));

export type DemoRows = Awaited<ReturnType<typeof openDemoRows>>;

/** `train` rows of the training documents and `heldout` of the others, at the default hook. */
export async function openDemoRows(hook: string, train: number, heldout: number) {
  const model = await openModel(demo('model'));
  const corpus = await openCorpus({
    data: [demo('corpus/train.jsonl.gz')],
    heldout: [demo('corpus/heldout.jsonl.gz')],
  });
  const packed = (held: boolean, endless: boolean) =>
    packRows({
      documents: held ? corpus.heldout : corpus.train,
      tokenizer: model.tokenizer!,
      contextLength: 256,
      bosTokenId: model.info.bosTokenId,
      seed: 'bench',
      endless,
    });
  async function read(held: boolean, count: number): Promise<{ D: number; rows: Float32Array }> {
    const stream = createActivationStream({
      ...{ model, hook, rows: packed(held, true), shuffleTokens: 65_536, seed: 'bench' },
    });
    const { D } = stream;
    const rows = new Float32Array(count * D);
    for (let at = 0; at < count; at += 4096) {
      const n = Math.min(4096, count - at);
      rows.set((await stream.next(n))!.x.subarray(0, n * D), at * D);
    }
    await stream.close();
    return { D, rows };
  }
  const { D, rows } = await read(false, train);
  const { rows: held } = await read(true, heldout);
  return {
    model,
    D,
    held,
    /** Batch number i of B rows, the same for everybody; drawn anew when the rows are used up. */
    batch(i: number, B: number): Float32Array {
      const rng = createRng(`batch/${i}`);
      const x = new Float32Array(B * D);
      for (let b = 0; b < B; b++) {
        const row = rng.int(train) * D;
        x.set(rows.subarray(row, row + D), b * D);
      }
      return x;
    },
    async *heldoutText(): AsyncGenerator<PackedRows> {
      const source = packed(true, false);
      for (let next = await source.next(16); next; next = await source.next(16)) yield next;
    },
    async close(): Promise<void> {
      await model.close();
    },
  };
}
