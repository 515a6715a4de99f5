/**
 * Greedy decoding by llama.cpp through node-llama-cpp, on the CPU, with the line protocol of bench/peers/peer.py: "step" fills the cache with
 * the prompt, untimed, then times N tokens; {"ms", "tokens"}.
 *
 *   node decode.mjs --serve --model MODEL.gguf --ids IDS.i32 --tokens N --threads T
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';

const { values } = parseArgs({
  options: {
    serve: { type: 'boolean' },
    model: { type: 'string' },
    ids: { type: 'string' },
    tokens: { type: 'string' },
    threads: { type: 'string' },
  },
});
const count = Number(values.tokens);
const threads = Number(values.threads);
const bytes = readFileSync(values.ids);
const prompt = Array.from(new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4));

const llama = await getLlama({
  gpu: false,
  build: 'never',
  maxThreads: threads,
  logLevel: LlamaLogLevel.error,
});
const model = await llama.loadModel({ modelPath: values.model, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: prompt.length + count + 8,
  batchSize: 512,
  threads: { ideal: threads, min: threads },
});
const sequence = context.getSequence();

async function turn() {
  await sequence.clearHistory();
  await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, -1));
  const tokens = [];
  const start = performance.now();
  for await (const token of sequence.evaluate(prompt.slice(-1), { temperature: 0, yieldEogToken: true })) {
    tokens.push(token);
    if (tokens.length === count) break;
  }
  return { ms: performance.now() - start, tokens };
}

await turn();
const { version } = JSON.parse(
  readFileSync(new URL('node_modules/node-llama-cpp/package.json', import.meta.url), 'utf8'),
);
console.log(
  JSON.stringify({
    ready: true,
    threads,
    versions: { node: process.version, 'node-llama-cpp': version },
    notes: `${values.model.includes('f16') ? 'f16' : 'f32'} weights, cache of llama.cpp's default type`,
  }),
);
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() !== 'step') continue;
  console.log(JSON.stringify(await turn()));
}
process.exit(0);
