/** What is in an ONNX file: inputs, tensors with their shapes, and which of them are the residual stream. */
import type { Value } from '../../graph/index.ts';
import type { HubAccess } from '../../hub/types.ts';
import { type ByteFolder, getPlatform } from '../../platform/index.ts';
import { type OnnxTensor, residualNames } from './any.ts';
import { type OnnxFile, openOnnxFile } from './file.ts';
import { guessInputs } from './guesses.ts';
import { type Measured, probe } from './probe.ts';
import { readTokenGraph } from './tokens-graph.ts';

export type OnnxDescription = {
  readonly name: string;
  readonly producer: string;
  /** Version of the standard operators. */
  readonly opset: number | undefined;
  readonly nodes: number;
  readonly inputs: readonly OnnxTensor[];
  readonly outputs: readonly OnnxTensor[];
  /** All that nodes make, in order. B sequences, T positions, N = B T rows, '?' what follows none of them. */
  readonly tensors: readonly OnnxTensor[];
  /** The residual stream, by hook names. */
  readonly hooks: readonly ({ readonly hook: string } & OnnxTensor)[];
  /** Why text cannot be run through it with the commands, when it cannot. */
  readonly notText?: string;
  /** Why shapes were not measured, when they were not. */
  readonly notRun?: string;
};

async function measure(file: OnnxFile): Promise<{ measured: ReadonlyMap<Value, Measured>; notRun?: string }> {
  const { graph, outputs } = file.model;
  let [failed, tooLarge]: (string | undefined)[] = [];
  for (const guess of guessInputs(graph)) {
    if (guess.tooLarge !== undefined) {
      tooLarge ??= guess.tooLarge;
      continue;
    }
    try {
      return { measured: await probe(graph, file.sources, outputs, guess.feed, guess.atOnce) };
    } catch (error) {
      failed = `${(error as Error).message.trimEnd()} (tried ${guess.shown})`;
    }
  }
  return { measured: new Map(), notRun: failed ?? tooLarge ?? 'no sizes were found to try' };
}

/**
 * Reads an ONNX file and runs it once on tiny inputs to learn its shapes.
 *
 * @throws when it is no ONNX file or contradicts itself; a file that only does not run is described without shapes
 */
export async function describeOnnx(
  location: string | ByteFolder,
  access: HubAccess = {},
): Promise<OnnxDescription> {
  const { signal } = access;
  const folder = typeof location === 'string' ? await getPlatform().openFolder(location, access) : location;
  if (folder.file === undefined) throw new Error(`${folder.name} is a folder, expected one .onnx file`);
  const file = await openOnnxFile(folder, folder.file, signal);
  try {
    const { graph, outputs, stated, producer } = file.model;
    const text = await readTokenGraph(file).catch((error: Error) => error);
    signal?.throwIfAborted();
    const { measured, notRun } =
      text instanceof Error ? await measure(file) : { measured: text.measured, notRun: undefined };
    const makers = new Map(
      graph.nodes.flatMap((node) => node.outputs.map((value) => [value, node.op] as const)),
    );
    makers.delete('');
    const show = (name: Value, op: string): OnnxTensor => ({
      name,
      op,
      ...(measured.get(name) ?? stated.get(name)),
    });
    const names =
      text instanceof Error
        ? residualNames(file)
        : text.names.map(({ hook, value }) => ({ hook, tensor: value }));
    return {
      name: file.name,
      producer,
      opset: graph.dialect?.opsets.get(''),
      nodes: graph.nodes.length,
      inputs: [...graph.inputs].map(([name, info]) => ({ name, op: 'input', ...info })),
      outputs: outputs.map((name) => show(name, makers.get(name) ?? '')),
      tensors: [...makers].map(([name, op]) => show(name, op)),
      hooks: names.map(({ hook, tensor }) => ({ hook, ...show(tensor, makers.get(tensor) ?? '') })),
      ...(text instanceof Error ? { notText: text.message } : {}),
      ...(notRun === undefined ? {} : { notRun }),
    };
  } finally {
    await file.close();
  }
}
