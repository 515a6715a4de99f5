import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_SECTION_BYTES, SECTION_BYTES, textSections } from './sections.ts';

async function sections(text: string, chunkBytes = 1 << 20): Promise<string[]> {
  const bytes = new TextEncoder().encode(text);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
  }
  const out: string[] = [];
  for await (const section of textSections(chunks())) {
    expect(bytes.subarray(section.start, section.start + section.bytes.length)).toEqual(section.bytes);
    out.push(new TextDecoder('utf-8', { fatal: true }).decode(section.bytes));
  }
  return out;
}

test('a short text is one document, separators divide, empty pieces vanish', async () => {
  expect(await sections('one\ntwo\n')).toEqual(['one\ntwo']);
  expect(await sections('a\n<|endoftext|>\nb<|endoftext|><|endoftext|> \n')).toEqual(['a', 'b']);
  expect(await sections(' \n\n')).toEqual([]);
});

test('a long text is cut after a blank line, else after a line, a space, a character', async () => {
  const paragraph = `${'word '.repeat(500)}\n\n`;
  const book = paragraph.repeat(20);
  const parts = await sections(book);
  expect(parts.length).toBeGreaterThan(3);
  for (const part of parts.slice(0, -1)) {
    expect(part.length).toBeGreaterThanOrEqual(SECTION_BYTES - 3);
    expect(part.length).toBeLessThan(SECTION_BYTES + paragraph.length);
  }
  const lines = await sections(`${'x'.repeat(99)}\n`.repeat(700));
  for (const part of lines) expect(part.split('\n').every((line) => line.length === 99)).toBe(true);
  for (const part of await sections('word '.repeat(20_000))) expect(part.startsWith('word')).toBe(true);
  const emoji = await sections('😀'.repeat(30_000));
  expect(emoji.join('')).toBe('😀'.repeat(30_000));
  for (const part of emoji)
    expect(new TextEncoder().encode(part).length).toBeLessThanOrEqual(MAX_SECTION_BYTES);
});

test('the cuts do not depend on how the stream was chunked, and lose only white space', async () => {
  const unit = fc.constantFrom(
    'ab ',
    '\n',
    '\n\n',
    '\r\n\r\n',
    'é',
    '<|endoftext|>',
    'q'.repeat(3000),
    '<|endof',
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(unit, { maxLength: 80 }),
      fc.integer({ min: 1, max: 9000 }),
      async (list, chunk) => {
        const text = list.join('');
        const whole = await sections(text);
        expect(await sections(text, chunk)).toEqual(whole);
        const squeeze = (t: string): string => t.replaceAll('<|endoftext|>', '').replace(/\s/g, '');
        expect(squeeze(whole.join(''))).toBe(squeeze(text));
      },
    ),
    { numRuns: 60 },
  );
});
