/** The text of an index out of its blocks: tokens by place, what the cards know of latents, and a sample of codes. */
import type { PackedRows } from '../../data/index.ts';
import { createFeatureIndex, type FeatureIndex, type Labeller } from '../../explain/index.ts';
import { createTogether, indexTokens, type TextCodes, type TextTokens } from '../../explain/tables/index.ts';
import type { Block, BlockStore, TableWriter } from '../../store/index.ts';
import { MODEL_BATCH_SEQUENCES } from '../plan.ts';

/** Tokens on which latents that fire together are counted. */
export const SAMPLE_TOKENS = 131_072;

type ReadOptions = {
  readonly blocks: BlockStore;
  /** Latents. */
  readonly F: number;
  /** Whether a latent is in the tables [F]; all when absent. */
  readonly kept: Uint8Array | undefined;
  readonly labeller: Labeller;
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
};

export type Text = {
  readonly tokens: TextTokens;
  readonly index: FeatureIndex;
  /** Entries of every latent [F]. */
  readonly counts: Int32Array;
  readonly together: ReturnType<typeof createTogether>;
};

/** The text once through: its table, what the cards know of latents, and the sample of codes. */
export async function readText(
  { blocks, F, kept: included, labeller, seed, signal }: ReadOptions,
  table: TableWriter,
): Promise<Text> {
  const index = createFeatureIndex(F, { labeller, seed });
  const counts = new Int32Array(F);
  const kept: Block[] = [];
  const sample: { offsets: number[]; latents: number[] } = { offsets: [0], latents: [] };
  let T = 1;
  let positions = 0;
  const measuredOf = ({ ids, positions: own }: Block): Int32Array => {
    const measured = new Int32Array(ids.length);
    for (const position of own) measured[position] = 1;
    return measured;
  };
  for (let b = 0; b < blocks.count; b++) {
    signal?.throwIfAborted();
    const block = await blocks.read(b);
    T = block.T;
    const own = only(block, included);
    for (const latent of own.latents) counts[latent]!++;
    for (const rows of batchesOf(own)) await index.add(rows);
    for (let i = 0; i < block.positions.length && sample.offsets.length <= SAMPLE_TOKENS; i++) {
      for (let k = block.offsets[i]!; k < block.offsets[i + 1]!; k++) sample.latents.push(block.latents[k]!);
      sample.offsets.push(sample.latents.length);
    }
    const { ids, documents, starts, ends } = block;
    await table.write({
      id: ids,
      document: documents,
      start: starts,
      end: ends,
      measured: measuredOf(block),
    });
    positions += ids.length;
    const none = new Int32Array(0);
    kept.push({
      ...block,
      latents: none,
      offsets: none,
      starts: none,
      ends: none,
      values: new Float32Array(0),
    });
  }
  const [ids, documents, measured] = [
    new Int32Array(positions),
    new Int32Array(positions),
    new Uint8Array(positions),
  ];
  let base = 0;
  for (const block of kept) {
    ids.set(block.ids, base);
    documents.set(block.documents, base);
    for (const position of block.positions) measured[base + position] = 1;
    base += block.ids.length;
  }
  return {
    tokens: indexTokens(T, ids, documents, measured),
    index,
    counts,
    together: createTogether(F, {
      offsets: Int32Array.from(sample.offsets),
      latents: Int32Array.from(sample.latents),
    }),
  };
}

/** A block with the codes of some latents. */
function only(block: Block, kept: Uint8Array | undefined): Block {
  if (!kept) return block;
  const { positions, offsets: all, latents, values } = block;
  const offsets = new Int32Array(all.length);
  const entries: number[] = [];
  for (let i = 0; i < positions.length; i++) {
    for (let k = all[i]!; k < all[i + 1]!; k++) if (kept[latents[k]!] === 1) entries.push(k);
    offsets[i + 1] = entries.length;
  }
  return {
    ...block,
    offsets,
    latents: Int32Array.from(entries, (k) => latents[k]!),
    values: Float32Array.from(entries, (k) => values[k]!),
  };
}

/** A block as the rows that the model read, with codes of one width. */
function* batchesOf(block: Block) {
  const { R, T, ids, documents, starts, ends, positions, offsets, latents, values } = block;
  let first = 0;
  for (let row = 0; row < R; row += MODEL_BATCH_SEQUENCES) {
    const [from, to] = [row * T, Math.min(R, row + MODEL_BATCH_SEQUENCES) * T];
    let last = first;
    let K = 1;
    for (; last < positions.length && positions[last]! < to; last++)
      K = Math.max(K, offsets[last + 1]! - offsets[last]!);
    const n = last - first;
    const code = { K, values: new Float32Array(n * K), indices: new Int32Array(n * K) };
    for (let i = 0; i < n; i++) {
      const [a, b] = [offsets[first + i]!, offsets[first + i + 1]!];
      code.values.set(values.subarray(a, b), i * K);
      code.indices.set(latents.subarray(a, b), i * K);
    }
    const packed: PackedRows = {
      ...{ R: (to - from) / T, T },
      ids: ids.subarray(from, to),
      mask: Uint8Array.from(documents.subarray(from, to), (document) => (document < 0 ? 0 : 1)),
      documents: documents.subarray(from, to),
      starts: starts.subarray(from, to),
      ends: ends.subarray(from, to),
    };
    yield { packed, positions: positions.slice(first, last).map((position) => position - from), code };
    first = last;
  }
}

export async function* stretchesOf(
  blocks: BlockStore,
  kept: Uint8Array | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<TextCodes> {
  let base = 0;
  for (let b = 0; b < blocks.count; b++) {
    signal?.throwIfAborted();
    const block = only(await blocks.read(b), kept);
    yield { base, ...block };
    base += block.ids.length;
  }
}
