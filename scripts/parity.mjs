// npm run parity: how far every hook and the logits of the golden models are from what PyTorch computed, into docs/parity.json and docs/parity.md.
// What real weights give stands in it too: npm run fetch-test-models first.
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { installToTest, root } from './lib.mjs';

await installToTest();
const { register } = await import('tsx/esm/api');
register();
const { BOUND, goldenErrors, goldenFolder, MODELS, openGolden, relativeError, sentenceGolden } = await import(
  '../test/golden/models/compare.ts'
);
const { openModel, sentenceVectors } = await import('../src/models/index.ts');
const { findFamily } = await import('../src/models/families/registry.ts');
const { openModelFolder } = await import('../src/models/hf-folder.ts');
const { openFolder } = await import('../src/platform/node.ts');
const { testModel } = await import('../test/support/test-models.ts');

const isResidual = (name) =>
  /hook_resid_(pre|mid|post)$|hook_normalized_resid_post$|^hook_embed$|^hook_full_embed$/.test(name);
const worst = (errors, accept) =>
  Math.max(...[...errors].filter(([name]) => accept(name)).map(([, error]) => error));

/** Mean entropy of the attention rows over that of a uniform look at what they may see: near 1, no error in attention would show. */
async function attentionEntropy(golden) {
  const shares = [];
  for (const name of golden.names.filter((one) => one.endsWith('hook_pattern'))) {
    const { data, dims } = await golden.tensor(name);
    const T = dims.at(-1);
    for (let row = 0; row < data.length; row += T) {
      const seen = data.subarray(row, row + T).filter((p) => p > 0);
      if (seen.length < 4) continue;
      shares.push(seen.reduce((sum, p) => sum - p * Math.log(p), 0) / Math.log(seen.length));
    }
  }
  return shares.reduce((a, b) => a + b, 0) / shares.length;
}

/** What makes the model a case of its own. */
function traits({ attention, ...spec }, dtypes) {
  const windows = attention.map(({ window }) => window ?? '-');
  const ropes = [...new Set(attention.flatMap(({ rope }) => (rope ? [rope.scaling.type] : [])))];
  return [
    ...(attention.some(({ window }) => window) ? [`windows ${windows.join(' ')}`] : []),
    ...ropes.filter((type) => type !== 'default').map((type) => `${type} positions`),
    ...(spec.kvHeads < spec.heads ? [`${spec.heads} heads on ${spec.kvHeads}`] : []),
    ...(spec.headDim * spec.heads === spec.D ? [] : [`heads of ${spec.headDim}`]),
    ...(spec.parallel ? ['parallel'] : []),
    ...(spec.encoder ? ['encoder'] : [spec.tiedHead ? 'tied head' : 'own head']),
    ...dtypes.filter((dtype) => dtype !== 'F32'),
  ].join(', ');
}

const models = [];
for (const name of MODELS) {
  const folder = await openModelFolder(await openFolder(goldenFolder(name)));
  const spec = findFamily(folder.config, name).parse(folder.config, folder.weights);
  const dtypes = [...new Set([...folder.weights.tensors.values()].map(({ dtype }) => dtype))];
  await folder.close();
  const golden = await openGolden(name);
  const model = await openModel(goldenFolder(name), { threads: 1 });
  const { plain, padded } = await goldenErrors(model, golden);
  await model.close();
  models.push({
    name,
    family: spec.family,
    traits: traits(spec, dtypes),
    T: (await golden.batch('plain')).T,
    attentionEntropy: await attentionEntropy(golden),
    logits: plain.get('logits') ?? null,
    residual: worst(plain, isResidual),
    otherHooks: worst(plain, (hook) => hook !== 'logits' && !isResidual(hook)),
    padded: worst(padded, () => true),
    hooks: Object.fromEntries([...plain].filter(([hook]) => hook !== 'logits')),
  });
}

const minilm = testModel('all-MiniLM-L6-v2');
if (!minilm) throw new Error('The table has a row of real weights: npm run fetch-test-models');
const real = await openModel(minilm);
const { texts, vectors, maxTokens } = await sentenceGolden();
const sentence = relativeError(await sentenceVectors(real, texts, { maxTokens }), vectors);
await real.close();

const { version } = JSON.parse(
  readFileSync(join(root, 'node_modules', 'onnxruntime-node', 'package.json'), 'utf8'),
);
const table = {
  measured: `${new Date().toISOString().slice(0, 10)}, ${cpus()[0].model.trim()}, ONNX Runtime ${version}`,
  bound: BOUND,
  models,
  real: [{ name: 'all-MiniLM-L6-v2', what: `sentence vectors of ${texts.length} texts`, error: sentence }],
};
writeFileSync(join(root, 'docs', 'parity.json'), `${JSON.stringify(table, null, 2)}\n`);

const e = (error) => (error === null ? '–' : error.toExponential(1));
const row = (cells) => `| ${cells.join(' | ')} |`;
writeFileSync(
  join(root, 'docs', 'parity.md'),
  `# Equal to PyTorch

Made by \`npm run parity\` (${table.measured}); all numbers are in [parity.json](parity.json). Tiny random models, saved by PyTorch's transformers, run
here and there. An error is the largest difference over the root mean square of the tensor (for attention patterns, over 1); the bound is ${e(BOUND)}.
PyTorch computes from the stored weights in float64, so an error is our own rounding; its own float32 is 5e-6 to 3e-5 away. Sequences are longer
than the windows and, where positions are stretched, than the context that they are stretched from. Entropy: of the attention, over that of a
uniform look: well below 1, or mistakes in masks and positions would not show. That they do is what the mutations in
\`src/models/parity.test.ts\` check: windows, caps, norms, biases and positions, each made wrong, fail the same comparison.

${row(['family', 'model', 'what is in it', 'T', 'entropy', 'logits', 'residual hooks', 'other hooks', 'padded batch'])}
${row(['---', '---', '---', '---:', '---:', '---:', '---:', '---:', '---:'])}
${models.map((m) => row([m.family, m.name, m.traits, m.T, m.attentionEntropy.toFixed(2), e(m.logits), e(m.residual), e(m.otherHooks), e(m.padded)])).join('\n')}

Real weights: ${table.real.map(({ name, what, error }) => `${name}, ${what}: ${e(error)}`).join('; ')}.

The places of the hooks are TransformerLens's: \`test/oracles/models/check_hooks.py\` runs eight of these models in it and finds the same values.
`,
);
const most = Math.max(
  ...models.map((m) => Math.max(m.logits ?? 0, m.residual, m.otherHooks, m.padded)),
  sentence,
);
console.log(`${models.length} models, the worst error ${e(most)}; docs/parity.md`);
process.exitCode = most <= BOUND ? 0 : 1;
