/**
 * A stream of bytes of plain text -> byte ranges of documents.
 *
 * A text file is cut at every `<|endoftext|>`. A piece longer than 8 KiB (about two thousand tokens) is cut further, after
 * the first blank line beyond 8 KiB; where there is none within 32 KiB, after a line end, a space, or a character, in
 * this order. So one long book gives many documents, which the held-out split and the shuffling need. The cuts depend
 * on the bytes alone, not on how the stream was chunked. White space at both ends of a document is left out.
 */

const SEPARATOR = new TextEncoder().encode('<|endoftext|>');
/** A section is not cut before this. */
export const SECTION_BYTES = 8192;
/** A section is cut by then at the latest. */
export const MAX_SECTION_BYTES = 32768;

const NEWLINE = 10;
const isSpace = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13);

/** First place in [from, to) where `pattern` stands entirely within `bytes[.., to)`, -1 when nowhere. */
function find(bytes: Uint8Array, pattern: Uint8Array, from: number, to: number): number {
  const area = bytes.subarray(from, to);
  for (let i = area.indexOf(pattern[0]!); i >= 0; i = area.indexOf(pattern[0]!, i + 1)) {
    let n = 1;
    while (n < pattern.length && area[i + n] === pattern[n]) n++;
    if (n === pattern.length) return from + i;
  }
  return -1;
}

/** After the first blank line in [from, limit), -1 when there is none. */
function afterBlankLine(bytes: Uint8Array, from: number, limit: number): number {
  const area = bytes.subarray(from, Math.max(from, limit));
  for (let i = area.indexOf(NEWLINE); i >= 0; i = area.indexOf(NEWLINE, i + 1)) {
    const next = area[i + 1] === 13 ? i + 2 : i + 1;
    if (area[next] === NEWLINE) return from + next + 1;
  }
  return -1;
}

/** The cut of a piece without blank lines: after a line end, a space, or a character. */
function cutWithoutBlankLine(bytes: Uint8Array, from: number, limit: number): number {
  const line = bytes.subarray(from, limit).indexOf(NEWLINE);
  if (line >= 0) return from + line + 1;
  for (let i = from; i < limit; i++) if (isSpace(bytes[i]!)) return i + 1;
  // Within one enormous word: not inside a character (continuation bytes are 10xxxxxx).
  let place = limit;
  while (place > from && (bytes[place]! & 0xc0) === 0x80) place--;
  return place;
}

export type Section = { readonly bytes: Uint8Array; readonly start: number };

/** Cuts chunks of plain text into documents; `start` is the byte offset of the document in the stream. */
export async function* textSections(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Section> {
  let buffer: Uint8Array = new Uint8Array(0);
  let bufferStart = 0;

  function* cut(final: boolean): Generator<Section> {
    let at = 0;
    for (;;) {
      const available = buffer.length - at;
      // Far enough ahead to see the latest cut and a separator that begins before it.
      if (!final && available < MAX_SECTION_BYTES + SEPARATOR.length) break;
      if (available === 0) break;
      const limit = Math.min(buffer.length, at + MAX_SECTION_BYTES);
      const separator = find(buffer, SEPARATOR, at, Math.min(buffer.length, limit + SEPARATOR.length));
      const pieceEnd = separator >= 0 ? separator : limit;
      const whole = separator >= 0 || (final && limit === buffer.length);
      const earliest = at + SECTION_BYTES;
      let end = afterBlankLine(buffer, earliest, pieceEnd);
      if (end < 0) end = whole ? pieceEnd : cutWithoutBlankLine(buffer, earliest, limit);
      let from = at;
      let to = end;
      while (from < to && isSpace(buffer[from]!)) from++;
      while (to > from && isSpace(buffer[to - 1]!)) to--;
      if (to > from) yield { bytes: buffer.subarray(from, to), start: bufferStart + from };
      at = separator >= 0 && end === separator ? separator + SEPARATOR.length : end;
    }
    bufferStart += at;
    buffer = buffer.slice(at);
  }

  for await (const chunk of chunks) {
    const joined = new Uint8Array(buffer.length + chunk.length);
    joined.set(buffer);
    joined.set(chunk, buffer.length);
    buffer = joined;
    yield* cut(false);
  }
  yield* cut(true);
}
