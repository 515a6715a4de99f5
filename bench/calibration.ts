/**
 * `npm run bench -- --calibration [--seeds N] [--tests N]`
 *
 * Whether the test behind the steering report finds what is not there (20 seeds of 50 random latents of the bundled SAE, each among 19 matched
 * ones) and what is (a planted direction): lib/calibration.ts. Some minutes; kept in bench/results/calibration-<date>.json. Status 1 when the
 * 99 % interval of the false-finding rate at 5 % leaves out 5 %, the p-values are not uniform at 1 %, or the planted direction is missed too often.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import '../src/platform/node.ts';
import { readBundledCorpus } from '../src/demo/bundled-corpus.ts';
import { openModel } from '../src/models/index.ts';
import { loadSae } from '../src/sae/index.ts';
import { LATE as hook } from '../test/support/demo.ts';
import { calibrate, calibrationHolds } from './lib/calibration.ts';

const { values: flags } = parseArgs({
  options: { seeds: { type: 'string', default: '20' }, tests: { type: 'string', default: '50' } },
});
const demo = (path: string) => fileURLToPath(new URL(`../demo/${path}`, import.meta.url));
const settings = {
  ...{ seeds: Number(flags.seeds), tests: Number(flags.tests), controls: 19 },
  ...{ prompts: 8, promptTokens: 8, strength: 20 },
};
const model = await openModel(demo('model'), { threads: 1 });
const sae = await loadSae(demo(`saes/${hook}`));
const texts = readBundledCorpus('heldout')
  .slice(0, 1000)
  .map(({ text }) => text);
const result = await calibrate(model, sae, {
  ...settings,
  ...{ hook, texts },
  progress: (line) => void process.stderr.write(`calibration: ${line}\n`),
});
await model.close();
const figures = { ...settings, hook, ...result, holds: calibrationHolds(result) };
const { planted: _, ...short } = figures;
console.log(JSON.stringify(short));
if (flags.seeds === '20' && flags.tests === '50') {
  const folder = new URL('./results/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  const file = new URL(`calibration-${new Date().toISOString().slice(0, 10)}.json`, folder);
  writeFileSync(file, `${JSON.stringify(figures, null, 1)}\n`);
}
process.exitCode = figures.holds ? 0 : 1;
