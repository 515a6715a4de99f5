/** The unit of the corpus, and the few helpers that all collectors share. */
import { createHash } from 'node:crypto';
import type { Span } from '../../../src/demo/labelled-text.ts';

export interface CorpusDocument {
  id: string;
  register: string;
  text: string;
  meta: Record<string, string | number>;
  spans: Span[];
}

/** A document before the split: `group` names what must stay on one side (an address, a country, a chapter, a file). */
export interface Candidate extends CorpusDocument {
  group: string;
}

/** Whether a group is held out: decided by a hash of its name alone, so that adding sources moves nothing. */
export function isHeldOut(group: string, share: number): boolean {
  const word = createHash('sha256').update(`heldout/${group}`).digest().readUInt32BE(0);
  return word / 2 ** 32 < share;
}

const targetBytes = 620;

/**
 * Joins short pieces (paragraphs, verses, lines) and cuts long ones at sentence ends, into texts of some 400 to 900 UTF-8 bytes:
 * 100 to 250 tokens for most registers.
 */
export function chunkPieces(pieces: readonly string[], joint: string): string[] {
  const units = pieces.flatMap((piece) => {
    const trimmed = piece.trim();
    if (Buffer.byteLength(trimmed) <= 900) return trimmed === '' ? [] : [{ text: trimmed, joint }];
    const sentences = trimmed.match(/[^.!?;。।؟]+[.!?;。।؟]*["”’')\]]*\s*/gu) ?? [trimmed];
    return sentences.map((text, i) => ({ text: text.trim(), joint: i === 0 ? joint : ' ' }));
  });
  const chunks: string[] = [];
  let current = '';
  for (const unit of units) {
    const joined = current === '' ? unit.text : current + unit.joint + unit.text;
    if (current !== '' && Buffer.byteLength(joined) > targetBytes * 1.35) {
      chunks.push(current);
      current = unit.text;
    } else current = joined;
    if (Buffer.byteLength(current) > targetBytes) {
      chunks.push(current);
      current = '';
    }
  }
  if (Buffer.byteLength(current) > 150) chunks.push(current);
  return chunks.filter((chunk) => Buffer.byteLength(chunk) < 1800);
}
