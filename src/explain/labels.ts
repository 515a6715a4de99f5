/**
 * Labellers: what is known about every token of held-out text.
 *
 * A register belongs to a whole document, a concept to stretches of its characters.
 */
import type { Document, DocumentSet, PackedRows } from '../data/types.ts';
import type { Labeller } from './types.ts';

/** Labels every token with the register of its document. Reads all documents once to learn the names. */
export async function registerLabeller(
  documents: DocumentSet,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<Labeller> {
  const registers: (string | undefined)[] = [];
  for (let i = 0; i < documents.count; i++) {
    signal?.throwIfAborted();
    registers.push((await documents.get(i)).register);
  }
  const names = [...new Set(registers.filter((name) => name !== undefined))].sort();
  const ofDocument = registers.map((name) => (name === undefined ? [] : [names.indexOf(name)]));
  return {
    labels: names.map((name) => ({ name, kind: 'register' })),
    label: async (packed) => (position) => ofDocument[packed.documents[position]!] ?? [],
  };
}

/** Start and end in UTF-16 units, half-open. */
type Range = readonly [start: number, end: number];

/** One bit per token from the ranges where a concept holds and the tokens' offsets. */
export type TokenTruth = (
  text: string,
  ranges: readonly Range[],
  offsets: readonly Range[],
) => ArrayLike<number>;

/** A token has a concept if it shares a character with one of its stretches. Tokens without characters (BOS) have none. */
const sharesCharacter: TokenTruth = (_text, ranges, offsets) =>
  offsets.map(([start, end]) =>
    start < end && ranges.some(([from, to]) => start < to && from < end) ? 1 : 0,
  );

/**
 * Labels tokens with concepts that are known by character. The batches must carry offsets.
 *
 * @param names all concepts
 * @param truth the stretches of a document that show a concept, in any order
 * @param tokenTruth when a token has a concept; by default when it shares a character with a stretch
 * @example // spans that the corpus carries
 * conceptLabeller(documents, names, ({ spans = [] }) => spans.map(({ start, end, label }) => ({ start, end, concept: label })));
 */
export function conceptLabeller(
  documents: DocumentSet,
  names: readonly string[],
  truth: (
    document: Document,
  ) => readonly { readonly start: number; readonly end: number; readonly concept: string }[],
  tokenTruth: TokenTruth = sharesCharacter,
): Labeller {
  const place = new Map(names.map((name, i) => [name, i]));

  function rangesOf(document: Document): Map<number, Range[]> {
    const ranges = new Map<number, Range[]>();
    for (const { start, end, concept } of truth(document)) {
      const id = place.get(concept);
      if (id === undefined)
        throw new Error(`Concept ${JSON.stringify(concept)} is not among the ${names.length} named ones.`);
      ranges.set(id, [...(ranges.get(id) ?? []), [start, end]]);
    }
    return new Map([...ranges].sort(([a], [b]) => a - b));
  }

  return {
    labels: names.map((name) => ({ name, kind: 'concept' })),
    async label({ documents: owners, starts, ends, mask }: PackedRows) {
      const positionsOf = new Map<number, number[]>();
      for (const [i, owner] of owners.entries()) {
        if (mask[i] !== 1) continue;
        if (starts[i]! < 0)
          throw new Error('Concepts need character offsets: pack the held-out rows with `offsets: true`.');
        const positions = positionsOf.get(owner);
        if (positions) positions.push(i);
        else positionsOf.set(owner, [i]);
      }
      const found: number[][] = Array.from(owners, () => []);
      for (const [owner, positions] of positionsOf) {
        const document = await documents.get(owner);
        const offsets = positions.map((i): Range => [starts[i]!, ends[i]!]);
        for (const [id, ranges] of rangesOf(document)) {
          const bits = tokenTruth(
            document.text,
            ranges.sort((p, q) => p[0] - q[0]),
            offsets,
          );
          for (const [p, i] of positions.entries()) if (bits[p] === 1) found[i]!.push(id);
        }
      }
      return (position) => found[position]!;
    },
  };
}

/** Several labellers as one; their labels follow each other. */
export function combineLabellers(labellers: readonly Labeller[]): Labeller {
  return {
    labels: labellers.flatMap(({ labels }) => labels),
    async label(packed) {
      const parts = await Promise.all(labellers.map((labeller) => labeller.label(packed)));
      return (position) => {
        const ids: number[] = [];
        let base = 0;
        for (const [p, part] of parts.entries()) {
          for (const id of part(position)) ids.push(base + id);
          base += labellers[p]!.labels.length;
        }
        return ids;
      };
    },
  };
}
