/**
 * `npm run bench -- --only steer.first_token`: two figures, in the library and over HTTP, one JSON line each; kept in bench/results/first-token-<date>.json.
 *
 * From a set of interventions that was never run to the first piece of text that it can touch, on the bundled model and SAEs, warm: 40 changes in turns with the
 * same prompts unsteered (lib/first-token.ts). Status 1 when the 95th percentile is above 200 ms, or a change opened a session.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import '../src/platform/node.ts';
import { readBundledCorpus } from '../src/demo/bundled-corpus.ts';
import { EARLY, LATE } from '../test/support/demo.ts';
import { type FirstTokens, firstTokensOfLibrary, firstTokensOverHttp } from './lib/first-token.ts';
import { quantile } from './lib/quantile.ts';

const TARGET_MS = 200;
const CHANGES = 40;
/** Characters of a prompt: 20 to 40 tokens. */
const PROMPT = 80;

const load = loadavg()[0]!;
if (load > 0.5 * availableParallelism())
  process.stderr.write(`bench: load is ${load.toFixed(1)}: other programs will disturb the figures\n`);
const options = {
  demo: fileURLToPath(new URL('../demo', import.meta.url)),
  hooks: [LATE, EARLY],
  prompts: readBundledCorpus('heldout')
    .slice(0, CHANGES)
    .map(({ text }) => text.slice(0, PROMPT)),
  changes: CHANGES,
  threads: availableParallelism(),
};
const round = (ms: number): number => Math.round(10 * ms) / 10;

function figure(name: string, { steered, unsteered, sessions }: FirstTokens) {
  const p95 = quantile(steered, 0.95);
  return {
    name,
    p50_ms: round(quantile(steered, 0.5)),
    p95_ms: round(p95),
    unsteered_p50_ms: round(quantile(unsteered, 0.5)),
    unsteered_p95_ms: round(quantile(unsteered, 0.95)),
    sessions: sessions.changes,
    target: TARGET_MS,
    holds: p95 <= TARGET_MS && sessions.changes === 0,
    all: steered.map(round),
  };
}

const figures = [
  figure('steer.first_token', await firstTokensOfLibrary(options)),
  figure('steer.first_token.http', await firstTokensOverHttp(options)),
];
for (const one of figures) console.log(JSON.stringify(one));
const machine = {
  cpu: cpus()[0]?.model.trim(),
  cores: availableParallelism(),
  node: process.versions.node,
  load_before: Math.round(load * 10) / 10,
};
const date = new Date().toISOString();
const folder = new URL('./results/', import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(
  new URL(`first-token-${date.slice(0, 10)}.json`, folder),
  `${JSON.stringify({ date, machine, figures }, null, 1)}\n`,
);
process.exitCode = figures.every(({ holds }) => holds) ? 0 : 1;
