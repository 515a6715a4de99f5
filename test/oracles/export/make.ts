/** Exports the demo model, plain and steered, with the greedy tokens of saekit beside it: npx tsx test/oracles/export/make.ts FOLDER */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportModel, loadSae, openModel, steer } from '../../../src/index.ts';
import { DNA, late } from '../../support/demo.ts';

const [folder = ''] = process.argv.slice(2);
const location = 'demo/model';
const prompts = ['The meeting will be held', 'Мы читали'];
const sae = await loadSae(late.path);
const model = await openModel(location);
const expected: Record<string, unknown> = {};
for (const [name, interventions] of Object.entries({
  plain: [],
  steered: [{ sae, latent: DNA, mode: 'clamp' as const, value: 61 }],
})) {
  await exportModel(join(folder, name), { model: location, interventions });
  const made = await steer(model, interventions);
  const texts = await model.generateBatch(prompts, { maxNewTokens: 24, interventions: made });
  expected[name] = texts.map(({ ids }) => ids);
}
await model.close();
await writeFile(join(folder, 'expected.json'), JSON.stringify({ prompts, expected }));
