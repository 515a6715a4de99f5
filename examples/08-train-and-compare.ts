// Trains a small SAE on the bundled model and measures it on held-out text beside PCA, which may use as many components as the SAE
// latents per token, but the same ones for every token.
//   npx tsx examples/08-train-and-compare.ts [tokens]
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatEvalTable, trainConfigSchema, trainSae } from 'saekit';

const [tokens = '200000'] = process.argv.slice(2);
const folder = join(await mkdtemp(join(tmpdir(), 'saekit-')), 'run');
const config = trainConfigSchema.parse({
  model: 'demo/model',
  data: ['demo/corpus/train.jsonl.gz'],
  hook: 'blocks.3.hook_resid_post',
  latents: 1024,
  k: 32,
  tokens: Number(tokens),
  batchTokens: 2000,
  shuffleTokens: 8192,
  evalTokens: 5000,
});

// Ctrl-C stops between two steps, with everything saved.
const controller = new AbortController();
process.once('SIGINT', () => controller.abort());

const { sae, measured } = await trainSae(config, {
  folder,
  signal: controller.signal,
  onProgress({ step, totalSteps, fvu, dead, tokensPerSecond }) {
    if (step % Math.ceil(totalSteps / 8) === 0 || step === totalSteps)
      console.log(
        `step ${step} of ${totalSteps}  FVU ${fvu.toFixed(3)}  ${dead} dead  ${Math.round(tokensPerSecond)} tokens/s`,
      );
  },
});
if (!sae || !measured) throw new Error(`stopped; resumeTraining({ folder: '${folder}' }) goes on`);

console.log(`\n${formatEvalTable(measured.evaluation)}`);
console.log(
  `\nThe run, its evaluation and its feature cards are in ${folder}; SAELens loads the folder too.`,
);
