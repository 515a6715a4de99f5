/**
 * Documents -> rows of exactly T token ids, packed.
 *
 *     row     = BOS  t_1 … t_{T-1}                        every row starts with BOS
 *     stream  = … d_7  BOS d_2  BOS d_9 …                 every document starts with BOS
 *
 * - Documents are laid one after the other; a document may begin anywhere in a row, after its own BOS. At the start of
 *   a row the row's BOS is the document's BOS: there are never two.
 * - A document that does not fit into the rest of a row **continues in the next row**, after that row's BOS: there it
 *   has lost its context from the left, and nothing else. So a document longer than T spans several rows and no token
 *   is dropped.
 * - When one position is left in a row, the next document's BOS fills it, and the document itself begins in the next row
 *   after that row's BOS.
 * - The tail: an endless pass goes on with the next epoch's documents in the same row; a finite pass pads its last row
 *   on the right (mask 0), so that every token of the data is given exactly once.
 * - Tokens see earlier documents of their row: packing does not mask attention, as in the models' own pre-training.
 * - Without a BOS id nothing marks boundaries; documents simply follow one another.
 * - For an encoder BOS is [CLS], and [SEP] ends every document.
 * - A document without tokens (empty text) is skipped.
 *
 * Order: a permutation of the documents per epoch from the seed, the order of the files, or a given one. A cursor taken between
 * rows gives the same rows again.
 */
import type { Tokenizer } from '../models/types.ts';
import { tokenOffsets } from './offsets.ts';
import { documentOrder } from './order.ts';
import { storedRows } from './stored-rows.ts';
import type { DataCursor, Document, DocumentSet, PackedRows } from './types.ts';

export type PackOptions = {
  readonly documents: DocumentSet;
  readonly tokenizer: Tokenizer;
  /** T, positions per row, BOS included. */
  readonly contextLength: number;
  /** Set it from `model.info.bosTokenId`. */
  readonly bosTokenId: number | undefined;
  /** `shuffled` permutes the documents of every epoch by the seed; numbers of documents are taken as they stand in every epoch, and `seed` names them. */
  readonly order?: 'shuffled' | 'files' | Uint32Array;
  readonly seed?: number | string;
  /** Start again at the end of the data (training), or end with a padded row (evaluation). */
  readonly endless?: boolean;
  /** Fill `starts` and `ends`; costs about as much as tokenizing. */
  readonly offsets?: boolean;
  /** Continue from here. */
  readonly cursor?: DataCursor;
};

/** Packed rows, read forward. */
export type RowSource = {
  readonly T: number;
  readonly documents: DocumentSet;
  /** Up to `rows` further rows: fewer at the end of a finite pass, then undefined. */
  next(rows: number): Promise<PackedRows | undefined>;
  /** Where the next row begins. */
  cursor(): DataCursor;
  /** Passes over the data that are complete. */
  readonly epochs: number;
};

type Loaded = {
  index: number;
  ids: number[];
  starts: Int32Array;
  ends: Int32Array;
  /** Of a document of which only some tokens are trained on. */
  keep: Uint8Array | undefined;
};

/** PackedRows that are being filled: `keep` comes with the first document that needs it. */
type Rows = Omit<PackedRows, 'keep'> & { keep?: Uint8Array };

/** 1 for tokens that have a character in one of the stretches. */
function keptTokens(
  { starts, ends }: { readonly starts: Int32Array; readonly ends: Int32Array },
  stretches: NonNullable<Document['keep']>,
): Uint8Array {
  return Uint8Array.from(starts, (start, i) =>
    stretches.some((stretch) => start < stretch.end && ends[i]! > stretch.start) ? 1 : 0,
  );
}

/** Nothing to pack: says which of the two reasons it is. */
function emptyData(documents: DocumentSet): Error {
  return new Error(
    documents.count === 0
      ? `The ${documents.name} have no documents. Add text, or check the paths and the held-out split.`
      : `The ${documents.name} have ${documents.count} documents, and none of them gives a single token. Check the text field.`,
  );
}

/**
 * Packs documents into rows of T tokens by the rule in this file's header; rows that are stored already are read.
 *
 * @throws when T < 2, when there are no documents or none with a token, when the cursor belongs to other data, when an order is given that is
 *   not of all documents, or for rows that are stored
 */
