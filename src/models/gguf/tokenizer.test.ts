import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type GgufValue, readGguf } from '../../formats/index.ts';
import { fromBytes } from '../../platform/index.ts';
import { createTokenizer } from '../tokenizer.ts';
import { metadataOf } from './metadata.ts';
import { ggufTokenizer } from './tokenizer.ts';

const read = (path: string) => readFileSync(new URL(`../../../test/golden/${path}`, import.meta.url));
const golden = JSON.parse(read('models/tokenizers/golden.json').toString());
const pieces = JSON.parse(read('gguf/spm.json').toString());
type Case = { ids: string; decoded?: string };

/** The tokenizer of a golden file, with some of its metadata changed. */
async function open(
  name: string,
  change: Record<string, GgufValue | undefined> = {},
  V = 1000,
  architecture = 'llama',
) {
  const file = await readGguf(fromBytes(new Uint8Array(read(`gguf/${name}.gguf`))));
  const metadata = new Map(file.metadata);
  for (const [key, value] of Object.entries(change))
    if (value === undefined) metadata.delete(key);
    else metadata.set(key, value);
  return ggufTokenizer(metadataOf({ ...file, metadata }), architecture, V)!;
}

/**
 * SentencePiece reads a spelled special token as plain text, and a lower block as the space that it stands for; here, as in Hugging Face's
 * tokenizers, the first is that token and the second a character.
 */
const SPELLED = /<s>|<unk>|▁/;

describe('ids and text are those of the library that the tokenizer is from', () => {
  const kinds: [string, Case[]][] = [
    ...['byte-level', 'digits', 'llama3', 'qwen2'].map((kind): [string, Case[]] => [
      `bpe-${kind}`,
      golden.kinds[kind],
    ]),
    ...['llama', 'gemma'].map((kind): [string, Case[]] => [`spm-${kind}`, pieces[kind]]),
  ];
  test.each(kinds)('%s', async (name, cases) => {
    const { tokenizer: json, config } = await open(name);
    const tokenizer = createTokenizer(json, config);
    const texts: string[] = golden.texts;
    const ours = (i: number) => tokenizer.encode(texts[i]!).join(' ');
    const theirs = (i: number) => cases[i]!.ids;
    const all = texts.map((_, i) => i).filter((i) => !(name.startsWith('spm') && SPELLED.test(texts[i]!)));
    expect(all.length).toBeGreaterThan(80);
    expect(all.filter((i) => ours(i) !== theirs(i)).map((i) => [texts[i], ours(i), theirs(i)])).toEqual([]);
    const decoded = (i: number) => tokenizer.decode(theirs(i).split(' ').filter(Boolean).map(Number));
    const text = (i: number) => cases[i]!.decoded ?? texts[i];
    expect(all.filter((i) => decoded(i) !== text(i)).map((i) => [decoded(i), text(i)])).toEqual([]);
  });

  test('a lone surrogate is read as the replacement character, as UTF-8 has none', async () => {
    for (const name of ['bpe-qwen2', 'spm-gemma']) {
      const { tokenizer: json, config } = await open(name);
      const { encode } = createTokenizer(json, config);
      expect(encode('a\ud83d b\udc00')).toEqual(encode('a\ufffd b\ufffd'));
    }
  });
});

describe('what else the file says', () => {
  test('special tokens, the chat template, and what ends an answer', async () => {
    const {
      tokenizer: json,
      config,
      bos,
      eos,
    } = await open('bpe-llama3', { 'tokenizer.ggml.eot_token_id': 0 });
    const tokenizer = createTokenizer(json, config);
    expect([bos, eos]).toEqual([1, [2, 0]]);
    expect(tokenizer.bosTokenId).toBe(1);
    expect([...tokenizer.specialIds].sort()).toEqual([0, 1, 2]);
    expect(tokenizer.chatTemplate?.source).toContain('{{ bos_token }}');
    expect(tokenizer.chatTemplate?.tokens.bos_token).toBe('<|begin|>');
  });

  test('all ends that Ollama lists, those with a row in the model', async () => {
    const { eos } = await open('bpe-llama3', { 'tokenizer.ggml.eos_token_ids': [2, 5, 5, 900] });
    expect(eos).toEqual([2, 5]);
  });

  test('Gemma puts no space in front, where the file does not say', async () => {
    const silent = { 'tokenizer.ggml.add_space_prefix': undefined };
    const { tokenizer: said } = await open('spm-gemma');
    expect((await open('spm-gemma', silent, 1000, 'gemma3')).tokenizer).toEqual(said);
    expect((await open('spm-gemma', silent, 1000, 'llama')).tokenizer).not.toEqual(said);
  });

  test('prompts begin with BOS when the file says so, else by the kind of tokenizer, as in llama.cpp', async () => {
    const begins = async (name: string, add?: boolean) => {
      const { tokenizer: json, config } = await open(name, { 'tokenizer.ggml.add_bos_token': add });
      const tokenizer = createTokenizer(json, config);
      return tokenizer.encodePrompt('a')[0] === tokenizer.bosTokenId;
    };
    const names = ['spm-llama', 'spm-gemma', 'bpe-llama3', 'bpe-qwen2', 'bpe-byte-level', 'bpe-digits'];
    const found = await Promise.all(names.map((name) => begins(name)));
    expect(found).toEqual([true, true, true, false, false, false]);
    expect(await Promise.all(names.map((name) => begins(name, false)))).toEqual(names.map(() => false));
    expect(await Promise.all(names.map((name) => begins(name, true)))).toEqual(names.map(() => true));
  });

  test('no tokenizer at all', async () => {
    expect(await open('bpe-llama3', { 'tokenizer.ggml.model': undefined })).toBeUndefined();
  });

  const refused: [string, Record<string, GgufValue | undefined>, RegExp][] = [
    [
      'an unknown way to cut text',
      { 'tokenizer.ggml.pre': 'superbpe' },
      /cuts text as "superbpe" .*known are gpt-2/,
    ],
    ['no word on how to cut it', { 'tokenizer.ggml.pre': undefined }, /cuts text as "default"/],
    ['an unknown kind', { 'tokenizer.ggml.model': 'bert' }, /kind "bert" .*read are gpt2 and llama/],
    ['no merges', { 'tokenizer.ggml.merges': undefined }, /tokenizer\.ggml\.merges is missing/],
    [
      'types of other tokens',
      { 'tokenizer.ggml.token_type': [1, 1] },
      /token_type has 2 entries for \d+ tokens/,
    ],
    [
      'tokens that are no texts',
      { 'tokenizer.ggml.tokens': [1, 2] },
      /tokens is \[1,2\], expected a list of strings/,
    ],
    ['scores missing', { 'tokenizer.ggml.model': 'llama' }, /scores has 0 scores for \d+ tokens/],
  ];
  test.each(refused)('refused: %s', async (_, change, message) => {
    await expect(open('bpe-llama3', change)).rejects.toThrow(message);
  });

  test('refused: more tokens than the model has rows for', async () => {
    await expect(open('bpe-llama3', {}, 800)).rejects.toThrow(
      /has 900 tokens and the model's vocabulary 800/,
    );
  });
});
