/** Small tokenizers with a known inverse, for tests: what matters here is where tokens begin and end. */
import type { Tokenizer } from '../../src/models/types.ts';

const encoder = new TextEncoder();
const strict = (ids: readonly number[], bytesOf: (id: number) => number[]): string =>
  new TextDecoder('utf-8').decode(Uint8Array.from(ids.flatMap(bytesOf)));

/** One token per UTF-8 byte, id = byte + 3; ids 0–2 are special, 1 is BOS. Splits every non-ASCII character. */
export const byteTokenizer: Tokenizer = {
  encode: (text, { bos = false } = {}) => [
    ...(bos ? [1] : []),
    ...[...encoder.encode(text)].map((b) => b + 3),
  ],
  encodePrompt: (text) => byteTokenizer.encode(text, { bos: true }),
  decode: (ids) => strict(ids, (id) => (id < 3 ? [] : [id - 3])),
  tokenStrings: (ids) => ids.map((id) => strict([id], (i) => (i < 3 ? [] : [i - 3]))),
  vocabularySize: 259,
  specialIds: new Set([0, 1, 2]),
};

/** Words with their leading space, as SentencePiece has them: decoding a lone token loses the space. */
export function wordTokenizer(vocabulary: string[] = []): Tokenizer {
  const ids = new Map(vocabulary.map((word, i) => [word, i]));
  const decode = (list: readonly number[]): string =>
    list
      .map((id) => vocabulary[id]!)
      .join('')
      .trimStart();
  const encode = (text: string): number[] =>
    (` ${text}`.match(/\s?\S+|\s/g) ?? []).map((word) => {
      if (!ids.has(word)) ids.set(word, vocabulary.push(word) - 1);
      return ids.get(word)!;
    });
  return {
    encode,
    encodePrompt: encode,
    decode,
    tokenStrings: (list) => list.map((id) => vocabulary[id]!),
    get vocabularySize() {
      return vocabulary.length;
    },
    specialIds: new Set(),
  };
}
