/** First pass: text -> model -> codes, kept in blocks on disk. A stopped pass goes on after its last block. */
import type { DataCursor, PackedRows, RowSource } from '../../data/index.ts';
import type { RowReader } from '../../eval/index.ts';
import type { Block, BlockStore } from '../../store/index.ts';
import { MODEL_BATCH_SEQUENCES } from '../plan.ts';
import { SAMPLE_TOKENS } from './read-text.ts';

/** Measured tokens of a block, at least. */
const BLOCK_TOKENS = 16_384;

type Observed = Pick<Awaited<ReturnType<RowReader>>, 'packed' | 'positions' | 'code'>;

export type CollectOptions = {
  readonly read: RowReader;
  /** Rows from the cursor on. */
  readonly rows: RowSource;
  readonly blocks: BlockStore;
  readonly maxTokens: number;
  /** Whether a latent is kept [F], behind the first tokens, of which all are: they say what fires together. All when absent. */
  readonly kept?: Uint8Array;
  readonly signal?: AbortSignal;
  /** Measured tokens so far, of at most `maxTokens`. */
  readonly onProgress?: (tokens: number) => void;
};

/** Reads until the text or `maxTokens` ends; a block that is not whole when `signal` is raised is read again the next time. */
export async function collect(options: CollectOptions): Promise<void> {
  const { read, rows, blocks, maxTokens, kept, signal, onProgress } = options;
  let tokens = blocks.state?.tokens ?? 0;
  let part: Observed[] = [];
  let inPart = 0;
  /** Of the block before: the disk works while the next one is read. */
  let written = Promise.resolve();
  const flush = async (cursor: DataCursor): Promise<void> => {
    if (part.length === 0) return;
    const block = joinBlock(part, kept, Math.max(0, SAMPLE_TOKENS - (tokens - inPart)));
    [part, inPart] = [[], 0];
    await written;
    written = blocks.append(block, { cursor, tokens });
    // Thrown where it is waited for.
    written.catch(() => {});
  };
  // The engine reads the next rows while those before are put away.
  const ahead = async () => {
    const packed = await rows.next(MODEL_BATCH_SEQUENCES);
    return packed && { observed: read(copied(packed)), cursor: rows.cursor() };
  };
  try {
    let next = tokens < maxTokens ? await ahead() : undefined;
    while (next) {
      const { observed, cursor } = next;
      const { packed, positions, code } = await observed;
      signal?.throwIfAborted();
      const n = Math.min(positions.length, maxTokens - tokens);
      part.push({ packed, positions: positions.subarray(0, n), code });
      tokens += n;
      inPart += n;
      next = tokens < maxTokens ? await ahead() : undefined;
      // The rows ahead are not in this block.
      if (inPart >= BLOCK_TOKENS || next === undefined) await flush(cursor);
      onProgress?.(tokens);
    }
  } finally {
    await written;
  }
}

/** The packer may reuse its arrays while the engine reads them. */
const copied = (packed: PackedRows): PackedRows => ({
  ...packed,
  ids: packed.ids.slice(),
  mask: packed.mask.slice(),
  documents: packed.documents.slice(),
  starts: packed.starts.slice(),
  ends: packed.ends.slice(),
});

/** @param whole tokens, from the first, of which all latents are kept */
function joinBlock(parts: readonly Observed[], kept: Uint8Array | undefined, whole: number): Block {
  const T = parts[0]!.packed.T;
  const R = parts.reduce((sum, { packed }) => sum + packed.R, 0);
  const n = parts.reduce((sum, { positions }) => sum + positions.length, 0);
  let most = 0;
  for (const { positions, code } of parts) most += positions.length * (code?.K ?? 0);
  const join = (name: 'ids' | 'documents' | 'starts' | 'ends'): Int32Array => {
    const all = new Int32Array(R * T);
    let at = 0;
    for (const { packed } of parts) {
      all.set(packed[name], at);
      at += packed.R * T;
    }
    return all;
  };
  const positions = new Int32Array(n);
  const offsets = new Int32Array(n + 1);
  const latents = new Int32Array(most);
  const values = new Float32Array(most);
  let [token, entry, base] = [0, 0, 0];
  for (const { packed, positions: own, code } of parts) {
    for (let r = 0; r < own.length; r++) {
      positions[token] = base + own[r]!;
      if (code)
        for (let k = r * code.K; k < (r + 1) * code.K; k++) {
          const value = code.values[k]!;
          const latent = code.indices[k]!;
          if (!(value > 0) || (kept && token >= whole && kept[latent] === 0)) continue;
          latents[entry] = latent;
          values[entry++] = value;
        }
      offsets[++token] = entry;
    }
    base += packed.R * T;
  }
  return {
    ...{ R, T, positions, offsets },
    ...{ ids: join('ids'), documents: join('documents'), starts: join('starts'), ends: join('ends') },
    latents: latents.slice(0, entry),
    values: values.slice(0, entry),
  };
}
