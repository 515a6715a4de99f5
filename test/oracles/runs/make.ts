// Makes test/golden/runs/vN with the saekit of this checkout: what a person with an old folder has. See README.md beside this file.
//   npx tsx test/oracles/runs/make.ts v2
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { tokenize, tokenizeConfigSchema, trainConfigSchema, trainSae } from '../../../src/index.ts';
import { writeTinyCorpus, writeTinyModel } from '../../fixtures/tiny-model.ts';
import { root } from '../../repository.ts';

const [version = ''] = process.argv.slice(2);
if (!/^v\d+$/.test(version)) throw new Error('Say which version: v2, for one.');
const folder = join(root, 'test', 'golden', 'runs', version);
if (existsSync(folder)) throw new Error(`${folder} is there, and stays as it is.`);
mkdirSync(folder, { recursive: true });
// Paths in the files are relative.
process.chdir(folder);
writeTinyModel('model');
writeTinyCorpus('corpus.jsonl', 100);

const config = trainConfigSchema.parse({
  model: 'model',
  data: ['corpus.jsonl'],
  latents: 64,
  k: 4,
  shards: 2,
  batchTokens: 64,
  tokens: 64 * 40,
  shuffleTokens: 256,
  deadWindowTokens: 320,
  logEverySteps: 5,
  checkpointEveryTokens: 64 * 10,
  evalTokens: 400,
  multiTopk: true,
  ema: 0.9,
  tensorboard: true,
});
const stop = new AbortController();
await trainSae(config, {
  folder: 'interrupted',
  signal: stop.signal,
  onProgress: ({ step }) => void (step === 27 && stop.abort()),
});
await trainSae(config, { folder: 'finished' });
rmSync(join('finished', 'checkpoints'), { recursive: true });
writeTinyCorpus('few.jsonl', 12);
await tokenize(tokenizeConfigSchema.parse({ model: 'model', data: ['few.jsonl'], contextLength: 32 }), {
  folder: 'tokens',
});
rmSync('few.jsonl');
