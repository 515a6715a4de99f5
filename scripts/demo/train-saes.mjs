// Trains, measures, indexes and packs the SAEs that ship in demo/saes, at two thirds and at one third of the depth. Run from the repository's root,
// after `npm run build`, when the model and the corpus are in demo/:
//   node scripts/demo/train-saes.mjs [--tokens N] [--index-tokens N]
// Paths are relative on purpose: run.json keeps them, and a clone finds model and corpus by them.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { run } from '../lib.mjs';

const { values: flags } = parseArgs({
  options: {
    tokens: { type: 'string', default: '4194304' },
    // Everything in demo/ is 40 MB at most; a thousand tokens more in the tables are about 0.11 MB.
    'index-tokens': { type: 'string', default: '34000' },
  },
});
const saekit = (...args) => run(process.execPath, [join('dist', 'cli', 'main.js'), ...args]);
const pack = (...args) =>
  run(process.execPath, ['--import', 'tsx', join('scripts', 'demo', 'pack.ts'), ...args]);
const corpus = (part) => join('demo', 'corpus', `${part}.jsonl.gz`);

const { num_hidden_layers: layers } = JSON.parse(readFileSync(join('demo', 'model', 'config.json'), 'utf8'));
const after = (share) => `blocks.${Math.round(layers * share) - 1}.hook_resid_post`;

const saes = [
  {
    hook: after(2 / 3),
    latents: 4096,
    k: 32,
    share: 1,
    eval: ['--controls', '--features', '48'],
    index: true,
  },
  {
    hook: after(1 / 3),
    latents: 2048,
    k: 24,
    share: 0.4,
    eval: ['--features', '24', '--max-tokens', '200000'],
  },
];

// All are made before the old ones go: those of another model would only be in the way.
const made = join('demo', 'saes.tmp');
rmSync(made, { recursive: true, force: true });
mkdirSync(made);
for (const { hook, latents, k, share, eval: measured, index } of saes) {
  const fresh = join(made, hook);
  saekit(
    'train',
    '--model',
    join('demo', 'model'),
    '--data',
    corpus('train'),
    '--heldout',
    corpus('heldout'),
    '--hook',
    hook,
    '--latents',
    String(latents),
    '--k',
    String(k),
    '--tokens',
    String(Math.round(flags.tokens * share)),
    '--recipe',
    'short',
    '--eval-tokens',
    '0',
    '--no-snippets',
    '--out',
    fresh,
  );
  pack('weights', fresh);
  saekit('eval', fresh, ...measured);
  pack('cards', fresh);
  if (index) {
    const fields = ['register', 'language'];
    saekit(
      'index',
      fresh,
      '--max-tokens',
      flags['index-tokens'],
      '--groups',
      ...fields,
      '--balance',
      ...fields,
    );
    pack('tables', fresh);
  }
  // What a finished run does not need: the states to continue it, and the control that its figures were taken from.
  for (const name of readdirSync(fresh))
    if (name === 'checkpoints' || name === 'controls') rmSync(join(fresh, name), { recursive: true });
}
const folder = join('demo', 'saes');
if (existsSync(folder)) rmSync(folder, { recursive: true });
renameSync(made, folder);
