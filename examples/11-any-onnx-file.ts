// Looks inside an ONNX file that somebody else exported: finds its residual stream, taps a tensor by its own name, and patches it.
//   npx tsx examples/11-any-onnx-file.ts [model.onnx]        default: a tiny GPT-2 with random weights, as torch.onnx writes it
import { openOnnx } from 'saekit';

const file = await openOnnx(process.argv[2] ?? 'test/golden/onnx/gpt2/model.onnx');
console.log(`${file.tensors.length} tensors, ${file.hooks.length} of them with a hook name`);

const ids = [3, 14, 15, 9];
const feeds = { input_ids: { data: ids, dims: [1, ids.length] } };
const residual = file.hooks.filter(({ hook }) => hook.endsWith('hook_resid_post'));
// Under its hook name or its own name in the file: the same values.
const [output = ''] = file.outputs;
const found = await file.run(feeds, { fetch: [...residual.map(({ tensor }) => tensor), output] });
for (const { hook, tensor } of residual) {
  const { data, dims } = found[tensor]!;
  const length = Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / ids.length);
  console.log(`${hook} is ${tensor} [${dims.join(', ')}], mean length ${length.toFixed(2)}`);
}

// Twice the residual after the first layer, in place of its own: the rest of the file goes on from there.
const { hook, tensor } = residual[0]!;
const { data, dims } = found[tensor]!;
const patched = await file.run(feeds, {
  fetch: [output],
  replace: { [hook]: { data: data.map((x) => 2 * x), dims } },
});
const before = found[output]!.data;
const moved = patched[output]!.data.map((x, i) => x - before[i]!);
const size = (values: Float32Array): number => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
console.log(
  `${hook} doubled moves ${output} by ${((100 * size(moved)) / size(before)).toFixed(0)} % of its length`,
);
await file.close();
