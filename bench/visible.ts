/**
 * `npm run bench -- --visible [--only NAME,…] [--samples N] [--controls N] [--temperature T] [--mode clamp|add]`
 *
 * Does clamping one latent of the bundled SAEs make the bundled model write a register? From no prompt at all, 100 texts per register, by the
 * register's deterministic checker (src/demo/checkers.ts; it takes a piece of the text that is at least half of it: src/workflows/steer-report/becomes.ts).
 *
 *     candidates   the first latents by activation (F1 of firing for the register's tokens) and by output effect (gain of the register's openings), of both SAEs
 *     latent       the candidate and strength with the most texts on seeds of their own, in the end the best four of 64 texts each; by activation: the same with the first of that order
 *     measured     on fresh seeds: that latent, the unsteered model, and random latents of like density, pushed as far
 *
 * A register turns when at least 70 % of its texts do, and at most 15 % of the unsteered ones and of those of the random latents. TWELVE are the
 * registers of the claim, named here before they were measured; the others are measured and shown, too. Kept in results/visible-<date>.json and as
 * the table of docs/visible.md.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import '../src/platform/node.ts';
import { readBundledCorpus } from '../src/demo/bundled-corpus.ts';
import { openModel } from '../src/models/index.ts';
import { loadSae } from '../src/sae/index.ts';
import { EARLY, LATE } from '../test/support/demo.ts';
import {
  indexRegisters,
  measureRegister,
  type RegisterResult,
  type VisibleSettings,
  writeTexts,
} from './lib/visible.ts';

/** Six formats and six scripts with a deterministic checker, of those that the model itself can write. */
const TWELVE = [
  ...['russian', 'greek', 'japanese', 'hebrew', 'korean', 'hindi'],
  ...['dna', 'html', 'hex', 'python', 'arithmetic', 'urls'],
];
const OTHERS = ['dates', 'recipes', 'reviews', 'http-logs'];

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string' },
    samples: { type: 'string', default: '100' },
    controls: { type: 'string', default: '10' },
    temperature: { type: 'string', default: '0.5' },
    mode: { type: 'string', default: 'clamp' },
  },
});
const { mode } = flags;
if (mode !== 'clamp' && mode !== 'add') throw new Error(`--mode ${mode}: clamp or add.`);
const demo = (path: string) => fileURLToPath(new URL(`../demo/${path}`, import.meta.url));
const progress = (line: string) => void process.stderr.write(`visible: ${line}\n`);
const settings = {
  ...{ samples: Number(flags.samples), controls: Number(flags.controls) },
  ...{ temperature: Number(flags.temperature), tokens: 64, mode },
  // Not those of the measurement before it, which showed that 16 texts are too few to choose by.
  seeds: 'measured after a choice by 64 texts',
} satisfies VisibleSettings;
type Figures = {
  /** Hash of the bundled model: results of another one are not gone on with. */
  readonly model: string;
  readonly settings: VisibleSettings;
  readonly turned: number;
  readonly of: number;
  readonly results: readonly RegisterResult[];
};
const date = new Date().toISOString().slice(0, 10);
const kept = flags.only === undefined && flags.samples === '100';
const hooks = [LATE, EARLY];

const model = await openModel(demo('model'), { threads: 1 });
const documents = readBundledCorpus('heldout');
const saes = [];
for (const hook of hooks) {
  const sae = await loadSae(demo(`saes/${hook}`));
  saes.push(await indexRegisters(model, sae, hook, documents));
  progress(`latents of ${hook} indexed`);
}
const unsteered = await writeTexts(model, {}, settings.samples, settings, settings.seeds);
const wanted = flags.only?.split(',') ?? [...TWELVE, ...OTHERS];
const results = readKept();
for (const register of wanted.filter((name) => !results.some((known) => known.register === name))) {
  const result = await measureRegister(model, saes, documents, register, unsteered, settings);
  results.push({ ...result, ofTheTwelve: TWELVE.includes(register) });
  keep();
  const { best, byActivation, unsteered: none, matched, turns } = result;
  progress(
    `${register}: ${turns ? 'turns' : 'does not turn'}; #${best.latent} of ${best.hook} at ${best.strength} ${best.passes}/${best.of}, by activation #${byActivation.latent} ${byActivation.passes}/${byActivation.of}, unsteered ${none.passes}/${none.of}, random ${matched.passes}/${matched.of}`,
  );
}
await model.close();
console.log(JSON.stringify({ turned: turnedOf(), of: TWELVE.length, ...settings }));
process.exitCode = turnedOf() >= 10 ? 0 : 1;

