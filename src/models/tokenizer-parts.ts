/**
 * A tokenizer.json for @huggingface/tokenizers, so that it gives the ids and texts of the Python (Rust) library. Where the two differ, the
 * part is written with other parts that are the same in both:
 *
 *     white space   JavaScript's \\s has U+FEFF and lacks U+0085; a Split's own expression is translated, the fixed ones of ByteLevel,
 *                   BertPreTokenizer, Whitespace and WhitespaceSplit are not -> Split
 *     Digits        0-9 in JavaScript, Unicode numbers in Rust -> Split
 *     Punctuation   runs in JavaScript, whatever `behavior` says -> Split
 *     Split         merged_with_previous, merged_with_next, contiguous and inverted ones -> isolated ones of a longer expression
 *     Lowercase     a final sigma is one by its place in the word in JavaScript -> replaced before
 *     BertNormalizer  Chinese characters beyond U+FFFF are not seen -> replaced before
 *     ByteFallback  a byte order mark is dropped, and one mark stands for several bytes that are no character -> another decoder
 *
 * Not here: Precompiled (the character maps of SentencePiece, in T5, ALBERT and XLM-R), which the library approximates: refused.
 */
import { Tokenizer } from '@huggingface/tokenizers';

type Json = Readonly<Record<string, unknown>>;
type Behavior = 'Isolated' | 'Removed';

export const split = (regex: string, behavior: Behavior = 'Isolated', invert = false): Json => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior,
  invert,
});
export const sequence = (pretokenizers: readonly Json[]): Json => ({ type: 'Sequence', pretokenizers });

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/** Rust's \\w, which takes in the joiners. */
const WORD = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200C\\u200D';
const PUNCTUATION = '[\\p{P}\\u0021-\\u002F\\u003A-\\u0040\\u005B-\\u0060\\u007B-\\u007E]';
const CHINESE_BEYOND_FFFF =
  '[\\u{20000}-\\u{2A6DF}\\u{2A700}-\\u{2B81F}\\u{2B920}-\\u{2CEAF}\\u{2F800}-\\u{2FA1F}]';

/** A text as a regular expression that matches just that. */
export const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

/** A Split by its `behavior`, as one that keeps matches apart. Throws for one that is not known. */
function splitBy(regex: string, behavior: unknown, invert: boolean): Json {
  const name = String(behavior).toLowerCase().replaceAll('_', '');
  // What lies between is a piece either way.
  if (name === 'isolated') return split(regex);
  if (name === 'removed') return split(regex, 'Removed', invert);
  if (!invert && name === 'contiguous') return split(`(?:${regex})+`);
  if (!invert && name === 'mergedwithprevious') return split(`(?:(?!${regex})[\\s\\S])*(?:${regex})`);
  if (!invert && name === 'mergedwithnext') return split(`(?:${regex})(?:(?!${regex})[\\s\\S])*`);
  throw new Error(
    `The pre-tokenizer splits with behavior ${JSON.stringify(behavior)}${invert ? ', inverted' : ''}, which is not supported`,
  );
}

function preTokenizer(part: unknown): unknown {
  if (typeof part !== 'object' || part === null) return part;
  const json = part as Json;
  switch (json.type) {
    case 'Sequence':
      return { ...json, pretokenizers: (json.pretokenizers as unknown[]).map(preTokenizer) };
    case 'Digits':
      return split(json.individual_digits ? '\\p{N}' : '\\p{N}+');
    case 'Punctuation':
      return splitBy(PUNCTUATION, json.behavior ?? 'Isolated', false);
    case 'Whitespace':
      return split(`[${WORD}]+|[^${WORD}\\s]+`, 'Removed', true);
    case 'WhitespaceSplit':
      return split('\\s+', 'Removed');
    case 'BertPreTokenizer':
      return sequence([split('\\s+', 'Removed'), split(PUNCTUATION)]);
    case 'ByteLevel': {
      if (json.use_regex === false) return json;
      const prefix = json.add_prefix_space
        ? [{ type: 'Replace', pattern: { Regex: '\\A([^ ])' }, content: ' $1' }]
        : [];
      return sequence([...prefix, split(GPT2), { ...json, add_prefix_space: false, use_regex: false }]);
    }
    case 'Split': {
      const { String: text, Regex: regex } = json.pattern as { String?: string; Regex?: string };
      return splitBy(regex ?? escaped(text ?? ''), json.behavior, json.invert === true);
    }
    default:
      return json;
  }
}

const replace = (pattern: Json, content: string): Json => ({ type: 'Replace', pattern, content });
const normalizers = (parts: readonly Json[]): Json => ({ type: 'Sequence', normalizers: parts });
const SIGMA = replace({ String: '\u03a3' }, '\u03c3');

function normalizer(part: unknown): unknown {
  if (typeof part !== 'object' || part === null) return part;
  const json = part as Json;
  switch (json.type) {
    case 'Sequence':
      return { ...json, normalizers: (json.normalizers as unknown[]).map(normalizer) };
    case 'Lowercase':
      return normalizers([SIGMA, json]);
    case 'BertNormalizer':
      return normalizers([
        ...(json.lowercase ? [SIGMA] : []),
        ...(json.handle_chinese_chars ? [replace({ Regex: CHINESE_BEYOND_FFFF }, ' $& ')] : []),
        json,
      ]);
    case 'Precompiled':
      if (!json.precompiled_charsmap) return normalizers([]);
      throw new Error(
        'the normalizer is a compiled character map of SentencePiece (Precompiled), which cannot be applied exactly, so ids could be wrong. Tokenize in Python and pass ids.',
      );
    default:
      return json;
  }
}

type Decoder = { decoders?: Decoder[]; text_decoder?: { decode(bytes: Uint8Array): string }; config: Json };

/** Bytes as text, as Rust does it: all of them, or one mark for each. */
function bytesAsText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return '\ufffd'.repeat(bytes.length);
  }
}

function exactBytes(decoder: Decoder | null): void {
  if (decoder?.config?.type === 'ByteFallback') decoder.text_decoder = { decode: bytesAsText };
  for (const part of decoder?.decoders ?? []) exactBytes(part);
}

/**
 * The same tokenizer, of parts that mean the same in both.
 *
 * @throws for a part that cannot be had exactly
 */
export const exactParts = (json: Json): Json => ({
  ...json,
  normalizer: normalizer(json.normalizer),
  pre_tokenizer: preTokenizer(json.pre_tokenizer),
});

/** @param json of `exactParts` */
export function openExact(json: Json, config: Json): Tokenizer {
  // These two are transformers', of slow tokenizers; tokenizer.json has them as normalizers.
  const { remove_space: _, do_lowercase_and_remove_accent: __, ...rest } = config;
  const inner = new Tokenizer(json, rest);
  exactBytes((inner as unknown as { decoder: Decoder | null }).decoder);
  return inner;
}
