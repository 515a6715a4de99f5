// Token ids by llama.cpp itself: node llama_cpp_tokens.mjs MODEL.gguf < texts.json > ids.json. Needs `npm i node-llama-cpp` somewhere, whose node_modules
// folder is given as LLAMA_CPP_MODULES. Text that spells a special token becomes it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(join(process.env.LLAMA_CPP_MODULES, 'x.js'));
const { getLlama } = await import(pathToFileURL(require.resolve('node-llama-cpp')).href);
const texts = JSON.parse(readFileSync(0, 'utf8'));
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error' });
const model = await llama.loadModel({ modelPath: process.argv[2], vocabOnly: true });
// "trimLeadingSpace" would undo the space that SentencePiece puts in front.
console.log(JSON.stringify(texts.map((text) => [...model.tokenize(text, true)])));
await llama.dispose();
