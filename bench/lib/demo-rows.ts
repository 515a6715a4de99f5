/** Activations of the bundled model in memory, and what measures an SAE on its held-out text. */
import { fileURLToPath } from 'node:url';
import { openCorpus, type PackedRows, packRows } from '../../src/data/index.ts';
import { createActivationStreams } from '../../src/harvest/index.ts';
import { openModel } from '../../src/models/index.ts';
import { createRng } from '../../src/shared/rng.ts';

const demo = (path: string) => fileURLToPath(new URL(`../../demo/${path}`, import.meta.url));

export type DemoRows = Awaited<ReturnType<typeof openDemoRows>>;

/** `train` rows of the training documents and `heldout` of the others, at a hook; with `outputHook` also what a transcoder is to give. */
export async function openDemoRows(hook: string, train: number, heldout: number, outputHook?: string) {
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
  const hooks = outputHook === undefined ? [hook] : [hook, outputHook];
  async function read(held: boolean, count: number): Promise<{ D: number; rows: Float32Array }[]> {
    const stream = createActivationStreams({
      ...{ model, hooks, rows: packed(held, true), shuffleTokens: 65_536, seed: 'bench' },
    });
    const read = stream.widths.map((D) => ({ D, rows: new Float32Array(count * D) }));
    for (let at = 0; at < count; at += 4096) {
      const n = Math.min(4096, count - at);
      const { xs } = (await stream.next(n))!;
      for (const [k, { D, rows }] of read.entries()) rows.set(xs[k]!.subarray(0, n * D), at * D);
    }
    await stream.close();
    return read;
  }
  const [own, given] = await read(false, train);
  const [held] = heldout > 0 ? await read(true, heldout) : [];
  /** The same draws of every place. */
  const draw = ({ D, rows }: { D: number; rows: Float32Array }, i: number, B: number): Float32Array => {
    const rng = createRng(`batch/${i}`);
    const x = new Float32Array(B * D);
    for (let b = 0; b < B; b++) {
      const row = rng.int(train) * D;
      x.set(rows.subarray(row, row + D), b * D);
    }
    return x;
  };
  return {
    model,
    D: own!.D,
    /** Of what a transcoder gives. */
    Dout: given?.D,
    held: held?.rows ?? new Float32Array(0),
    /** Batch number i of B rows, the same for everybody; drawn anew when the rows are used up. */
    batch: (i: number, B: number): Float32Array => draw(own!, i, B),
    /** What a transcoder is to give for the rows of that batch. */
    given: (i: number, B: number): Float32Array | undefined => given && draw(given, i, B),
    async *heldoutText(): AsyncGenerator<PackedRows> {
      const source = packed(true, false);
      for (let next = await source.next(16); next; next = await source.next(16)) yield next;
    },
    async close(): Promise<void> {
      await model.close();
    },
  };
}
