/**
 * The beginning of a sha256 over one piece of every tensor, from its middle:
 *
 *     sha256(piece_1 piece_2 …)        piece: PIECE bytes, or all of a smaller tensor
 *
 * A fine-tune, a checkpoint of another step or one weight in a thousand that changed gives another one; reading all of it would take as
 * long as loading the model. An edit that leaves every piece as it is is not seen.
 */
import type { ByteSource } from '../platform/index.ts';
import { sha256 } from './sha256.ts';

export type Span = { readonly source: ByteSource; readonly start: number; readonly end: number };

const PIECE = 16 * 1024;
/** Pieces read at once. */
const TOGETHER = 16;

/** @param spans where the tensors lie, in an order that depends on the model alone */
export async function hashWeights(spans: readonly Span[]): Promise<string> {
  const pieces: Uint8Array[] = [];
  for (let from = 0; from < spans.length; from += TOGETHER) {
    const part = spans.slice(from, from + TOGETHER).map(async ({ source, start, end }) => {
      const length = Math.min(PIECE, end - start);
      const at = start + Math.floor((end - start - length) / 2);
      return await source.slice(at, at + length);
    });
    pieces.push(...(await Promise.all(part)));
  }
  const bytes = await new Blob(pieces as Uint8Array<ArrayBuffer>[]).arrayBuffer();
  return (await sha256(new Uint8Array(bytes))).slice(0, 32);
}
