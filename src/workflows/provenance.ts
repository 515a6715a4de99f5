/** What a result depends on besides its config. */
import { createRequire } from 'node:module';
import { arch, availableParallelism, platform } from 'node:os';
import type { Corpus } from '../data/index.ts';
import type { ModelInfo } from '../models/types.ts';
import type { Provenance } from '../shared/run.ts';

const require = createRequire(import.meta.url);
const versionOf = (specifier: string): string => (require(specifier) as { version: string }).version;

/** Of a model that read text. */
export const textProvenance = (
  model: ModelInfo,
  corpus: Corpus,
): Pick<Provenance, 'model' | 'data' | 'split'> => ({
  model: {
    name: model.name,
    family: model.family,
    hash: model.hash,
    parameters: model.parameters,
    ...(model.quantization === undefined ? {} : { quantization: model.quantization }),
    ...model.origin,
  },
  data: corpus.files.map(({ path, origin = path, bytes, sha256, documents }) => ({
    path: origin,
    bytes,
    sha256,
    documents,
  })),
  split: corpus.split,
});

/** The rest: versions and the machine. */
export const environment = (): Pick<Provenance, 'saekit' | 'node' | 'engine' | 'machine'> => ({
  saekit: versionOf('../../package.json'),
  node: process.versions.node,
  engine: `onnxruntime-node ${versionOf('onnxruntime-node/package.json')}`,
  machine: `${platform()}, ${arch()}, ${availableParallelism()} threads`,
});
