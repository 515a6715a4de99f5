/**
 * What is known about held-out text, for the label scores of latents: registers of documents, and concepts within them.
 *
 * Text of the bundled corpus (all registers are its own) gets its whole concept suite. Other text gets the labels of its spans.
 */
import type { Document, DocumentSet } from '../data/index.ts';
import { concepts, tokenTruth } from '../demo/concepts.ts';
import { registers } from '../demo/registers.ts';
import {
  combineLabellers,
  conceptLabeller,
  type KnownConcept,
  type Labeller,
  registerLabeller,
} from '../explain/index.ts';

/** Reads every document once. */
export async function labellerOf(heldout: DocumentSet): Promise<Labeller> {
  const known = new Set<string>(registers.map(({ name }) => name));
  const spanLabels = new Set<string>();
  let bundled = heldout.count > 0;
  for (let i = 0; i < heldout.count; i++) {
    const { register, spans = [] } = await heldout.get(i);
    bundled &&= register !== undefined && known.has(register);
    for (const { label } of spans) spanLabels.add(label);
  }
  const found = bundled ? suite() : [...spanLabels].sort().map(spanConcept);
  const byRegister = await registerLabeller(heldout);
  return found.length === 0
    ? byRegister
    : combineLabellers([byRegister, conceptLabeller(heldout, found, tokenTruth)]);
}

/** The suite without the plain registers, which are labelled by document already. */
function suite(): KnownConcept[] {
  const plain = new Set(registers.map(({ name }) => `register/${name}`));
  return concepts
    .filter(({ name }) => !plain.has(name))
    .map((concept) => ({
      name: concept.name,
      truth: ({ id, register = '', text, meta, spans = [] }) =>
        concept.truth({ id, register, text, spans, meta: meta as Record<string, string | number> }),
    }));
}

function spanConcept(name: string): KnownConcept {
  return {
    name,
    truth({ spans = [] }: Document) {
      const ranges: [number, number][] = [];
      for (const { label, start, end } of spans.toSorted((a, b) => a.start - b.start)) {
        if (label !== name) continue;
        const last = ranges.at(-1);
        if (last && start <= last[1]) last[1] = Math.max(last[1], end);
        else ranges.push([start, end]);
      }
      return ranges;
    },
  };
}
