/** An ONNX file and the weight files beside it, opened and checked. */
import { decodeModel, type OnnxModel, readSkeleton } from '../../graph/index.ts';
import type { ByteFolder, ByteSource } from '../../platform/index.ts';
import { sha256 } from '../sha256.ts';
import { hashWeights } from '../weights-hash.ts';
import { KNOWN_SWITCHES } from './tokens.ts';

export type OnnxFile = {
  /** What to call it in messages. */
  readonly name: string;
  readonly model: OnnxModel;
  /** Weight files, by the index that the graph uses. */
  readonly sources: readonly ByteSource[];
  /** sha256 over the graph and the weight files' names and sizes. */
  readonly hash: string;
  close(): Promise<void>;
};

/**
 * Reads the graph of an ONNX file; weights stay where they are.
 *
 * @throws when it is no ONNX file, contradicts itself, or a weight file is missing or too short
 */
export async function openOnnxFile(
  folder: ByteFolder,
  file: string,
  signal?: AbortSignal,
): Promise<OnnxFile> {
  const name = `${folder.name}/${file}`;
  const opened: ByteSource[] = [];
  const close = async (): Promise<void> => {
    for (const source of opened) await source.close?.();
  };
  try {
    const self = await folder.open(file);
    opened.push(self);
    signal?.throwIfAborted();
    const skeleton = await readSkeleton(self, name);
    signal?.throwIfAborted();
    const model = decodeModel(skeleton, { known: KNOWN_SWITCHES, name });
    const sources: ByteSource[] = [];
    const beside = file.includes('/') ? file.slice(0, file.lastIndexOf('/') + 1) : '';
    for (const location of model.files) {
      if (location !== '' && !(await folder.has(beside + location)))
        throw new Error(
          `${name} keeps weights in ${location}, which is not beside it. Download that file, too, under this name.`,
        );
      const source = location === '' ? self : await folder.open(beside + location);
      if (source !== self) opened.push(source);
      sources.push(source);
    }
    for (const [tensor, { data }] of model.graph.initializers) {
      if (data instanceof Uint8Array) continue;
      const { byteLength } = sources[data.file]!;
      if (data.offset + data.length > byteLength)
        throw new Error(
          `${name}: tensor ${JSON.stringify(tensor)} ends at byte ${data.offset + data.length} of ${model.files[data.file] || file}, which has ${byteLength}. Is the download complete?`,
        );
    }
    const sizes = model.files.map((one, i) => `\n${one} ${sources[i]!.byteLength}`).join('');
    const bytes = await new Blob([skeleton as Uint8Array<ArrayBuffer>, sizes]).arrayBuffer();
    const spans = [...model.graph.initializers.values()].flatMap(({ data }) =>
      data instanceof Uint8Array
        ? []
        : [{ source: sources[data.file]!, start: data.offset, end: data.offset + data.length }],
    );
    const hash = `${await sha256(new Uint8Array(bytes))}-${await hashWeights(spans)}`;
    return { name, model, sources, hash, close };
  } catch (error) {
    await close();
    throw error;
  }
}
