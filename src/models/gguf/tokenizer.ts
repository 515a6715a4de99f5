/**
 * The tokenizer in a GGUF file -> tokenizer.json and tokenizer_config.json.
 *
 *     gpt2    byte-level BPE: tokens, merges, and by name (tokenizer.ggml.pre) how text is cut before
 *     llama   SentencePiece BPE: pieces with scores; a pair merges into the piece of the highest score, bytes stand for what has no piece
 */
import { sequence, split } from '../tokenizer-parts.ts';
import type { Json } from './architectures.ts';
import type { Metadata } from './metadata.ts';

/** Kinds of token, by number. */
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const BYTE = 6;

const byteLevel = (use_regex: boolean): Json => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex,
});

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const WORDS = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
const REST = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const CASED =
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*';

type Cut = {
  readonly pre_tokenizer: Json;
  readonly normalizer?: Json;
  readonly ignore_merges?: boolean;
  /** Prompts begin with BOS where the file does not say: llama.cpp's rule. */
  readonly bos?: boolean;
};

const GPT2: Cut = { pre_tokenizer: byteLevel(true) };
const NEOX: Cut = { ...GPT2, normalizer: { type: 'NFC' } };
const LLAMA3: Cut = {
  pre_tokenizer: sequence([split(`${CONTRACTIONS}|${WORDS}|\\p{N}{1,3}|${REST}`), byteLevel(false)]),
  ignore_merges: true,
  bos: true,
};
const QWEN2: Cut = {
  pre_tokenizer: sequence([split(`${CONTRACTIONS}|${WORDS}|\\p{N}|${REST}`), byteLevel(false)]),
  normalizer: { type: 'NFC' },
};
const SMOLLM: Cut = {
  pre_tokenizer: sequence([{ type: 'Digits', individual_digits: true }, byteLevel(true)]),
};
const TEKKEN: Cut = {
  pre_tokenizer: sequence([
    split(`${CASED}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`),
    byteLevel(false),
  ]),
  ignore_merges: true,
  bos: true,
};

/** tokenizer.ggml.pre -> how text is cut into words, which merges never cross. */
const CUTS: Readonly<Record<string, Cut>> = {
  'gpt-2': GPT2,
  mpt: NEOX,
  olmo: NEOX,
  'llama-bpe': LLAMA3,
  llama3: LLAMA3,
  'llama-v3': LLAMA3,
  qwen2: QWEN2,
  'deepseek-r1-qwen': QWEN2,
  smollm: SMOLLM,
  tekken: TEKKEN,
};
/** For files from before the name was written: where the architecture leaves no doubt. */
const BY_ARCHITECTURE: Readonly<Record<string, string>> = { gpt2: 'gpt-2', gptneox: 'olmo', qwen2: 'qwen2' };

function cutOf(metadata: Metadata, architecture: string): Cut {
  const named = metadata.text('tokenizer.ggml.pre') ?? 'default';
  const pre = named === 'default' ? (BY_ARCHITECTURE[architecture] ?? named) : named;
  if (Object.hasOwn(CUTS, pre)) return CUTS[pre]!;
  throw new Error(
    `the tokenizer cuts text as ${JSON.stringify(pre)} (tokenizer.ggml.pre), which is not known here; known are ${Object.keys(CUTS).join(', ')}. Take the model's Hugging Face folder, or a file converted by a present llama.cpp.`,
  );
}

function byteLevelModel(metadata: Metadata, architecture: string, vocab: Json): Json {
  const { pre_tokenizer, normalizer = null, ignore_merges = false } = cutOf(metadata, architecture);
  const merges = metadata.list('tokenizer.ggml.merges', 'string');
  if (!merges) throw new Error('tokenizer.ggml.merges is missing: byte-level BPE needs its merges');
  return {
    normalizer,
    pre_tokenizer,
    decoder: byteLevel(true),
    model: { ...BPE, ignore_merges, vocab, merges: merges.map((merge) => merge.split(' ')) },
  };
}

const BPE = {
  type: 'BPE',
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
};

/** The pairs that make a piece, for pieces of falling score: what SentencePiece's greedy merging does, as a list of merges. */
function mergesOf(
  tokens: readonly string[],
  scores: readonly number[],
  ids: ReadonlyMap<string, number>,
): [string, string][] {
  const found: { pair: [string, string]; id: number; left: number; right: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    // Code units: a surrogate half is no piece, so a split inside a character is never found.
    for (let i = 1; i < token.length; i++) {
      const [a, b] = [token.slice(0, i), token.slice(i)];
      const [left, right] = [ids.get(a), ids.get(b)];
      if (left !== undefined && right !== undefined) found.push({ pair: [a, b], id, left, right });
    }
  }
  found.sort((a, b) => scores[b.id]! - scores[a.id]! || a.id - b.id || a.left - b.left || a.right - b.right);
  return found.map(({ pair }) => pair);
}

