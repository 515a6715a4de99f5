import type { MetricsLine } from '../shared/run.ts';

/** The writing side of a folder. Node's is `folderWriter` in atomic.ts; a browser may collect files for download. */

/** Bytes in order. A chunk may be overwritten by its producer once the next one is asked for. */
export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export type FolderWriter = {
  /** What to call the folder in messages. */
  readonly name: string;
  /**
   * Writes a file of exactly `byteLength` bytes: all of it, or the old file stays. Throws StorageFull on a full disk.
   */
  write(file: string, chunks: Chunks, byteLength: number): Promise<void>;
};

/** Where the lines of metrics go as training writes them: a file, a URL, TensorBoard. */
export type MetricSink = {
  append(line: MetricsLine): Promise<void>;
  close(): Promise<void>;
};

export type CheckpointArray = Float32Array | Int32Array | Float64Array | Uint32Array | Uint8Array;

/** An array that is handed over piece by piece, so that it need not exist whole. */
export type StreamedArray = {
  readonly type: 'F64' | 'F32' | 'I32' | 'U32' | 'U8';
  /** Elements. */
  readonly length: number;
  /** In order; a piece is valid until the next one is asked for. */
  pieces(): AsyncIterable<CheckpointArray>;
};

/** Everything that a continuation needs: arrays by name and plain JSON. */
export type Checkpoint<A = CheckpointArray> = {
  readonly step: number;
  readonly arrays: ReadonlyMap<string, A>;
  readonly json: Readonly<Record<string, unknown>>;
};