function turnedOf(): number {
  return results.filter(({ ofTheTwelve, turns }) => ofTheTwelve && turns).length;
}

/** What a run of this day and these settings that was stopped has found: the same command goes on. */
function readKept(): RegisterResult[] {
  if (!kept || !existsSync(file())) return [];
  const earlier = JSON.parse(readFileSync(file(), 'utf8')) as Figures;
  const same =
    earlier.model === model.info.hash && JSON.stringify(earlier.settings) === JSON.stringify(settings);
  return same ? [...earlier.results] : [];
}

/** After every register. */
function keep(): void {
  if (!kept) return;
  mkdirSync(new URL('./', file()), { recursive: true });
  const place = ({ register }: RegisterResult) => [...TWELVE, ...OTHERS].indexOf(register);
  results.sort((a, b) => place(a) - place(b));
  const figures: Figures = {
    model: model.info.hash,
    settings,
    turned: turnedOf(),
    of: TWELVE.length,
    results,
  };
  writeFileSync(file(), `${JSON.stringify(figures, null, 1)}\n`);
  writeFileSync(new URL('../docs/visible.md', import.meta.url), page());
}

/** A run that was stopped claims nothing about what it did not measure. */
function claim(): string {
  const measured = results.filter(({ ofTheTwelve }) => ofTheTwelve).length;
  return measured === TWELVE.length
    ? `${turnedOf()} of the 12 registers of the claim turn.`
    : `The run was stopped: ${measured} of the 12 registers of the claim were measured, and ${turnedOf()} of those turn.`;
}

function file(): URL {
  return new URL(`./results/visible-${date}.json`, import.meta.url);
}

function page(): string {
  const row = ({ register, best, byActivation, unsteered: none, matched, turns }: RegisterResult): string => {
    const share = ({ passes, of }: { passes: number; of: number }) => `${Math.round((100 * passes) / of)} %`;
    const text = best.text.replace(/\s+/g, ' ').replaceAll('|', '\\|').replaceAll('`', "'").slice(0, 60);
    return `| ${register} | ${turns ? 'yes' : 'no'} | #${best.latent} of blocks.${best.hook.match(/\d+/)?.[0]}, ${best.strength} x | ${share(best)} | #${byActivation.latent}: ${share(byActivation)} | ${share(none)} | ${share(matched)} | \`${text}\` |`;
  };
  const table = (rows: readonly RegisterResult[]) =>
    [
      '| register | turns | latent, strength | texts | by activation alone | unsteered | random latents | begins |',
      '| --- | --- | --- | --- | --- | --- | --- | --- |',
      ...rows.map(row),
    ].join('\n');
  const others = results.filter(({ ofTheTwelve }) => !ofTheTwelve);
  return `# What one latent does to what the bundled model writes

Made by \`npm run bench -- --visible\` on ${date}; the program's header says how, bench/results has every number. ${settings.samples} texts of ${settings.tokens} tokens from no
prompt at all, temperature ${settings.temperature}, the latent ${settings.mode === 'clamp' ? 'clamped' : 'added'} at every token; a strength of 1 is its largest activation on held-out text. A text counts when the register's
checker takes a piece of it that is at least half of it. Latent and strength were chosen on other seeds. A register turns when 70 % of the texts do, and
at most 15 % of the unsteered ones and of those of ${settings.controls} random latents of like density, pushed as far. **${claim()}**

${table(results.filter(({ ofTheTwelve }) => ofTheTwelve))}
${others.length === 0 ? '' : `\nOthers, measured in the same way:\n\n${table(others)}\n`}`;
}
