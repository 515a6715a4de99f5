// Opens what make.ts exported with transformers.js, without any option, and compares the greedy tokens.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = resolve(process.argv[2] ?? '');
const found = createRequire(join(folder, 'x.js')).resolve('@huggingface/transformers');
const { AutoModelForCausalLM, AutoTokenizer, env } = await import(pathToFileURL(found).href);
env.allowRemoteModels = false;
env.localModelPath = `${folder}/`;

const { prompts, expected } = JSON.parse(await readFile(join(folder, 'expected.json'), 'utf8'));
for (const [name, texts] of Object.entries(expected)) {
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  tokenizer.padding_side = 'left';
  const model = await AutoModelForCausalLM.from_pretrained(name);
  const inputs = tokenizer(prompts, { padding: true });
  const output = await model.generate({ ...inputs, max_new_tokens: 24, do_sample: false });
  const given = inputs.input_ids.dims[1];
  const ids = output.tolist().map((row) => row.slice(given).map(Number));
  const same = JSON.stringify(ids) === JSON.stringify(texts);
  console.log(
    `${name}: ${same ? 'the same tokens' : `other tokens: ${JSON.stringify(ids)}, expected ${JSON.stringify(texts)}`}`,
  );
  if (!same) process.exitCode = 1;
}
