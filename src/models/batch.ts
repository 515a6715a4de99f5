import type { TokenBatch } from './types.ts';

/** Sequences of ids, padded on the right to the longest. Throws when there is none or one is empty. */
export function padBatch(sequences: readonly (readonly number[] | Int32Array)[], padId = 0): TokenBatch {
  const B = sequences.length;
  if (B === 0) throw new Error('A batch needs at least one sequence');
  let T = 0;
  sequences.forEach((sequence, b) => {
    if (sequence.length === 0) throw new Error(`Sequence ${b} of the batch has no tokens`);
    T = Math.max(T, sequence.length);
  });
  const ids = new Int32Array(B * T).fill(padId);
  const mask = new Uint8Array(B * T);
  sequences.forEach((sequence, b) => {
    ids.set(sequence, b * T);
    mask.fill(1, b * T, b * T + sequence.length);
  });
  return { ids, mask, B, T };
}

/** Refuses a batch that the model cannot run; the message names the first bad place. */
export function checkBatch({ ids, mask, B, T }: TokenBatch, V: number, contextLength: number): void {
  if (B < 1 || T < 1 || ids.length !== B * T || mask.length !== B * T) {
    throw new Error(
      `Batch of ${B} x ${T} has ${ids.length} ids and a mask of ${mask.length}; expected ${B * T} of each`,
    );
  }
  if (T > contextLength) {
    throw new Error(`Sequences of ${T} tokens do not fit the model's context of ${contextLength}. Cut them.`);
  }
  for (let i = 0; i < ids.length; i++) {
    if (ids[i]! < 0 || ids[i]! >= V) {
      throw new Error(
        `Token id ${ids[i]} at sequence ${Math.floor(i / T)}, position ${i % T}: the vocabulary has ${V}. Is this the model's own tokenizer?`,
      );
    }
  }
}

/** Consecutive sequences of a batch with at most `positions` positions together, at least one; views, not copies. */
export function splitBatch({ ids, mask, B, T }: TokenBatch, positions: number): TokenBatch[] {
  const step = Math.max(1, Math.floor(positions / T));
  return Array.from({ length: Math.ceil(B / step) }, (_, i) => {
    const [from, to] = [i * step, Math.min(B, (i + 1) * step)];
    return { ids: ids.subarray(from * T, to * T), mask: mask.subarray(from * T, to * T), B: to - from, T };
  });
}
