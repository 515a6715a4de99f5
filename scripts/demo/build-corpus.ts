/**
 * Builds the labelled corpus: `npx tsx scripts/demo/build-corpus.ts --sources DIR --out DIR [--gsm8k PATH] [--generated N]`.
 *
 * Writes `train.jsonl` and `heldout.jsonl`; the same input packages give the same bytes. See README.md beside this file.
 */
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type GeneratedRegister, generate, generators } from '../../src/demo/generate.ts';
import { collectCode } from './corpus/code.ts';
import { type Candidate, type CorpusDocument, isHeldOut } from './corpus/document.ts';
import { labelProse } from './corpus/label-prose.ts';
import { collectLanguages, heldOutArticles } from './corpus/languages.ts';
import {
  collectCountries,
  collectDefinitions,
  collectMaths,
  collectNovels,
  collectScripture,
  collectSpeeches,
} from './corpus/prose.ts';

const { values } = parseArgs({
  options: {
    sources: { type: 'string' },
    out: { type: 'string' },
    gsm8k: { type: 'string' },
    generated: { type: 'string', default: '6000' },
    'generated-heldout': { type: 'string', default: '320' },
  },
});
const { sources, out, gsm8k } = values;
if (sources === undefined || out === undefined)
  throw new Error('build-corpus needs --sources DIR (see fetch-sources.sh) and --out DIR');

/** Share of the groups of a register that is held out. */
const heldOutShare = 0.06;

function* candidates(root: string): Generator<Candidate> {
  yield* collectSpeeches(root);
  yield* collectCountries(root);
  yield* collectLanguages(root);
  yield* collectDefinitions(root);
  yield* collectScripture(root);
  yield* collectNovels(root);
  if (gsm8k !== undefined) yield* collectMaths(gsm8k);
  yield* collectCode(root);
}

function sideOf({ group, meta }: Candidate): 'train' | 'heldout' {
  if (meta.source === 'udhr') return heldOutArticles.includes(Number(meta.article)) ? 'heldout' : 'train';
  return isHeldOut(group, heldOutShare) ? 'heldout' : 'train';
}

/** Held-out generated documents come from seeds of their own. */
function* generated(side: 'train' | 'heldout', count: number): Generator<CorpusDocument> {
  for (const register of Object.keys(generators) as GeneratedRegister[]) {
    for (let i = 0; i < count; i++) {
      const seed = `${register}/${side}/${i}`;
      yield { id: seed, register, ...generate(register, seed), meta: { seed } };
    }
  }
}

mkdirSync(out, { recursive: true });
const streams = {
  train: createWriteStream(join(out, 'train.jsonl')),
  heldout: createWriteStream(join(out, 'heldout.jsonl')),
};
const counts = new Map<string, { train: number; heldout: number; bytes: number }>();
const seen = new Set<string>();

function write(side: 'train' | 'heldout', { id, register, text, meta, spans }: CorpusDocument): void {
  // The same text twice (licence headers, repeated articles) is kept once, on the side that comes first.
  if (seen.has(text)) return;
  seen.add(text);
  streams[side].write(`${JSON.stringify({ id, register, text, meta, spans })}\n`);
  const count = counts.get(register) ?? { train: 0, heldout: 0, bytes: 0 };
  count[side]++;
  count.bytes += Buffer.byteLength(text);
  counts.set(register, count);
}

for (const candidate of candidates(sources)) {
  const labels = labelProse(candidate.register, candidate.text);
  write(sideOf(candidate), { ...candidate, spans: labels.length > 0 ? labels : candidate.spans });
}
for (const document of generated('train', Number(values.generated))) write('train', document);
for (const document of generated('heldout', Number(values['generated-heldout']))) write('heldout', document);
for (const stream of Object.values(streams)) stream.end();
for (const [register, { train, heldout, bytes }] of counts)
  console.log(register.padEnd(14), 'train', train, 'held out', heldout, 'MB', (bytes / 1e6).toFixed(2));
