// Trains, measures and trims the SAEs that ship in demo/saes. Run from the repository's root after the model and the corpus are in demo/:
//   node scripts/demo/train-saes.mjs [--tokens N]
// Paths are relative on purpose: run.json keeps them, and a clone finds model and corpus by them.
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { run } from '../lib.mjs';

const { values: flags } = parseArgs({ options: { tokens: { type: 'string', default: '4194304' } } });
const saekit = (...args) => run(process.execPath, [join('dist', 'cli', 'main.js'), ...args]);
const corpus = (part) => join('demo', 'corpus', `${part}.jsonl.gz`);

const saes = [
  {
    hook: 'blocks.2.hook_resid_post',
    latents: 4096,
    k: 32,
    share: 1,
    eval: ['--controls', '--features', '48'],
  },
  {
    hook: 'blocks.0.hook_resid_post',
    latents: 2048,
    k: 24,
    share: 0.4,
    eval: ['--features', '48', '--max-tokens', '200000'],
  },
];

for (const { hook, latents, k, share, eval: measured } of saes) {
  const folder = join('demo', 'saes', hook);
  const fresh = `${folder}.tmp`;
  rmSync(fresh, { recursive: true, force: true });
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
  saekit('eval', fresh, ...measured);
  // What a finished run does not need: the states to continue it, and the control that its figures were taken from.
  for (const name of readdirSync(fresh))
    if (name === 'checkpoints' || name === 'controls') rmSync(join(fresh, name), { recursive: true });
  if (existsSync(folder)) rmSync(folder, { recursive: true });
  renameSync(fresh, folder);
}
