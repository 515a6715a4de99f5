// Trains a small SAE on the bundled model, encodes a sentence with it and prints what fired on each token.
//   npx tsx examples/01-train-and-encode.ts [model folder] [corpus]
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encode, openModel, trainConfigSchema, trainSae } from '../src/index.ts';

const [model = 'demo/model', corpus = 'demo/corpus/train.jsonl.gz'] = process.argv.slice(2);
const folder = join(await mkdtemp(join(tmpdir(), 'saekit-')), 'run');

const { sae, plan } = await trainSae(
  trainConfigSchema.parse({
    model,
    data: [corpus],
    latents: 512,
    k: 16,
    tokens: 20_000,
    batchTokens: 1000,
    shuffleTokens: 8192,
    evalTokens: 0,
  }),
  {
    folder,
    onProgress: ({ step, totalSteps, fvu }) =>
      console.log(`step ${step}/${totalSteps}  FVU ${fvu.toFixed(3)}`),
  },
);
if (!sae) throw new Error('training was stopped');

const opened = await openModel(model);
const { hook } = plan.settings;
const { cache, batch } = await opened.runWithCache('The meeting will be held on the 4th of March.', hook);
const activations = cache[hook];
if (!activations) throw new Error(`no activations at ${hook}`);

// Sparse: K values and latents per token, largest first; never a dense row of all latents.
const { values, indices, K } = await encode(sae, activations.data);
const tokens = opened.tokenizer?.tokenStrings([...batch.ids]) ?? [];
for (const [i, token] of tokens.entries()) {
  const strongest = [0, 1, 2].map((k) => `#${indices[i * K + k]} ${(values[i * K + k] ?? 0).toFixed(1)}`);
  console.log(JSON.stringify(token).padEnd(12), strongest.join('  '));
}
await opened.close();
