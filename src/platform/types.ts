/** Bytes that can be read by range: a file, an HTTP resource, or memory. Readers never see paths. */
export type ByteSource = {
  readonly byteLength: number;
  /** Bytes [start, end). Throws when the range leaves the source. */
  slice(start: number, end: number): Promise<Uint8Array>;
};
