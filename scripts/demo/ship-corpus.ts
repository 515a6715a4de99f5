/**
 * Takes the sample that ships from the built corpus:
 * `npx tsx scripts/demo/ship-corpus.ts --corpus DIR --sources DIR --model DIR --out demo/corpus [--train-tokens N] [--heldout-tokens N]`.
 *
 * Documents are taken per register by the shares of mixture.json (a register that has less gives all it has), then shuffled with a
 * fixed seed, so that any prefix of a file is a fair mixture. Prints the table of counts for `demo/corpus/README.md`.
 */
import { createReadStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { Tokenizer } from '@huggingface/tokenizers';
import { createRng } from '../../src/shared/rng.ts';
import type { CorpusDocument } from './corpus/document.ts';
import { collectNotices } from './corpus/notices.ts';

const { values } = parseArgs({
  options: {
    corpus: { type: 'string' },
    sources: { type: 'string' },
    model: { type: 'string' },
    out: { type: 'string' },
    'train-tokens': { type: 'string', default: '4200000' },
    'heldout-tokens': { type: 'string', default: '900000' },
  },
});
const { corpus, sources, model, out } = values;
if (corpus === undefined || sources === undefined || model === undefined || out === undefined)
  throw new Error('ship-corpus needs --corpus, --sources, --model and --out');

const readJson = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
const tokenizer = new Tokenizer(
  readJson(join(model, 'tokenizer.json')),
  readJson(join(model, 'tokenizer_config.json')),
);
const shares: Record<string, number> = readJson(join(import.meta.dirname, 'mixture.json'));
const totalShare = Object.values(shares).reduce((sum, share) => sum + share, 0);

async function readByRegister(path: string): Promise<Map<string, string[]>> {
  const byRegister = new Map<string, string[]>();
  for await (const json of createInterface({ input: createReadStream(path) })) {
    const { register } = JSON.parse(json) as CorpusDocument;
    const lines = byRegister.get(register) ?? [];
    lines.push(json);
    byRegister.set(register, lines);
  }
  return byRegister;
}

function shuffle<T>(items: T[], seed: string): T[] {
  const rng = createRng(seed);
  for (let i = items.length - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    [items[i], items[j]] = [items[j] as T, items[i] as T];
  }
  return items;
}

mkdirSync(out, { recursive: true });
writeFileSync(join(out, 'NOTICES.txt'), collectNotices(sources));
const table: Record<string, Record<string, number>> = {};
for (const part of ['train', 'heldout'] as const) {
  const budget = Number(values[`${part}-tokens`]);
  const chosen: string[] = [];
  for (const [register, lines] of await readByRegister(join(corpus, `${part}.jsonl`))) {
    const wanted = (budget * (shares[register] ?? 0)) / totalShare;
    let tokens = 0;
    let documents = 0;
    for (const json of shuffle(lines, `${part}/${register}`)) {
      if (tokens >= wanted) break;
      const document = JSON.parse(json) as CorpusDocument;
      tokens += tokenizer.encode(document.text).ids.length;
      documents++;
      // Spans of generated documents can be made again from their seed: the larger part does without (see parseDocument).
      const bare = part === 'train' && document.meta.seed !== undefined;
      chosen.push(bare ? JSON.stringify({ ...document, spans: [] }) : json);
    }
    table[register] = { ...table[register], [`${part} documents`]: documents, [`${part} tokens`]: tokens };
  }
  const bytes = gzipSync(`${shuffle(chosen, part).join('\n')}\n`, { level: 9 });
  writeFileSync(join(out, `${part}.jsonl.gz`), bytes);
  console.log(part, chosen.length, 'documents', (bytes.length / 1e6).toFixed(2), 'MB');
}
console.log(
  '| register | train documents | train tokens | held-out documents | held-out tokens |\n| --- | --- | --- | --- | --- |',
);
for (const [register, row] of Object.entries(table))
  console.log(`| ${[register, ...Object.values(row)].join(' | ')} |`);
const sum = (key: string) => Object.values(table).reduce((total, row) => total + (row[key] ?? 0), 0);
console.log(
  `| all | ${['train documents', 'train tokens', 'heldout documents', 'heldout tokens'].map(sum).join(' | ')} |`,
);
