/**
 * Labellers: what is known about every token of held-out text.
 *
 * A register belongs to a whole document; a concept to stretches of its characters. A token has a concept if it shares at least one
 * character with such a stretch. Tokens without characters (BOS) have the register only.
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

/**
 * Labels tokens with concepts known by character. The batches must carry offsets.
 *
 * @param names all concepts
 * @param truth the stretches of a document that show a concept; any order, may overlap
 */
export function conceptLabeller(
  documents: DocumentSet,
  names: readonly string[],
  truth: (
    document: Document,
  ) => readonly { readonly start: number; readonly end: number; readonly concept: string }[],
): Labeller {
  const place = new Map(names.map((name, i) => [name, i]));
  return {
    labels: names.map((name) => ({ name, kind: 'concept' })),
    async label({ documents: owners, starts, ends, mask }: PackedRows) {
      const spans = new Map<number, { start: number; end: number; concept: number }[]>();
      for (const owner of new Set(owners)) {
        if (owner < 0) continue;
        const stretches = truth(await documents.get(owner)).map(({ start, end, concept }) => {
          const id = place.get(concept);
          if (id === undefined)
            throw new Error(
              `Concept ${JSON.stringify(concept)} is not among the ${names.length} named ones.`,
            );
          return { start, end, concept: id };
        });
        spans.set(
          owner,
          stretches.sort((a, b) => a.start - b.start),
        );
      }
      const found: (readonly number[])[] = new Array(owners.length).fill([]);
      for (let i = 0; i < owners.length; i++) {
        if (mask[i] !== 1) continue;
        const [start, end] = [starts[i]!, ends[i]!];
        if (start < 0)
          throw new Error('Concepts need character offsets: pack the held-out rows with `offsets: true`.');
        if (start === end) continue;
        const ids = new Set<number>();
        for (const span of spans.get(owners[i]!) ?? []) {
          if (span.start >= end) break;
          if (span.end > start) ids.add(span.concept);
        }
        if (ids.size > 0) found[i] = [...ids].sort((a, b) => a - b);
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
