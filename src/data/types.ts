/** A labelled stretch of a document: UTF-16 offsets into its text, half-open. Spans may nest. */
export type Span = {
  readonly start: number;
  readonly end: number;
  readonly label: string;
  readonly value?: string;
};

/** A turn of a conversation; further fields are for the chat template. */
export type Message = {
  readonly role: string;
  readonly content: string;
  readonly [field: string]: unknown;
};

/** One document: the unit of shuffling, of the held-out split, and of attention context. */
export type Document = {
  /** The JSONL `id` field, or `file:line`, or `file#section`. */
  readonly id: string;
  readonly text: string;
  /** Every other field of the JSONL line, plus `file`. */
  readonly meta: Readonly<Record<string, unknown>>;
  readonly register?: string;
  readonly spans?: readonly Span[];
  /** Of a conversation; `text` is then the contents, blank lines between them, until it is rendered (render-chats.ts). */
  readonly messages?: readonly Message[];
  /** Characters [start, end) whose tokens are trained on; all of them when absent. */
  readonly keep?: readonly { readonly start: number; readonly end: number }[];
};

/** Rows that are packed already, R of T positions, and what they were packed with. */
export type StoredRows = {
  /** The folder, for messages. */
  readonly name: string;
  readonly T: number;
  readonly rows: number;
  readonly bosTokenId: number | undefined;
  readonly tokenizerHash: string;
  /** Seed of the order in which the documents were packed. */
  readonly seed: string;
  /** Roles whose tokens are trained on; rows have `keep` then. */
  readonly roles?: readonly string[];
  /** First row of every shard, and after the last the number of rows. */
  readonly blocks: readonly number[];
  /** Row r: T positions of each. Views, good until the next call. */
  read(row: number): Promise<Pick<PackedRows, 'ids' | 'mask' | 'documents' | 'keep'>>;
};

/** Documents that can be read by index in any order; a file, a split of many files, or memory. */
export type DocumentSet = {
  /** What to call it in messages: `training data`, `held-out data`. */
  readonly name: string;
  readonly count: number;
  /** Identifies the content: a cursor of one set is refused by another. */
  readonly fingerprint: string;
  /**
   * First document of every stretch that is cheap to read together, and after the last the count: a shuffled order goes through
   * whole stretches. Absent where any document is as cheap as any other.
   */
  readonly blocks?: readonly number[];
  /** The documents' tokens, where they are packed already: packing gives these rows, and `get` a document without text. */
  readonly stored?: StoredRows;
  /** A document without text is not part of the set: packing skips it. */
  get(index: number): Promise<Document>;
};

/**
 * Where a pass over the data stands, taken between two rows: everything that is needed to continue. Plain JSON.
 * Token ids in flight are not stored: the document is tokenized again and its first `offset` tokens are skipped.
 */
export type DataCursor = {
  /** Passes over the data that are complete. */
  readonly epoch: number;
  /** Place in this epoch's order of documents. */
  readonly position: number;
  /** Tokens of that document that earlier rows hold. */
  readonly offset: number;
  /** Data, order and row length that the cursor belongs to. */
  readonly fingerprint: string;
  /** Of a mixture: every source's own place, and the rows taken from each. */
  readonly parts?: readonly DataCursor[];
  readonly taken?: readonly number[];
};

/** R packed rows of T positions; all arrays are [R,T] row-major. */
export type PackedRows = {
  readonly R: number;
  readonly T: number;
  readonly ids: Int32Array;
  /** 1 for tokens, 0 for the padding after the last document of a finite pass. */
  readonly mask: Uint8Array;
  /** Index of the document in its set; -1 for padding. */
  readonly documents: Int32Array;
  /**
   * Characters [starts, ends) of the document's text that the token stands for, in UTF-16 units; empty for BOS. All -1
   * unless offsets were asked for.
   */
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  /** 1 for positions that are trained on and measured; 0 for those that the model only reads. All are when absent. */
  readonly keep?: Uint8Array;
};
