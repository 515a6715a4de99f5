/**
 * Base64 and hexadecimal text.
 * Spans: base64 — `payload` (value `text` or `bytes`), `padding`; hex — `offset`, `bytes`, `ascii` in dumps, `digest` in lists.
 */
import type { Rng } from '../../shared/rng.ts';
import { createDraft, type LabelledText } from '../labelled-text.ts';
import { adjectives, nouns, verbs } from '../word-lists.ts';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Base64 (RFC 4648, with padding) of bytes. */
export function encodeBase64(bytes: readonly number[]): string {
  let out = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const left = Math.min(3, bytes.length - i);
    const word = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    for (let k = 0; k < 4; k++) out += k <= left ? alphabet.charAt((word >> (18 - 6 * k)) & 63) : '=';
  }
  return out;
}

function randomBytes(rng: Rng, count: number): number[] {
  return Array.from({ length: count }, () => rng.int(256));
}

function sentence(rng: Rng): string {
  return `the ${rng.pick(adjectives)} ${rng.pick(nouns)} ${rng.pick(verbs)} the ${rng.pick(adjectives)} ${rng.pick(nouns)}. `;
}

function asciiBytes(text: string): number[] {
  return [...text].map((letter) => letter.charCodeAt(0));
}

/** One base64 block in lines of 64 characters: encoded English in two of three, else random bytes. */
export function generateBase64(rng: Rng): LabelledText {
  const draft = createDraft();
  const isText = rng.int(3) > 0;
  const size = 120 + rng.int(130);
  let text = '';
  while (text.length < size) text += sentence(rng);
  const encoded = encodeBase64(isText ? asciiBytes(text.slice(0, size)) : randomBytes(rng, size));
  const lines = encoded.match(/.{1,64}/g) ?? [];
  draft.mark(
    'payload',
    () => {
      for (const [i, line] of lines.entries()) {
        const body = line.replace(/=+$/, '');
        draft.put((i > 0 ? '\n' : '') + body);
        draft.mark('padding', line.slice(body.length));
      }
    },
    isText ? 'text' : 'bytes',
  );
  return draft.done();
}

/** A hex dump with offsets and an ASCII column, or a list of digests. */
export function generateHex(rng: Rng): LabelledText {
  const draft = createDraft();
  const hex = (value: number, width: number) => value.toString(16).padStart(width, '0');
  if (rng.int(2) === 0) {
    const width = rng.pick([16, 20, 32]);
    for (let lines = 4 + rng.int(4); lines > 0; lines--) {
      draft.mark(
        'digest',
        randomBytes(rng, width)
          .map((byte) => hex(byte, 2))
          .join(''),
      );
      draft.put('\n');
    }
    return draft.done();
  }
  let text = '';
  while (text.length < 128)
    text += rng.int(3) === 0 ? String.fromCharCode(...randomBytes(rng, 8)) : sentence(rng);
  const start = 16 * rng.int(4096);
  for (let row = 0; row < 4 + rng.int(3); row++) {
    const bytes = asciiBytes(text.slice(16 * row, 16 * row + 16));
    draft.mark('offset', hex(start + 16 * row, 8));
    draft.put(': ');
    draft.mark('bytes', bytes.map((byte) => hex(byte, 2)).join(' '));
    draft.put('  ');
    draft.mark(
      'ascii',
      bytes.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join(''),
    );
    draft.put('\n');
  }
  return draft.done();
}
