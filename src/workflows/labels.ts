/**
 * What is known about held-out text, for the label scores of latents: registers of documents, and concepts within them.
 *
 * Text of the bundled corpus (all registers are its own) gets its whole concept suite. Other text gets the labels of its spans.
 */
import type { Document, DocumentSet } from '../data/index.ts';
import { concepts, tokenTruth } from '../demo/concepts.ts';
import { registers } from '../demo/registers.ts';
import { combineLabellers, conceptLabeller, type Labeller, registerLabeller } from '../explain/index.ts';

/** Reads every document once. */
export async function labellerOf(
  heldout: DocumentSet,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Labeller> {
  const known = new Set<string>(registers.map(({ name }) => name));
  const spanLabels = new Set<string>();
  let bundled = heldout.count > 0;
  for (let i = 0; i < heldout.count; i++) {
    options.signal?.throwIfAborted();
    const { register, spans = [] } = await heldout.get(i);
    bundled &&= register !== undefined && known.has(register);
    for (const { label } of spans) spanLabels.add(label);
  }
  const byRegister = await registerLabeller(heldout, options);
  if (bundled) return combineLabellers([byRegister, suiteLabeller(heldout)]);
  if (spanLabels.size === 0) return byRegister;
  const spansOf = ({ spans = [] }: Document) =>
    spans.map(({ start, end, label }) => ({ start, end, concept: label }));
  return combineLabellers([byRegister, conceptLabeller(heldout, [...spanLabels].sort(), spansOf)]);
}

/** The suite without the plain registers, which are labelled by document already. */
function suiteLabeller(heldout: DocumentSet): Labeller {
  const plain = new Set(registers.map(({ name }) => `register/${name}`));
  const suite = concepts.filter(({ name }) => !plain.has(name));
  const names = suite.map(({ name }) => name);
  const truth = ({ id, register = '', text, meta, spans = [] }: Document) => {
    const labelled = { id, register, text, spans, meta: meta as Record<string, string | number> };
    return suite.flatMap((concept) =>
      concept.truth(labelled).map(([start, end]) => ({ start, end, concept: concept.name })),
    );
  };
  return conceptLabeller(heldout, names, truth, tokenTruth);
}
