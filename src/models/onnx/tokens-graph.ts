/** The graph of a file that reads tokens: with our inputs, measured, its residual stream and its head found. */
import type { Graph, Value } from '../../graph/index.ts';
import { getPlatform } from '../../platform/index.ts';
import { batchFeeds } from '../feeds.ts';
import type { RunSpec } from '../runtime.ts';
import type { OnnxFile } from './file.ts';
import { storedBehind } from './hooks.ts';
import { type Measured, probe } from './probe.ts';
import { findResiduals, hookNames, mixesPositions } from './residual.ts';
import { embedding, idsInput, RESERVED, withHead, withShapesOfIds, withTokenInputs } from './tokens.ts';
import { renameValues } from './values.ts';

/** Values that are a cache for the next call, not a result. */
const isCache = (name: Value): boolean => /present|past|cache/i.test(name);

const HOOK_NAME = /^(blocks\.\d+\.|(embed\.)?hook_)/;

/** Feeds of the two sizes that shapes are measured with. */
function probeFeeds(V: number, spec: Pick<RunSpec, 'attention' | 'headDim'>) {
  return ({ B, T }: { B: number; T: number }) => {
    const ids = Int32Array.from({ length: B * T }, (_, i) => (i * 7 + 1) % Math.min(V, 64));
    return batchFeeds({ ids, mask: new Uint8Array(B * T).fill(1), B, T }, spec, getPlatform().ort);
  };
}

/** What was found in a file that reads tokens. */
export type TokenGraph = {
  readonly graph: Graph;
  readonly measured: ReadonlyMap<Value, Measured>;
  readonly logits: Value | undefined;
  /** Of the embedding: token ids are below it. */
  readonly rows: number;
  readonly V: number;
  readonly D: number;
  readonly layers: number;
  readonly names: readonly { readonly hook: string; readonly value: Value }[];
  /** The value that the head reads, or the last one of a model without head. */
  readonly last: Value;
};

/** @throws when the file takes no token ids, needs inputs that text does not give, or does not run */
export async function readTokenGraph({ name, model, sources }: OnnxFile): Promise<TokenGraph> {
  // Our own exports call their values by hook names, which are given by structure here.
  const own = model.graph.nodes.flatMap(({ outputs }) => outputs.filter((value) => HOOK_NAME.test(value)));
  const taken = new Map(
    [...RESERVED.filter((value) => isMade(model.graph, value)), ...own].map((value) => [
      value,
      `file/${value}`,
    ]),
  );
  const renamed = renameValues(model.graph, taken);
  const input = idsInput(renamed);
  if (input === undefined)
    throw new Error(
      `${name} takes no token ids; its inputs are ${[...renamed.inputs.keys()].join(', ')}. openOnnx runs a file on any inputs.`,
    );
  const outputs = model.outputs.map((value) => taken.get(value) ?? value).filter((value) => !isCache(value));
  const logits = outputs.find((value) => /^(file\/)?(logits|lm_logits|prediction_scores)$/.test(value));
  const sink = logits ?? outputs.find((value) => /hidden_state/.test(value)) ?? outputs[0];
  if (sink === undefined) throw new Error(`${name} has no output but caches`);
  const start = embedding(renamed, input);
  const table = start && storedBehind(renamed, start.table);
  const rows = table === undefined ? undefined : renamed.initializers.get(table)?.dims[0];
  if (!start || rows === undefined)
    throw new Error(
      `${name} looks its token ids up in no table of embeddings; openOnnx runs a file on any inputs.`,
    );
  let graph: Graph;
  try {
    graph = withTokenInputs(renamed, input);
  } catch (error) {
    throw new Error(`${name}: ${(error as Error).message}.`);
  }
  const measured = await probe(graph, sources, [sink], probeFeeds(rows, { attention: [], headDim: 1 })).catch(
    (error: Error) => {
      throw new Error(
        `${name} does not run on ${getPlatform().kind === 'node' ? 'ONNX Runtime' : 'this ONNX Runtime'}: ${error.message}`,
      );
    },
  );
  const dims = (value: Value): readonly string[] => measured.get(value)?.dims ?? [];
  const isRows = (value: Value): boolean => {
    const [b, t, width, ...rest] = dims(value).flatMap((dim) => (dim === 'N' ? ['B', 'T'] : [dim]));
    return b === 'B' && t === 'T' && /^\d+$/.test(width ?? '') && rest.length === 0;
  };
  const width = (value: Value): number => Number(dims(value).at(-1));
  if (logits !== undefined && !isRows(logits))
    throw new Error(
      `${name}: its logits are [${dims(logits).join(', ')}], expected [B, T, V]: a prediction at every position. Export it again with all logits.`,
    );
  const found = findResiduals(graph, [start.value], sink);
  const D = width(found.layers[0]?.[0]?.value ?? start.value);
  const residuals = hookNames(found).filter(({ hook, value }) =>
    hook.endsWith('pattern')
      ? dims(value).join() === `B,${dims(value)[1]},T,T`
      : isRows(value) && width(value) === D,
  );
  const embed = found.bottlenecks.find((value) => isRows(value) && measured.get(value)?.type !== 'uint8');
  // Layers may have been found up to one that is unlike the others only (a steered one); the head is what comes behind the last of all.
  const ends = [
    residuals.findLast(({ hook }) => /hook_(normalized_)?resid_post$/.test(hook))?.value,
    ...found.bottlenecks
      .filter((value) => isRows(value) && value !== logits && width(value) === D)
      .toReversed(),
    start.value,
  ].filter((value) => value !== undefined);
  const last = logits === undefined ? ends[0] : ends.find((value) => !mixesPositions(graph, value, logits));
  if (last === undefined)
    throw new Error(
      `${name}: no value was found from which each prediction follows position by position, such as the last norm's. openOnnx runs a file on any inputs.`,
    );
  const apart = withShapesOfIds(graph, (value) => measured.get(value)?.dims);
  return {
    graph: logits === undefined ? apart : withHead(apart, logits, width(logits)),
    measured,
    logits,
    rows,
    V: logits === undefined ? rows : width(logits),
    D,
    layers: found.layers.length,
    names: [...(embed === undefined ? [] : [{ hook: 'hook_embed', value: embed }]), ...residuals],
    last,
  };
}

const isMade = ({ nodes, inputs, initializers }: Graph, value: Value): boolean =>
  inputs.has(value) || initializers.has(value) || nodes.some(({ outputs }) => outputs.includes(value));
