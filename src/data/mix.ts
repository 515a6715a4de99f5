/**
 * Several sources of rows mixed by weight.
 *
 *     row n comes from the source with the largest  w_i (n + 1) - n_i        n_i rows taken so far, sum w_i = 1
 *
 * A row is T positions of one source, so weights are shares of tokens: exact to one row at any moment, the same on every machine, and
 * nothing to store for a continuation but the counts and every source's own place.
 */
import type { RowSource } from './pack.ts';
import type { DataCursor, DocumentSet, PackedRows } from './types.ts';

export type WeightedRows = { readonly rows: RowSource; readonly weight: number };

/** Documents of several sets, one set after the other; where one has blocks, a set without them is one block. */
export function joinDocuments(name: string, sets: readonly DocumentSet[]): DocumentSet {
  const starts = offsets(sets.map(({ count }) => count));
  const count = starts.at(-1)!;
  const blocks = sets.flatMap(({ blocks: own = [0] }, i) =>
    own.filter((first) => first < sets[i]!.count).map((first) => starts[i]! + first),
  );
  return {
    name,
    count,
    ...(sets.some((set) => set.blocks) ? { blocks: [...blocks, count] } : {}),
    fingerprint: sets.map(({ fingerprint }) => fingerprint).join('+'),
    async get(index) {
      const part = sets.findIndex((_, i) => index < starts[i + 1]!);
      if (!(index >= 0) || part < 0) throw new RangeError(`${name}: document ${index} of ${count}`);
      return await sets[part]!.get(index - starts[part]!);
    },
  };
}

/**
 * Mixes packed rows. All sources have the same T and do not end.
 *
 * @param cursor continues a mixture of the same sources and weights; each source must have been opened with its own part of it
 * @throws when a weight is not positive, or the cursor is another mixture's
 */
export function mixRows(sources: readonly WeightedRows[], cursor?: DataCursor): RowSource {
  const { T } = sources[0]!.rows;
  const total = sources.reduce((sum, { weight }) => sum + weight, 0);
  for (const { weight } of sources)
    if (!(weight > 0 && Number.isFinite(weight)))
      throw new RangeError(`A weight is ${weight}, expected more than 0`);
  const shares = sources.map(({ weight }) => weight / total);
  const documents = joinDocuments(
    'mixture',
    sources.map(({ rows }) => rows.documents),
  );
  const starts = offsets(sources.map(({ rows }) => rows.documents.count));
  const fingerprint = () =>
    `mix(${sources.map(({ rows }, i) => `${rows.cursor().fingerprint}=${shares[i]}`).join(',')})`;
  if (cursor && (cursor.fingerprint !== fingerprint() || cursor.parts?.length !== sources.length))
    throw new Error(
      `The saved position belongs to another mixture (saved ${cursor.fingerprint}, now ${fingerprint()}). Resume with the same files and weights, or start a new run.`,
    );
  const taken = cursor?.taken?.slice() ?? sources.map(() => 0);

  function choose(): number {
    const n = taken.reduce((a, b) => a + b, 0);
    let best = 0;
    for (let i = 1; i < shares.length; i++)
      if (shares[i]! * (n + 1) - taken[i]! > shares[best]! * (n + 1) - taken[best]!) best = i;
    return best;
  }

  return {
    T,
    documents,
    async next(R) {
      const order: number[] = [];
      for (let r = 0; r < R; r++) {
        const i = choose();
        order.push(i);
        taken[i]!++;
      }
      const parts: (PackedRows | undefined)[] = [];
      for (const [i, { rows }] of sources.entries()) {
        const count = order.filter((from) => from === i).length;
        parts.push(count > 0 ? await rows.next(count) : undefined);
      }
      return interleave(order, parts, starts, T);
    },
    cursor: () => ({
      epoch: 0,
      position: 0,
      offset: 0,
      fingerprint: fingerprint(),
      parts: sources.map(({ rows }) => rows.cursor()),
      taken: taken.slice(),
    }),
    get epochs() {
      return Math.min(...sources.map(({ rows }) => rows.epochs));
    },
  };
}

/** Row r of the result is the next row of part order[r]; documents are numbered through all parts. */
function interleave(
  order: readonly number[],
  parts: readonly (PackedRows | undefined)[],
  starts: readonly number[],
  T: number,
): PackedRows {
  const size = order.length * T;
  const out = {
    R: order.length,
    T,
    ids: new Int32Array(size),
    mask: new Uint8Array(size),
    documents: new Int32Array(size),
    starts: new Int32Array(size),
    ends: new Int32Array(size),
    ...(parts.some((part) => part?.keep) ? { keep: new Uint8Array(size).fill(1) } : {}),
  };
  const used = parts.map(() => 0);
  for (const [r, i] of order.entries()) {
    const part = parts[i];
    if (part === undefined || used[i] === part.R) throw new Error('A source of a mixture ended');
    const [from, to] = [used[i]! * T, (used[i]! + 1) * T];
    used[i]!++;
    for (const name of ['ids', 'mask', 'starts', 'ends'] as const)
      out[name].set(part[name].subarray(from, to), r * T);
    if (part.keep) out.keep?.set(part.keep.subarray(from, to), r * T);
    for (let t = 0; t < T; t++) {
      const document = part.documents[from + t]!;
      out.documents[r * T + t] = document < 0 ? -1 : document + starts[i]!;
    }
  }
  return out;
}

function offsets(counts: readonly number[]): number[] {
  const starts = [0];
  for (const count of counts) starts.push(starts.at(-1)! + count);
  return starts;
}
