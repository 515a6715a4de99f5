import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createChatRenderer } from '../models/chat.ts';
import { createTokenizer } from '../models/tokenizer.ts';
import { memoryDocuments, parseDocument } from './documents.ts';
import { mixRows } from './mix.ts';
import { openCorpus } from './node/corpus.ts';
import { packRows } from './pack.ts';
import { renderChats, requireChats } from './render-chats.ts';
import type { Document, Message } from './types.ts';

// test/oracles/data/make_chats.py: transformers' apply_chat_template with return_assistant_tokens_mask.
type Case = {
  template: string;
  messages: Message[];
  text: string;
  ids: number[];
  masks: Record<string, string>;
};
const root = new URL('../../', import.meta.url);
const json = (path: string) => JSON.parse(readFileSync(new URL(path, root), 'utf8'));
const golden = json('test/golden/data/chats.json') as { templates: Record<string, string>; cases: Case[] };
const open = (template?: string) =>
  createTokenizer(json('demo/model/tokenizer.json'), {
    ...json('demo/model/tokenizer_config.json'),
    ...(template === undefined ? {} : { chat_template: template }),
  });
const chat = (messages: readonly Message[]): Document =>
  parseDocument(JSON.stringify({ chat: messages }), 'chat', 'x', 'chats.jsonl');

for (const [name, template] of Object.entries(golden.templates))
  test(`${name}: text, tokens and the tokens of a role are those of transformers`, async () => {
    const tokenizer = open(template);
    const cases = golden.cases.filter((one) => one.template === name);
    expect(cases.length).toBeGreaterThanOrEqual(4);
    for (const { messages, text, ids, masks } of cases)
      for (const [role, mask] of Object.entries(masks)) {
        expect(createChatRenderer(tokenizer.chatTemplate!)(messages).text).toBe(text);
        const documents = await renderChats(memoryDocuments([chat(messages)]), { tokenizer, roles: [role] });
        const rows = packRows({
          documents,
          tokenizer,
          contextLength: 256,
          bosTokenId: tokenizer.bosTokenId,
          endless: false,
        });
        const { ids: packed, keep, mask: real } = (await rows.next(1))!;
        const n = real.indexOf(0);
        // The row's own BOS is the template's, or stands before it.
        const begin = ids[0] === tokenizer.bosTokenId ? 0 : 1;
        expect([...packed.subarray(begin, n)]).toEqual(ids);
        expect([...keep!.subarray(begin, n)].join('')).toBe(mask);
      }
  });

test('messages in the form of ShareGPT, with parts, and wrong ones', () => {
  const { messages, text } = parseDocument(
    '{"c":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Yes?"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}',
    'c',
    '',
    '',
  );
  expect(messages).toEqual([
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: 'Yes?' },
    { role: 'user', content: 'ab' },
  ]);
  expect(text).toBe('Hi\n\nYes?\n\nab');
  expect(() => parseDocument('{"c":[{"role":"user"},{"content":"x"}]}', 'c', '', '')).toThrow(
    /message 2 is \{"content":"x"\}/,
  );
  expect(() => parseDocument('{"c":[]}', 'c', '', '')).toThrow(/list of messages is empty/);
});

test('a template that says when it is written writes one date on every day', () => {
  const render = createChatRenderer({ source: '{{ strftime_now("%d %b %Y, %B") }}', tokens: {} });
  expect(render([{ role: 'user', content: 'x' }]).text).toBe('26 Jul 2024, July');
});

test('contents that a template changes: refused when roles are asked for, written when not', () => {
  const render = createChatRenderer({
    source: '{% for m in messages %}{{ m.content | length }} {{ m.content | upper }}{% endfor %}',
    tokens: {},
  });
  const messages = [{ role: 'user', content: 'abc' }];
  expect(render(messages, { spans: false }).text).toBe('3 ABC');
  expect(() => render(messages)).toThrow(/changes the contents/);
  expect(() => createChatRenderer({ source: '{% for %}', tokens: {} })).toThrow(
    /chat template cannot be read/,
  );
});

test('a content that is written twice belongs to its role both times', () => {
  const render = createChatRenderer({
    source: '{% for m in messages %}<{{ m.content }}>{% endfor %}[{{ messages[0].content }}]',
    tokens: {},
  });
  expect(render([{ role: 'user', content: 'hi you' }]).spans).toEqual([
    { start: 1, end: 7, role: 'user' },
    { start: 9, end: 15, role: 'user' },
  ]);
});

test('roles that nobody has, templates that are missing or refuse: said with the place', async () => {
  const tokenizer = open(golden.templates.merged!);
  const documents = memoryDocuments([
    chat([
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ]),
  ]);
  await expect(renderChats(documents, { tokenizer, roles: ['asistant'] })).rejects.toThrow(
    /no role "asistant".*Did you mean "assistant"\? Found: user, assistant/,
  );
  await expect((await renderChats(documents, { tokenizer: open() })).get(0)).rejects.toThrow(
    /chats\.jsonl, x: a conversation, but the model has no chat template.*chat_template\.jinja/,
  );
  const wrong = memoryDocuments([chat([{ role: 'assistant', content: 'I begin' }])]);
  await expect((await renderChats(wrong, { tokenizer })).get(0)).rejects.toThrow(
    /chats\.jsonl, x: the chat template refuses this conversation: roles must take turns/,
  );
});

test('roles of plain text are refused; one conversation among the documents is enough', async () => {
  const plain = Array.from({ length: 40 }, (_, i) => ({ id: `${i}`, text: 'a', meta: {} }));
  await expect(requireChats(memoryDocuments(plain), ['user'])).rejects.toThrow(
    /--roles user is of conversations, and the documents are plain text/,
  );
  await requireChats(memoryDocuments([...plain, chat([{ role: 'user', content: 'a' }])]), ['user']);
});

test('mixed with plain text, which is kept whole; each path with its own field', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'saekit-test-'));
  try {
    const tokenizer = open(golden.templates.chatml!);
    const pairs = Array.from({ length: 40 }, (_, i) => [
      { role: 'user', content: `question ${i}` },
      { role: 'assistant', content: `answer ${i}` },
    ]);
    const lines = (rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
    await writeFile(join(folder, 'chats.jsonl'), lines(pairs.map((messages) => ({ messages }))));
    await writeFile(join(folder, 'texts.jsonl'), lines(pairs.map((_, i) => ({ text: `plain text ${i}` }))));
    const corpus = await openCorpus({
      data: [`${join(folder, 'chats.jsonl')}#messages=0.5`, `${join(folder, 'texts.jsonl')}=0.5`],
    });
    const parts = corpus.mixture!.map(async ({ documents, weight }) => ({
      weight,
      rows: packRows({
        documents: await renderChats(documents, { tokenizer, roles: ['assistant'] }),
        tokenizer,
        contextLength: 16,
        bosTokenId: undefined,
      }),
    }));
    const rows = (await mixRows(await Promise.all(parts)).next(200))!;
    const text = (wanted: number) =>
      tokenizer.decode([...rows.ids].filter((_, i) => rows.keep![i] === wanted));
    expect(text(1)).toContain('plain text');
    expect(text(1)).toContain('answer 3');
    expect(text(1)).not.toMatch(/question|im_start/);
    expect(text(0)).toMatch(/question/);
    expect(text(0)).not.toMatch(/plain|answer/);
    await corpus.close();
  } finally {
    await rm(folder, { recursive: true });
  }
});
