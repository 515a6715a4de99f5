/**
 * Labellers: what is known about every token of held-out text.
 *
 * A register belongs to a whole document, a concept to stretches of its characters.
 */
import type { Document, DocumentSet, PackedRows } from '../data/types.ts';
import type { Labeller } from './types.ts';

/** Labels every token with the register of its document. Reads all documents once to learn the names. */
export async function registerLabeller(documents: DocumentSet): Promise<Labeller> {
  const registers: (string | undefined)[] = [];
  for (let i = 0; i < documents.count; i++) registers.push((await documents.get(i)).register);
  const names = [...new Set(registers.filter((name) => name !== undefined))].sort();
  const ofDocument = registers.map((name) => (name === undefined ? [] : [names.indexOf(name)]));
  return {
    labels: names.map((name) => ({ name, kind: 'register' })),
    label: async (packed) => (position) => ofDocument[packed.documents[position]!] ?? [],
  };
}

/** A concept: its name and where in a document's text it holds, as sorted ranges that do not overlap. */
export type KnownConcept = { readonly name: string; truth(document: Document): readonly Range[] };

/** Start and end in UTF-16 units, half-open. */
type Range = readonly [start: number, end: number];

/**
 * Labels tokens with concepts that are known by character. The batches must carry offsets.
 *
 * @param tokenTruth one bit per token from ranges and the tokens' offsets: the suite's own rule of when a token has a concept
 */
export function conceptLabeller(
  documents: DocumentSet,
  concepts: readonly KnownConcept[],
  tokenTruth: (text: string, ranges: readonly Range[], offsets: readonly Range[]) => ArrayLike<number>,
): Labeller {
  return {
    labels: concepts.map(({ name }) => ({ name, kind: 'concept' })),
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
        for (const [id, concept] of concepts.entries()) {
          const ranges = concept.truth(document);
          if (ranges.length === 0) continue;
          const bits = tokenTruth(document.text, ranges, offsets);
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
