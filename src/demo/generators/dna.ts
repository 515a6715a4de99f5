/**
 * Double-stranded DNA written as one strand, 60 letters a line: stretches between genes, and genes with a TATA box, a start codon,
 * codons drawn with a bias, and a stop codon. Spans: `gene`, `codon`, `start-codon`, `stop-codon`, `tata-box`.
 * Line breaks fall inside codons as they do in real files; a codon's span then covers the break as well.
 */
import type { Rng } from '../../shared/rng.ts';
import { createDraft, type Draft, type LabelledText } from '../labelled-text.ts';

const bases = ['A', 'C', 'G', 'T'] as const;
const stops = ['TAA', 'TAG', 'TGA'] as const;
/** Twenty codons that are used more often than the rest, as in a real genome's codon bias. */
const frequent = [
  'CTG',
  'GAA',
  'AAA',
  'GCG',
  'GGC',
  'GTG',
  'ATT',
  'CAG',
  'GAT',
  'ACC',
  'CGT',
  'AAC',
  'CCG',
  'TAT',
  'TTC',
  'AGC',
  'CAT',
  'TGC',
  'TGG',
  'ATG',
] as const;

const lineLength = 60;

/** Writes letters, breaking lines; returns through the draft only. */
function createLineWriter(draft: Draft): (letters: string) => void {
  let column = 0;
  return (letters) => {
    for (const letter of letters) {
      if (column === lineLength) {
        draft.put('\n');
        column = 0;
      }
      draft.put(letter);
      column++;
    }
  };
}

/** A stretch of DNA with one to three genes. */
export function generateDna(rng: Rng): LabelledText {
  const draft = createDraft();
  const write = createLineWriter(draft);
  const gc = 0.3 + 0.4 * rng.uniform();
  const base = () => (rng.uniform() < gc ? rng.pick(['C', 'G']) : rng.pick(['A', 'T']));
  const between = (count: number) => {
    for (let i = 0; i < count; i++) write(base());
  };
  between(10 + rng.int(50));
  for (let gene = 1 + rng.int(3); gene > 0; gene--) {
    draft.mark('tata-box', () => write('TATAAA'));
    between(15 + rng.int(20));
    draft.mark('gene', () => {
      draft.mark('start-codon', () => write('ATG'));
      for (let codons = 10 + rng.int(40); codons > 0; codons--) {
        let codon =
          rng.uniform() < 0.75 ? rng.pick(frequent) : rng.pick(bases) + rng.pick(bases) + rng.pick(bases);
        if ((stops as readonly string[]).includes(codon)) codon = 'CTG';
        draft.mark('codon', () => write(codon));
      }
      draft.mark('stop-codon', () => write(rng.pick(stops)));
    });
    between(10 + rng.int(60));
  }
  return draft.done();
}
