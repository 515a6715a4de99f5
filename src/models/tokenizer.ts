/**
 * tokenizer.json -> ids and back, through @huggingface/tokenizers, and the text of single tokens for display.
 * Ids equal those of the Python library; text that spells a special token becomes that token, as there.
 */
import type { Message } from '../data/types.ts';
import { byteAlphabet } from './byte-bpe.ts';
import { createChatRenderer } from './chat.ts';
import { contains, piecewise } from './piecewise.ts';
import { exactParts, openExact } from './tokenizer-parts.ts';
import type { ChatRenderer, ChatRendering, ChatTemplate, Tokenizer } from './types.ts';

type Json = Readonly<Record<string, unknown>>;

const tokenText = (token: unknown): string | undefined => {
  if (typeof token === 'string') return token;
  if (typeof token === 'object' && token !== null) {
    const { content } = token as { content?: unknown };
    if (typeof content === 'string') return content;
  }
  return undefined;
};

/** The template of a tokenizer_config.json: one text, or a list of named ones, of which `default` is for conversations. */
function chatTemplateOf(config: Json): ChatTemplate | undefined {
  const { chat_template: found } = config;
  const source = Array.isArray(found)
    ? (found.find((item: Json) => item.name === 'default') as Json | undefined)?.template
    : found;
  if (typeof source !== 'string') return undefined;
  const tokens: Record<string, string> = {};
  for (const [name, value] of Object.entries(config)) {
    const text = name.endsWith('_token') ? tokenText(value) : undefined;
    if (text !== undefined) tokens[name] = text;
  }
  return { source, tokens };
}

/**
 * What a post-processor puts around a text, as transformers does: it alone decides, and where there is none add_bos_token of
 * tokenizer_config.json (which transformers does not look at; what is converted from GGUF has its word there).
 */
function aroundText(
  processor: unknown,
  { add_bos_token }: Json,
  bos: number | undefined,
): { before: number[]; after: number[] } {
  if (typeof processor !== 'object' || processor === null)
    return { before: add_bos_token === true && bos !== undefined ? [bos] : [], after: [] };
  const json = processor as Json;
  const ids = (pair: unknown): number[] => [(pair as [string, number])[1]];
  switch (json.type) {
    case 'Sequence': {
      const parts = (json.processors as Json[]).map((part) => aroundText(part, {}, undefined));
      return {
        before: parts.toReversed().flatMap(({ before }) => before),
        after: parts.flatMap(({ after }) => after),
      };
    }
    case 'TemplateProcessing': {
      const single = json.single as { SpecialToken?: { id: string } }[];
      const tokens = json.special_tokens as Record<string, { ids: number[] }>;
      const text = single.findIndex((part) => part.SpecialToken === undefined);
      const of = (parts: typeof single) => parts.flatMap((part) => tokens[part.SpecialToken!.id]!.ids);
      return { before: of(single.slice(0, text)), after: of(single.slice(text + 1)) };
    }
    case 'BertProcessing':
    case 'RobertaProcessing':
      return { before: ids(json.cls), after: ids(json.sep) };
    default:
      return { before: [], after: [] };
  }
}

/**
 * Builds a tokenizer.
 *
 * @param json tokenizer.json, parsed
 * @param config tokenizer_config.json, parsed, or {}
 * @param bosTokenId the model's beginning-of-sequence id, when config.json names one; tokenizer_config.json's wins
 * @param encoder texts stand between [CLS] and [SEP], or what tokenizer_config.json calls cls_token and sep_token
 * @throws when tokenizer.json is not one that the library understands
 */
export function createTokenizer(
  json: Json,
  config: Json,
  bosTokenId?: number,
  { encoder = false }: { readonly encoder?: boolean } = {},
): Tokenizer & { bosTokenId: number | undefined; learnedSize: number } {
  const given = exactParts(json);
  const inner = openExact(given, config);
  const idsOf = piecewise(given, (text) => inner.encode(text, { add_special_tokens: false }).ids);
  const idOf = (token: string | undefined) => (token === undefined ? undefined : inner.token_to_id(token));
  const bos =
    idOf(encoder ? (tokenText(config.cls_token) ?? '[CLS]') : tokenText(config.bos_token)) ?? bosTokenId;
  const end = encoder ? idOf(tokenText(config.sep_token) ?? '[SEP]') : undefined;
  const specialIds = new Set<number>();
  const addedIds = new Set<number>();
  for (const [id, token] of inner.get_added_tokens_decoder()) {
    addedIds.add(id);
    if (token.special) specialIds.add(id);
  }
  let vocabularySize = 0;
  // Without what was added afterwards: some models have a token that only their wider relatives have a row for.
  let learnedSize = 0;
  for (const id of inner.get_vocab(true).values()) {
    vocabularySize = Math.max(vocabularySize, id + 1);
    if (!addedIds.has(id)) learnedSize = Math.max(learnedSize, id + 1);
  }
  const alphabet = contains(json.decoder, 'ByteLevel')
    ? new Map(byteAlphabet().map((standIn, byte) => [standIn, byte]))
    : undefined;

  /** What marks a piece that continues a word, in vocabularies of words and pieces of words. */
  const pieces = contains(json.decoder, 'WordPiece') && ((json.decoder as Json).prefix ?? '##').toString();

  function display(id: number): string {
    const token = inner.id_to_token(id);
    if (token === undefined) return `[${id}]`;
    if (specialIds.has(id) || (alphabet && addedIds.has(id))) return token;
    if (alphabet) {
      const bytes = Uint8Array.from([...token], (character) => alphabet.get(character) ?? 0x3f);
      return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
    }
    const byte = /^<0x([0-9A-F]{2})>$/.exec(token);
    if (byte) {
      const value = Number.parseInt(byte[1]!, 16);
      return value < 128 ? String.fromCharCode(value) : '\ufffd';
    }
    if (pieces && !addedIds.has(id))
      return token.startsWith(pieces) ? token.slice(pieces.length) : ` ${token}`;
    return token.replaceAll('\u2581', ' ');
  }

  function encode(text: string, options: { bos?: boolean } = {}): number[] {
    const ids = text === '' ? [] : idsOf(text);
    return options.bos && bos !== undefined ? [bos, ...ids, ...(end === undefined ? [] : [end])] : ids;
  }
  const around = aroundText(json.post_processor, config, bos);

  const chatTemplate = chatTemplateOf(config);
  let renderChat: ChatRenderer | undefined;
  return {
    bosTokenId: bos,
    ...(end === undefined ? {} : { endId: end }),
    ...(chatTemplate
      ? {
          chatTemplate,
          // Read when first used: a template that cannot be read does not make the model useless.
          renderChat: (messages: readonly Message[], options?: ChatRendering) => {
            renderChat ??= createChatRenderer(chatTemplate);
            return renderChat(messages, options);
          },
        }
      : {}),
    encode,
    encodePrompt(text) {
      if (encoder) return encode(text, { bos: true });
      const ids = [...around.before, ...encode(text), ...around.after];
      return ids.length > 0 ? ids : encode('', { bos: true });
    },
    decode: (ids) =>
      ids.length === 0
        ? ''
        : inner.decode([...ids], { skip_special_tokens: true, clean_up_tokenization_spaces: false }),
    tokenStrings: (ids) => ids.map(display),
    vocabularySize,
    learnedSize,
    specialIds,
  };
}
