/**
 * Ids of a text, piece by piece, every distinct piece tokenized once:
 *
 *     pieces = cuts of the pre-tokenizer          ids(text) = ids(piece_1) ids(piece_2) …
 *
 * Byte-level BPE never merges across the cuts of its pre-tokenizer, and a piece alone is cut nowhere: where a text has few
 * different words, a look-up takes the place of most of the work. Not for texts with added tokens in them, nor for
 * tokenizers whose cuts depend on more than the piece: those go the library's own way.
 */
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { byteBpe } from './byte-bpe.ts';
import { escaped } from './tokenizer-parts.ts';

type Json = Readonly<Record<string, unknown>>;
type Cut = (text: string) => readonly string[];

/** Pieces that are kept, and how long one may be: about 20 MB at most. */
const KEPT = 100_000;
const LONGEST = 64;

const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null;

/** Whether a part of tokenizer.json is, or contains, a component of this type. */
export function contains(component: unknown, type: string): boolean {
  if (!isJson(component)) return false;
  if (component.type === type) return true;
  const parts = component.decoders ?? component.pretokenizers;
  return Array.isArray(parts) && parts.some((part) => contains(part, type));
}

/** The cuts of a pre-tokenizer, in order; undefined when it does more than cut. */
function cutsOf(component: unknown): Cut[] | undefined {
  if (!isJson(component)) return undefined;
  if (component.type === 'Sequence' && Array.isArray(component.pretokenizers)) {
    // Behind ByteLevel stand bytes, not characters.
    if (component.pretokenizers.slice(0, -1).some((part) => contains(part, 'ByteLevel'))) return undefined;
    const parts = component.pretokenizers.map(cutsOf);
    return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
  }
  if (component.type === 'Split' && component.behavior === 'Isolated' && component.invert === false) {
    // The library's regular expressions come with a tokenizer only; this one has no vocabulary.
    const nothing = { normalizer: null, post_processor: null, decoder: null, added_tokens: [] };
    const model = { type: 'BPE', vocab: {}, merges: [] };
    const cutter = new HfTokenizer({ ...nothing, model, pre_tokenizer: component }, {}).pre_tokenizer!;
    return [(text) => cutter.pre_tokenize(text)];
  }
  // Its own cuts are a Split of their own (tokenizer-parts.ts).
  const bytes = component.type === 'ByteLevel' && component.add_prefix_space === false;
  return bytes && component.use_regex === false ? [] : undefined;
}

/** Text that any of these stands in is not cut here. */
function anyOf(addedTokens: unknown): RegExp | undefined {
  const contents = (Array.isArray(addedTokens) ? addedTokens : []).map((token: Json) =>
    String(token.content),
  );
  return contents.length > 0 ? new RegExp(contents.map(escaped).join('|')) : undefined;
}

/**
 * @param json tokenizer.json, of the parts that `exactParts` leaves
 * @param encode ids of a text in the library's own way
 * @returns the same ids, faster where the tokenizer and the text allow
 */
export function piecewise(json: Json, encode: (text: string) => number[]): (text: string) => number[] {
  const cuts = json.normalizer ? undefined : cutsOf(json.pre_tokenizer);
  if (!cuts || !isJson(json.model) || json.model.type !== 'BPE') return encode;
  const added = anyOf(json.added_tokens);
  const bpe = contains(json.pre_tokenizer, 'ByteLevel') ? byteBpe(json.model) : undefined;
  const known = new Map<string, number[]>();

  function idsOf(piece: string): number[] {
    const found = known.get(piece);
    if (found) return found;
    if (piece.length > LONGEST) return encode(piece);
    const ids = bpe?.(piece) ?? encode(piece);
    if (known.size >= KEPT) known.clear();
    known.set(piece, ids);
    return ids;
  }

  return (text) => {
    if (added?.test(text)) return encode(text);
    let pieces: readonly string[] = [text];
    for (const cut of cuts) pieces = pieces.length === 1 ? cut(pieces[0]!) : pieces.flatMap(cut);
    const ids: number[] = [];
    for (const piece of pieces) for (const id of idsOf(piece)) ids.push(id);
    return ids;
  };
}
