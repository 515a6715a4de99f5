/** Writes SAEs of test/golden/sae/formats in every format that is written, for read_back.py: npx tsx test/oracles/sae/read-back.ts FOLDER */
import '../../../src/platform/node.ts';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FormatName, loadSae, saveSae } from '../../../src/sae/index.ts';
import { folderWriter } from '../../../src/store/index.ts';

const [root = ''] = process.argv.slice(2);
const golden = 'test/golden/sae/formats';
const cases: Record<string, { from: string; format: FormatName }> = {};
async function write(name: string, from: string, format: FormatName): Promise<void> {
  await saveSae(folderWriter(join(root, name)), await loadSae(join(golden, from)), { format });
  cases[name] = { from, format };
}

for (const name of [
  'AutoEncoder',
  'AutoEncoderNew',
  'GatedAutoEncoder',
  'JumpReluAutoEncoder',
  'AutoEncoderTopK',
  'BatchTopKSAE',
  'MatryoshkaBatchTopKSAE',
])
  await write(`dl-${name}`, `dictionary-learning-${name}/ae.pt`, 'dictionary-learning');
await write('gs', 'gemma-scope-2/resid_post/layer_1_width_16_l0_small', 'gemma-scope');
// Of x - b_dec, written as of x.
await write('folded-dl', 'saelens-jumprelu', 'dictionary-learning');
await write('folded-gs', 'saelens-jumprelu', 'gemma-scope');
for (const name of [
  'standard',
  'gated',
  'jumprelu',
  'abstopk',
  'layer-norm',
  'transcoder',
  'skip-transcoder',
  'jumprelu-skip-transcoder',
  'matching-pursuit',
  'temporal',
  'temporal-untied',
])
  await write(`sl-${name}`, `saelens-${name}`, 'saelens');
await write('sl-bt', 'dictionary-learning-BatchTopKSAE/ae.pt', 'saelens');
for (const kind of ['topk', 'skip-transcoder', 'groupmax', 'groupmax-transcoder'])
  await write(`sp-${kind}`, `sparsify-${kind}/layers.1`, 'sparsify');

for (const [name, from] of [
  ...['standard', 'gated', 'abstopk', 'layer-norm', 'jumprelu-skip-transcoder'].map((kind) => [
    `saelens-${kind}`,
    `saelens-${kind}`,
  ]),
  ...['BatchTopKSAE', 'MatryoshkaBatchTopKSAE', 'JumpReluAutoEncoder'].map((kind) => [
    `dictionary-learning-${kind}`,
    `dictionary-learning-${kind}/ae.pt`,
  ]),
  ['sparsify-topk', 'sparsify-topk/layers.1'],
  ['sparsify-skip-transcoder', 'sparsify-skip-transcoder/layers.1'],
  ['sparsify-groupmax', 'sparsify-groupmax/layers.1'],
] as [string, string][])
  await write(`onnx-${name}`, from, 'onnx');
writeFileSync(join(root, 'cases.json'), JSON.stringify(cases));
