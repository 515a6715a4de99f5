/** What a result depends on besides its config. */
import { createRequire } from 'node:module';
import { arch, availableParallelism, platform } from 'node:os';
import type { Corpus } from '../data/index.ts';
import type { ModelInfo } from '../models/types.ts';
import type { Provenance } from '../shared/run.ts';

const require = createRequire(import.meta.url);
const versionOf = (specifier: string): string => (require(specifier) as { version: string }).version;

export function provenanceOf(
  model: ModelInfo,
  corpus: Corpus,
  initialSae?: Provenance['initialSae'],
): Provenance {
  return {
    model: {
      name: model.name,
      family: model.family,
      hash: model.hash,
      parameters: model.parameters,
      ...model.origin,
    },
    data: corpus.files.map(({ path, origin = path, bytes, sha256, documents }) => ({
      path: origin,
      bytes,
      sha256,
      documents,
    })),
    ...(initialSae ? { initialSae } : {}),
    split: corpus.split,
    saekit: versionOf('../../package.json'),
    node: process.versions.node,
    engine: `onnxruntime-node ${versionOf('onnxruntime-node/package.json')}`,
    machine: `${platform()}, ${arch()}, ${availableParallelism()} threads`,
  };
}