export function packRows(options: PackOptions): RowSource {
  if (options.documents.stored) return storedRows(options, options.documents.stored);
  const { documents, tokenizer, contextLength: T, bosTokenId: bos } = options;
  const { order: orderKind = 'shuffled', seed = 0, endless = true, offsets = false } = options;
  if (typeof orderKind !== 'string' && orderKind.length !== documents.count)
    throw new RangeError(
      `The order is of ${orderKind.length} documents, the ${documents.name} have ${documents.count}`,
    );
  if (!Number.isInteger(T) || T < 2)
    throw new RangeError(`Rows need at least 2 positions (BOS and a token), got T = ${T}`);
  if (documents.count === 0) throw emptyData(documents);
  const fingerprint = `${documents.fingerprint}/${orderKind === 'files' ? 'files' : seed}/${T}/${bos ?? 'no-bos'}`;
  if (options.cursor && options.cursor.fingerprint !== fingerprint) {
    throw new Error(
      `The saved position belongs to other data or settings (saved ${options.cursor.fingerprint}, now ${fingerprint}). Resume with the same files, seed and context length, or start a new run.`,
    );
  }

  let { epoch, position, offset } = options.cursor ?? { epoch: 0, position: 0, offset: 0 };
  let ended = !endless && epoch > 0;
  let order: ((position: number) => number) | undefined;
  let orderEpoch = -1;
  /** The document at `position`, when it has been read. */
  let current: Loaded | undefined;
  /** Whether any document ever gave a token; a cursor that has moved proves it. */
  let anyTokens = offset > 0 || position > 0 || epoch > 0;
  const pieces = new Map<number, string>();

  async function load(): Promise<Loaded> {
    if (orderEpoch !== epoch) {
      order =
        orderKind === 'shuffled'
          ? documentOrder(documents, seed, epoch)
          : orderKind === 'files'
            ? undefined
            : (place) => orderKind[place]!;
      orderEpoch = epoch;
    }
    const index = order ? order(position) : position;
    const { text, messages, keep } = await documents.get(index);
    const ids = tokenizer.encode(text, { bos: false });
    const none = { starts: new Int32Array(0), ends: new Int32Array(0) };
    const places = offsets || keep ? tokenOffsets(text, ids, tokenizer, pieces) : none;
    const kept = keep && keptTokens(places, keep);
    // Chat templates write the BOS themselves.
    const from = messages && ids[0] === bos ? 1 : 0;
    const { endId } = tokenizer;
    if (endId !== undefined && ids.length > 0)
      return {
        index,
        ids: [...ids, endId],
        starts: Int32Array.of(...places.starts, text.length),
        ends: Int32Array.of(...places.ends, text.length),
        keep: kept && Uint8Array.of(...kept, 0),
      };
    return {
      index,
      ids: from === 0 ? ids : ids.slice(from),
      starts: places.starts.subarray(from),
      ends: places.ends.subarray(from),
      keep: kept?.subarray(from),
    };
  }

  /** The document that the next token comes from; undefined at the end of a finite pass. */
  async function currentDocument(): Promise<Loaded | undefined> {
    while (!ended) {
      current ??= await load();
      if (offset < current.ids.length) return current;
      current = undefined;
      offset = 0;
      if (++position < documents.count) continue;
      if (!anyTokens) throw emptyData(documents);
      position = 0;
      epoch++;
      if (!endless) ended = true;
    }
    return undefined;
  }

  /** Fills row r of `out`; false when there was nothing left to put into it. */
  async function fillRow(out: Rows, r: number): Promise<boolean> {
    const base = r * T;
    let at = 0;
    while (at < T) {
      const document = await currentDocument();
      if (!document) break;
      const { index, ids, starts, ends, keep } = document;
      if (keep) out.keep ??= new Uint8Array(out.R * T).fill(1);
      if (bos !== undefined && (at === 0 || offset === 0)) {
        out.ids[base + at] = bos;
        out.mask[base + at] = 1;
        out.documents[base + at] = index;
        if (offsets) {
          out.starts[base + at] = starts[offset]!;
          out.ends[base + at] = starts[offset]!;
        }
        if (keep) out.keep![base + at] = 0;
        at++;
      }
      const n = Math.min(T - at, ids.length - offset);
      for (let i = 0; i < n; i++, at++, offset++) {
        out.ids[base + at] = ids[offset]!;
        out.mask[base + at] = 1;
        out.documents[base + at] = index;
        if (offsets) {
          out.starts[base + at] = starts[offset]!;
          out.ends[base + at] = ends[offset]!;
        }
        if (keep) out.keep![base + at] = keep[offset]!;
      }
      anyTokens ||= n > 0;
    }
    return at > 0;
  }

  return {
    T,
    documents,
    async next(rows) {
      const size = rows * T;
      const out: Rows = {
        R: rows,
        T,
        ids: new Int32Array(size),
        mask: new Uint8Array(size),
        documents: new Int32Array(size).fill(-1),
        starts: new Int32Array(size).fill(-1),
        ends: new Int32Array(size).fill(-1),
      };
      let r = 0;
      while (r < rows && (await fillRow(out, r))) r++;
      if (r === 0) return undefined;
      if (r === rows) return out;
      return {
        R: r,
        T,
        ids: out.ids.slice(0, r * T),
        mask: out.mask.slice(0, r * T),
        documents: out.documents.slice(0, r * T),
        starts: out.starts.slice(0, r * T),
        ends: out.ends.slice(0, r * T),
        ...(out.keep ? { keep: out.keep.slice(0, r * T) } : {}),
      };
    },
    cursor: () => ({ epoch, position, offset, fingerprint }),
    get epochs() {
      return epoch;
    },
  };
}
