// What a model thinks while it writes: the text as a stream, then the activations of every token that was written, caught on the way, and the
// latents that fired on them.
//   npx tsx examples/10-watch-while-writing.ts ["prompt"]
import { encode, loadSae, openModel } from 'saekit';

const prompt = process.argv[2] ?? '2. Dice the pepper and put it in a';
const model = await openModel('demo/model');
const sae = await loadSae('demo/saes/blocks.3.hook_resid_post');
const hook = sae.config.metadata.hook_name as string;
const options = { maxNewTokens: 24, temperature: 0.7, topP: 0.95, seed: 3 };

process.stdout.write(prompt);
for await (const text of model.stream(prompt, options)) process.stdout.write(text);

// The same seed writes the same text; this time with the activations of its tokens, prompt and continuation.
const [written] = await model.generateBatch(prompt, { ...options, capture: hook });
if (!written) throw new Error('nothing was written');
const tokens = [...written.promptIds, ...written.ids];
const { values, indices, K } = await encode(sae, written.cache[hook]!.data);

console.log(`\n\n${tokens.length} tokens, ${written.ids.length} of them written; ended by ${written.end}`);
const labels = model.tokenizer?.tokenStrings(tokens) ?? [];
for (let t = written.promptIds.length; t < tokens.length; t++) {
  const strongest = [0, 1, 2].map((k) => `#${indices[t * K + k]} ${values[t * K + k]?.toFixed(1)}`);
  console.log(`  ${JSON.stringify(labels[t]).padEnd(12)} ${strongest.join('  ')}`);
}
await model.close();
