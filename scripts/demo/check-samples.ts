/**
 * How many samples of the model the checkers accept: `npx tsx scripts/demo/check-samples.ts SAMPLES.json CARD.md`.
 *
 * Writes a table into the model card, where it says {{checked}}: per register, samples accepted beside held-out documents accepted,
 * which is what a perfect model would get.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { checkers, checkRegister } from '../../src/demo/checkers.ts';
import type { CorpusDocument } from './corpus/document.ts';

const [path, card] = process.argv.slice(2);
if (path === undefined || card === undefined)
  throw new Error(
    'check-samples needs two files of finish-model.py: its --samples, and README.md in its --out',
  );
const samples = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string[]>;
const heldOut = new URL('../../demo/corpus/heldout.jsonl.gz', import.meta.url);
const documents: CorpusDocument[] = gunzipSync(readFileSync(heldOut))
  .toString('utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

/** Prompts of the language register are in one language each. */
const languageOf: Readonly<Record<string, string>> = {
  languages: 'French',
  'languages (Russian)': 'Russian',
  'languages (Greek)': 'Greek',
  'languages (Japanese)': 'Japanese',
};
const english = ['speeches', 'countries', 'definitions', 'scripture', 'novels', 'maths'];

const lines = [
  '| prompt of | checker | samples accepted | held-out documents accepted |',
  '| --- | --- | --- | --- |',
];
for (const [name, texts] of Object.entries(samples)) {
  const language = languageOf[name];
  const checker = language?.toLowerCase() ?? (english.includes(name) ? 'english' : name);
  if (checkers[checker] === undefined) continue;
  const accepted = texts.filter((text) => checkRegister(checker, text)).length;
  const real = documents
    .filter(({ register, meta }) => (language === undefined ? register === name : meta.language === language))
    .slice(0, 100);
  const share = real.filter(({ text }) => checkRegister(checker, text)).length / real.length;
  lines.push(`| ${name} | ${checker} | ${accepted} of ${texts.length} | ${(100 * share).toFixed(0)} % |`);
}
const heading = `## Samples under the checkers

Samples at temperature 0.8 (top-p 0.95, 110 tokens at most) that the deterministic checkers of \`src/demo/checkers.ts\` accept, beside the share
of held-out documents that they accept.
`;
writeFileSync(card, readFileSync(card, 'utf8').replace('{{checked}}', `${heading}\n${lines.join('\n')}\n`));
console.log(lines.join('\n'));
