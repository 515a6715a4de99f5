/**
 * A bias for every token (Dooms and Wilhelm 2025, "Tokenized SAEs"): what the token alone says needs no latents.
 *
 *   y           <- y - b_token[id]                                 b_token [V,Dout], from 0; the encoder reads x - b_dec as ever
 *   b_token[t]  <- b_token[t] + sum_b e_b / (n_t + 10)             over the rows b of token t;  n_t rows of it so far, at most 1,000
 *
 * So b_token[t] is the running mean of what the rest leaves of its rows: Newton's step for their squared error, where a learning rate for
 * all would hardly move the rare tokens. 10 keeps those that were seen a few times near 0, and after 1,000 rows the mean follows the rest
 * as it learns; both constants are ours. Tokens are dealt to the shards, tokenRows to each, as latents are.
 */
import { pointer as at } from '../kernels/arena.ts';
import type { Group } from './group.ts';
import type { StepContext } from './step.ts';

const prior = 10;
const memory = 1000;

/** The place of a token among those of this rank; undefined when another rank has it. */
function placeOf({ rank, own, tokenRows }: Group, token: number): number | undefined {
  const place = token - rank * own * tokenRows;
  return place >= 0 && place < own * tokenRows ? place : undefined;
}

/** y -= b_token[id], for ids [B]. */
export function subtractTokenBias({ group, comm, config }: StepContext, ids: Int32Array): void {
  const { D, y, tokenPart: part, weights, kernels, squared } = group;
  part.fill(0);
  for (const [b, token] of ids.entries()) {
    const place = placeOf(group, token);
    if (place !== undefined) part.set(weights.b_token.subarray(place * D, (place + 1) * D), b * D);
  }
  comm.allReduceSum('tokenPart', part, part);
  kernels.rowError(at(y), at(part), at(y), at(squared), config.B, D);
}

/** Moves the biases of the tokens in the batch, from the residual in `error`. */
export function updateTokenBias({ group }: StepContext, ids: Int32Array): void {
  const { D, error, weights } = group;
  const rows = new Map<number, number[]>();
  for (const [b, token] of ids.entries()) {
    const place = placeOf(group, token);
    if (place === undefined) continue;
    const seen = rows.get(place);
    if (seen) seen.push(b);
    else rows.set(place, [b]);
  }
  for (const [place, own] of rows) {
    const n = (weights.tokenSeen[place] = Math.min(weights.tokenSeen[place]! + own.length, memory));
    const rate = 1 / (Math.max(n, own.length) + prior);
    for (let d = 0; d < D; d++) {
      let sum = 0;
      for (const b of own) sum += error[b * D + d]!;
      weights.b_token[place * D + d]! += rate * sum;
    }
  }
}