function sentencePieceModel(
  metadata: Metadata,
  architecture: string,
  vocab: Json,
  tokens: readonly string[],
  types: readonly number[],
): Json {
  const scores = metadata.list('tokenizer.ggml.scores', 'number') ?? [];
  if (scores.length < tokens.length)
    throw new Error(`tokenizer.ggml.scores has ${scores.length} scores for ${tokens.length} tokens`);
  const space = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  // Gemma's tokenizer puts no space in front; Ollama's files do not say so.
  const prefix = metadata.flag('tokenizer.ggml.add_space_prefix') ?? !architecture.startsWith('gemma');
  const pieces = tokens.map((token, id) => (types[id] === CONTROL || types[id] === BYTE ? '' : token));
  const ids = new Map(pieces.map((token, id) => [token, id]));
  ids.delete('');
  const back = [
    { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
    ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
  ];
  return {
    normalizer: prefix
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, space] }
      : space,
    pre_tokenizer: null,
    decoder: { type: 'Sequence', decoders: back },
    model: {
      ...BPE,
      unk_token: tokens[metadata.id('tokenizer.ggml.unknown_token_id') ?? types.indexOf(UNKNOWN)] ?? null,
      fuse_unk: true,
      byte_fallback: types.includes(BYTE),
      vocab,
      // Made when it is written: that takes seconds for a large vocabulary, and a list of models does not need it.
      get merges() {
        return mergesOf(pieces, scores, ids);
      },
    },
  };
}

/** Tokens that end an answer in the chat formats people use; files name only one of them as the end. */
const ENDS = ['<|im_end|>', '<|eot_id|>', '<|end|>', '<end_of_turn>', '<|endoftext|>'];

export type GgufTokenizer = {
  readonly tokenizer: Json;
  readonly config: Json;
  readonly bos: number | undefined;
  /** Generation stops at any of these. */
  readonly eos: readonly number[];
};

/**
 * The tokenizer of a file, or undefined when it has none.
 *
 * @param V size of the model's vocabulary
 * @throws for a kind of tokenizer, or a way to cut text, that is not known; for more tokens than V
 */
export function ggufTokenizer(
  metadata: Metadata,
  architecture: string,
  V: number,
): GgufTokenizer | undefined {
  const kind = metadata.text('tokenizer.ggml.model');
  if (kind === undefined || kind === 'none' || kind === 'no_vocab') return undefined;
  const all = metadata.list('tokenizer.ggml.tokens', 'string') ?? [];
  const allTypes = metadata.list('tokenizer.ggml.token_type', 'number') ?? all.map(() => 1);
  if (allTypes.length !== all.length)
    throw new Error(`tokenizer.ggml.token_type has ${allTypes.length} entries for ${all.length} tokens`);
  // Some models have a token, such as Gemma 3's for images, that only their wider relatives have a row for.
  if (allTypes.slice(V).some((type) => type !== CONTROL && type !== USER_DEFINED))
    throw new Error(
      `the tokenizer has ${all.length} tokens and the model's vocabulary ${V}: they do not belong together`,
    );
  const tokens = all.slice(0, V);
  const types = allTypes.slice(0, V);
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const parts =
    kind === 'gpt2'
      ? byteLevelModel(metadata, architecture, vocab)
      : kind === 'llama'
        ? sentencePieceModel(metadata, architecture, vocab, tokens, types)
        : undefined;
  if (!parts)
    throw new Error(
      `a tokenizer of kind ${JSON.stringify(kind)} (tokenizer.ggml.model) is not read; read are gpt2 and llama`,
    );

  const named = (name: string): number | undefined => {
    const id = metadata.id(`tokenizer.ggml.${name}_token_id`);
    return id !== undefined && id < tokens.length ? id : undefined;
  };
  const roles = {
    bos_token: named('bos'),
    eos_token: named('eos'),
    unk_token: named('unknown'),
    pad_token: named('padding'),
  };
  const special = (id: number): boolean => types[id] === CONTROL || types[id] === UNKNOWN;
  const added = tokens.flatMap((content, id) =>
    special(id) || types[id] === USER_DEFINED
      ? [
          {
            id,
            content,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: special(id),
          },
        ]
      : [],
  );
  const ends = tokens.flatMap((token, id) => (types[id] === CONTROL && ENDS.includes(token) ? [id] : []));
  const template = metadata.text('tokenizer.chat_template');
  // Ollama's converter names all of them.
  const listed = metadata.list('tokenizer.ggml.eos_token_ids', 'number') ?? [];
  const valid = listed.filter((id) => Number.isSafeInteger(id) && id >= 0 && id < tokens.length);
  const eos = [
    roles.eos_token,
    ...valid,
    named('eot'),
    named('eom'),
    ...(template === undefined ? [] : ends),
  ];
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: added,
      post_processor: null,
      ...parts,
    },
    config: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      clean_up_tokenization_spaces: false,
      add_bos_token:
        metadata.flag('tokenizer.ggml.add_bos_token') ??
        (kind === 'llama' || cutOf(metadata, architecture).bos === true),
      ...Object.fromEntries(
        Object.entries(roles).flatMap(([role, id]) => (id === undefined ? [] : [[role, tokens[id]]])),
      ),
      ...(template === undefined ? {} : { chat_template: template }),
    },
    bos: roles.bos_token,
    eos: [...new Set(eos.filter((id) => id !== undefined))],
  };
}
