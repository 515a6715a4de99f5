/**
 * Graph -> ONNX Runtime session. Weight files on disk are named by their real path below a common ancestor folder: the
 * engine refuses external data outside the folder it is told, and follows no symlink out of it, while every file of a
 * Hugging Face snapshot is a symlink. Files that lie nowhere on disk are handed over as bytes.
 */
import type { InferenceSession } from 'onnxruntime-common';
import { type ByteSource, getPlatform } from '../platform/index.ts';
import type { Device } from '../shared/device.ts';
import { deviceError, executionProviders } from './device.ts';
import { encodeModel } from './encode.ts';
import type { Graph, Value, ValueInfo } from './types.ts';

export type SessionOptions = {
  /** Default: as many as suit `rows`. */
  readonly threads?: number;
  /** How many rows a run has: many at once, or few at a time, where reading the weights is the work. Default many. */
  readonly rows?: 'many' | 'few';
  /** Files that external initialisers point into, by index. */
  readonly weightFiles?: readonly ByteSource[];
  readonly outputTypes?: ReadonlyMap<Value, ValueInfo['type']>;
  /**
   * Leaves weights in the file's pages instead of copying them into the engine's own layout: loads in milliseconds and
   * shares memory between sessions (F32 files only), runs up to 20 % slower.
   */
  readonly mapped?: boolean;
  /** Default true. Without, the graph runs as it stands: for a look at values that nothing else will ask for. */
  readonly optimize?: boolean;
  /** Default cpu. */
  readonly device?: Device;
};

/** The folder that all paths lie under, and each path relative to it with forward slashes. */
export function relativeToCommonFolder(paths: readonly string[]): { folder: string; names: string[] } {
  const separator = paths.some((path) => /^[A-Za-z]:\\|^\\\\/.test(path)) ? '\\' : '/';
  const parts = paths.map((path) => path.split(separator));
  const first = parts[0] ?? [];
  let common = first.length - 1;
  for (const other of parts) {
    common = Math.min(common, other.length - 1);
    for (let i = 0; i < common; i++) if (other[i] !== first[i]) common = i;
  }
  if (paths.length > 0 && common === 0)
    throw new Error(`Weight files lie on different drives: ${paths.join(', ')}. Put them on one.`);
  return {
    folder: first.slice(0, common).join(separator) || separator,
    names: parts.map((part) => part.slice(common).join('/')),
  };
}

/**
 * Weights that are looked up by row and multiplied with, as an embedding that is the head, too: the engine would hold a second copy, laid out
 * for the product. Without it a product with one row takes a tenth longer, one with many 3 %.
 */
function lookedUpAndMultiplied({ nodes, initializers }: Graph): Value[] {
  const read = (op: string, at: number) =>
    new Set(nodes.flatMap(({ op: other, inputs }) => (other === op ? [inputs[at]] : [])));
  const [lookedUp, multiplied] = [read('Gather', 0), read('Gemm', 1)];
  return [...initializers.keys()].filter((name) => lookedUp.has(name) && multiplied.has(name));
}

/** Opens a session that returns `outputs`. The graph should have been cut to them. */
export async function createSession(
  graph: Graph,
  outputs: readonly Value[],
  {
    threads,
    rows = 'many',
    weightFiles = [],
    outputTypes,
    mapped = false,
    optimize = true,
    device = 'cpu',
  }: SessionOptions = {},
): Promise<InferenceSession> {
  const platform = getPlatform();
  const used = new Set<number>();
  for (const { data } of graph.initializers.values()) if (!(data instanceof Uint8Array)) used.add(data.file);
  const paths = new Map<number, string>();
  for (const index of used) {
    const path = weightFiles[index]?.realPath;
    if (path !== undefined) paths.set(index, path);
  }
  const { folder, names } = relativeToCommonFolder([...paths.values()]);
  // Files in memory get a name that no path can have.
  const locations = weightFiles.map((_, index) => `bytes-${index}`);
  [...paths.keys()].forEach((index, i) => {
    locations[index] = names[i]!;
  });
  const externalData = [];
  for (const index of used) {
    const source = weightFiles[index];
    if (source && !paths.has(index))
      externalData.push({ path: locations[index]!, data: await source.slice(0, source.byteLength) });
  }
  // Text is written row by row: there speed counts more.
  const kept = device === 'cpu' && rows === 'many' && !mapped ? lookedUpAndMultiplied(graph) : [];
  const bytes = encodeModel(graph, outputs, locations, outputTypes, kept);
  const session = platform.ort.InferenceSession.create(bytes, {
    ...executionProviders(device),
    intraOpNumThreads: threads ?? platform.sessionThreads[rows],
    interOpNumThreads: 1,
    graphOptimizationLevel: optimize ? 'all' : 'disabled',
    // A plan of the memory of one run is a second block beside what the first run took: a fifth more memory, not a percent of speed.
    enableMemPattern: false,
    // A look that fails is told by who looked; the engine would also write it to the terminal.
    // Nor does it have to say that an initialiser which is an input is no constant.
    ...(optimize
      ? device === 'cpu' && kept.length === 0
        ? {}
        : { logSeverityLevel: 3 as const }
      : { logSeverityLevel: 4 as const }),
    ...(externalData.length > 0 ? { externalData } : {}),
    extra: {
      session: {
        ...(paths.size > 0 ? { model_external_initializers_file_folder_path: folder } : {}),
        ...(mapped ? { disable_prepacking: '1' } : {}),
        // Else its threads hold their cores for a while after each run, which the next session, or a worker, could use. For few rows a run is
        // so short that waking them would cost more.
        ...(rows === 'many' ? { force_spinning_stop: '1' } : {}),
      },
      // With it, asking for a residual hook changes the logits by 1e-6; without it, not one bit.
      optimization: { disable_specified_optimizers: 'SkipLayerNormFusion' },
    },
  });
  return device === 'cpu'
    ? await session
    : await session.catch((error: Error) => {
        throw deviceError(device, error);
      });
}
