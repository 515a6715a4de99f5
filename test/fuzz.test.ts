// Readers of files from elsewhere meet damaged bytes: a second each here, a minute together in CI (SAEKIT_SLOW).
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readSafetensors } from '../src/formats/index.ts';
import { decodeModel } from '../src/graph/decode.ts';
import { readSkeleton } from '../src/graph/skeleton.ts';
import { convertGguf } from '../src/models/gguf/convert.ts';
import { describeOnnx } from '../src/models/onnx/describe.ts';
import { fromBytes } from '../src/platform/index.ts';
import { folderFromBytes } from '../src/platform/memory.ts';
import '../src/platform/node.ts';
import { type Fuzz, fuzz } from './support/fuzz.ts';

const folder = new URL('golden/', import.meta.url);
const bytesOf = (path: string) => new Uint8Array(readFileSync(new URL(path, folder)));
const ggufs = readdirSync(new URL('gguf/', folder)).filter((name) => name.endsWith('.gguf'));

const targets: Record<string, Pick<Fuzz, 'seeds' | 'read' | 'headBytes'>> = {
  'GGUF: header, config, tokenizer and weights': {
    seeds: ggufs.map((name) => bytesOf(`gguf/${name}`)),
    headBytes: 4000,
    async read(bytes) {
      const { weights } = await convertGguf(fromBytes(bytes), 'damaged.gguf');
      for await (const _ of weights.chunks());
    },
  },
  'ONNX: graph and tensors': {
    seeds: ['bert', 'llama-int8'].map((name) => bytesOf(`onnx/${name}/model.onnx`)),
    read: async (bytes) =>
      decodeModel(await readSkeleton(fromBytes(bytes), 'damaged.onnx'), { name: 'damaged.onnx' }),
  },
  'ONNX: hooks and shapes, by running': {
    seeds: ['bert', 'llama-int8', 'images/vit'].map((name) =>
      bytesOf(`onnx/${name.includes('/') ? `${name}.onnx` : `${name}/model.onnx`}`),
    ),
    read: (bytes) => describeOnnx(folderFromBytes('damaged', new Map([['x.onnx', bytes]]), 'x.onnx')),
  },
  'safetensors: header and tensors': {
    seeds: [bytesOf('models/formats/all-dtypes.safetensors'), bytesOf('models/llama-yarn/model.safetensors')],
    headBytes: 2000,
    async read(bytes) {
      const file = await readSafetensors(fromBytes(bytes), 'damaged.safetensors');
      for (const name of file.tensors.keys()) await file.read(name);
    },
  },
};

const seconds = process.env.SAEKIT_SLOW ? 60 / Object.keys(targets).length : 1;
test.each(Object.entries(targets))('%s', { timeout: 1000 * seconds + 30_000 }, async (name, target) => {
  const { files, refused } = await fuzz({ ...target, seconds, seed: name });
  expect(refused).toBeGreaterThan(0);
  // One in twenty is still valid: a machine that is busy gets through too few in a second to be sure of one.
  if (files > 500) expect(files).toBeGreaterThan(refused);
});
