// Reads activations at several hooks in one run of the model, and shows how the residual stream grows.
//   npx tsx examples/02-run-with-cache.ts [model folder]
import { openModel } from 'saekit';

const model = await openModel(process.argv[2] ?? 'demo/model');
const hooks = model.hooks.map(({ name }) => name).filter((name) => name.endsWith('hook_resid_post'));
// Two texts of different length: the shorter one is padded, and its activations are the same as alone.
const { cache, batch } = await model.runWithCache(
  ['Two roads', 'Two roads diverged in a yellow wood'],
  hooks,
);

for (const hook of hooks) {
  const tensor = cache[hook];
  if (!tensor) continue;
  const width = tensor.dims.at(-1) as number;
  let square = 0;
  let rows = 0;
  for (let i = 0; i < batch.B * batch.T; i++) {
    if (batch.mask[i] === 0) continue;
    for (const value of tensor.data.subarray(i * width, (i + 1) * width)) square += value * value;
    rows++;
  }
  console.log(`${hook}  [${tensor.dims.join(', ')}]  mean length ${Math.sqrt(square / rows).toFixed(2)}`);
}
await model.close();
