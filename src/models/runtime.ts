/**
 * A model that runs: its graph, the sessions cut from it, and what is computed around them.
 *
 * Next-token loss goes in two parts, the body up to the last residual and the head over row tiles, so that [N,V] logits
 * never leave the engine nor exist whole.
 */
import type { ValueInfo } from '../graph/index.ts';
import { getPlatform } from '../platform/index.ts';
import { checkBatch, padBatch, splitBatch } from './batch.ts';
import { partCost } from './cost.ts';
import { INPUTS, LOGITS, LOSS, UNCAPPED } from './families/blocks.ts';
import type { TransformerSpec } from './families/spec.ts';
import { batchFeeds, steerFeeds, steerRows } from './feeds.ts';
import { createDecoder } from './generation/decoder.ts';
import { createWholeDecoder } from './generation/whole-decoder.ts';
import { createWriter, type WriterParts } from './generation/writer.ts';
import { findHook, hookDims, selectHooks } from './hooks.ts';
import { type Given, orderEdits, runInStages, type StageEdit } from './run-with-hooks.ts';
import type { Feeds, Purpose, Sessions } from './sessions.ts';
import { createBus, type Steered, unsteered } from './steering/bus.ts';
import type {
  HookedOptions,
  HookedResult,
  HookFunction,
  HookInfo,
  LossOptions,
  Model,
  ModelInfo,
  ModelInput,
  RunOptions,
  RunResult,
  Tensor,
  TokenBatch,
  Tokenizer,
} from './types.ts';

/** Logit elements of one head tile: 16 MB, so that softmax runs in cache-sized pieces. */
const TILE_ELEMENTS = 4 * 1024 * 1024;

/** Positions that the engine gets at once: its own memory does not grow with the batch, and a signal is looked at in between. */
const PART_POSITIONS = 16_384;

/** Beyond this, logits of one call are more likely a mistake than a wish. */
const MAX_LOGIT_BYTES = 2 * 2 ** 30;

/** What the runtime has to know of a model's architecture. */
export type RunSpec = Pick<
  TransformerSpec,
  'D' | 'V' | 'layers' | 'heads' | 'headDim' | 'attention' | 'encoder' | 'logitCap'
> & {
  /** Of graphs that are ours: they can keep keys and values. */
  readonly cached?: TransformerSpec;
};

export type RuntimeParts = {
  readonly spec: RunSpec;
  readonly info: ModelInfo;
  readonly hooks: readonly HookInfo[];
  readonly tokenizer: Tokenizer | undefined;
  readonly sessions: Sessions;
  readonly closeFiles: () => Promise<void>;
  /** Of a graph that is not ours: where its head begins, and the dimensions of hooks inside it, where N stands for B T. */
  readonly layout?: {
    readonly last: string;
    readonly dims: (hook: HookInfo) => readonly string[];
  };
};

/** Dimensions inside our own graphs: rows [N,width] where the hook is [B,T,width]. */
const flatRows = ({ dims, width }: HookInfo): readonly string[] =>
  dims.length === 3 ? ['N', String(width)] : dims;

/** Copies a fetched tensor under dims of our own: inside the graph rows are flat. */
function toTensor(value: { data: unknown } | undefined, dims: readonly number[]): Tensor {
  return { data: value?.data as Float32Array, dims };
}

/** Tensors [b,...] of the parts of a batch, one after the other: [B,...]. */
function joinParts(parts: readonly Tensor[]): Tensor {
  const [first] = parts as [Tensor];
  if (parts.length === 1) return first;
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  return { data, dims: [parts.reduce((sum, { dims }) => sum + dims[0]!, 0), ...first.dims.slice(1)] };
}

export function createRuntime(parts: RuntimeParts): Model {
  const { spec, info, hooks, tokenizer, sessions, closeFiles, layout } = parts;
  const { ort } = getPlatform();
  const tileRows = Math.max(16, Math.floor(TILE_ELEMENTS / spec.V));
  const last =
    layout?.last ??
    `blocks.${spec.layers - 1}.${spec.encoder ? 'hook_normalized_resid_post' : 'hook_resid_post'}`;
  const graphDims = layout?.dims ?? flatRows;

  /** A hook as an input of a graph. */
  const hookInput = (hook: HookInfo): ValueInfo => ({
    type: 'float32',
    dims: graphDims(hook).map((dim) => (/^\d/.test(dim) ? Number(dim) : dim)),
  });
  /** Values of a hook as the graph takes them. */
  const hookFeed = (hook: HookInfo, data: Float32Array, { B, T }: { B: number; T: number }) => {
    const letters: Readonly<Record<string, number>> = { B, T, N: B * T };
    return new ort.Tensor(
      'float32',
      data,
      graphDims(hook).map((dim) => letters[dim] ?? Number(dim)),
    );
  };

  /** Refuses what needs a next-token head in a model that has none. */
  function needHead(what: string): void {
    if (spec.encoder)
      throw new Error(
        `${info.name} is an encoder (${info.family}) and predicts no next token: it has hooks, but no ${what}`,
      );
  }

  const bus = createBus(hooks, ort);

  function steering({ steer, interventions }: Pick<RunOptions, 'steer' | 'interventions'>): Steered {
    if (steer && interventions)
      throw new Error('Give `steer` or `interventions`, not both: an intervention can add a direction, too');
    if (interventions) return bus(interventions);
    if (!steer) return unsteered;
    const { name, dims, width } = findHook(hooks, steer.hook);
    if (dims.length !== 3)
      throw new Error(`Steering adds to [B,T,width] hooks; ${name} is [${dims.join(',')}]`);
    const feeds = steerFeeds(steer, width, ort);
    return () => ({ purpose: { steer: { hook: name, width } }, feeds });
  }

  /** Activations as the graph takes them in place of a hook's own value: rows [N,width] where the hook is [B,T,width]. */
  function give(hook: HookInfo, { data, dims }: Tensor, batch: TokenBatch): Given {
    const expected = hookDims(hook, batch);
    const size = expected.reduce((product, n) => product * n, 1);
    if (dims.length !== expected.length || dims.some((n, i) => n !== expected[i]) || data.length !== size) {
      throw new Error(
        `Activations for ${hook.name} are [${dims.join(', ')}] with ${data.length} elements, expected [${expected.join(', ')}]`,
      );
    }
    return { info: hookInput(hook), tensor: hookFeed(hook, data, batch) };
  }

  /** The purpose and feed that put `activations` in place of a hook's own value. */
  function splice(
    name: string,
    activations: Tensor,
    batch: TokenBatch,
  ): { purpose: Pick<Purpose, 'given'>; feeds: Feeds } {
    const { info, tensor } = give(findHook(hooks, name), activations, batch);
    return { purpose: { given: new Map([[name, info]]) }, feeds: { [name]: () => tensor } };
  }

  function checkLogitSize({ B, T }: TokenBatch): void {
    const bytes = 4 * B * T * spec.V;
    if (bytes > MAX_LOGIT_BYTES) {
      throw new Error(
        `Logits [${B}, ${T}, ${spec.V}] would take ${(bytes / 2 ** 30).toFixed(1)} GiB; use smaller batches, or lossPerToken, which keeps them inside the engine`,
      );
    }
  }

  async function run(
    batch: TokenBatch,
    { hooks: wanted = [], logits = false, signal, ...edits }: RunOptions,
  ): Promise<RunResult> {
    checkBatch(batch, spec.V, info.contextLength);
    const found = [...new Set(wanted)].map((name) => findHook(hooks, name));
    if (logits) needHead('logits');
    if (logits) checkLogitSize(batch);
    if (found.length === 0 && !logits)
      throw new Error('Nothing was asked for: name at least one hook, or ask for logits');
    const steered = steering(edits);
    const outputs = [...found.map(({ name }) => name), ...(logits ? [LOGITS] : [])];
    const dimsOf = (name: string, part: TokenBatch): number[] =>
      name === LOGITS ? [part.B, part.T, spec.V] : hookDims(findHook(hooks, name), part);
    const parts: Record<string, Tensor>[] = [];
    let row = 0;
    for (const part of splitBatch(batch, PART_POSITIONS)) {
      signal?.throwIfAborted();
      const rows = steerRows(part, edits.promptLengths?.slice(row, row + part.B), row);
      row += part.B;
      const { purpose, feeds } = steered(rows);
      const values = await sessions.run(
        { outputs, ...purpose },
        { ...batchFeeds(part, spec, ort), ...feeds },
      );
      parts.push(
        Object.fromEntries(outputs.map((name) => [name, toTensor(values[name], dimsOf(name, part))])),
      );
    }
    signal?.throwIfAborted();
    const joined = (name: string): Tensor => joinParts(parts.map((part) => part[name]!));
    return {
      cache: Object.fromEntries(found.map(({ name }) => [name, joined(name)])),
      logits: logits ? joined(LOGITS) : undefined,
    };
  }

  async function runFrom(
    hook: string,
    activations: Tensor,
    batch: TokenBatch,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<Tensor> {
    needHead('logits');
    checkBatch(batch, spec.V, info.contextLength);
    checkLogitSize(batch);
    signal?.throwIfAborted();
    const { purpose, feeds } = splice(hook, activations, batch);
    const values = await sessions.run(
      { outputs: [LOGITS], ...purpose },
      { ...batchFeeds(batch, spec, ort), ...feeds },
    );
    signal?.throwIfAborted();
    return toTensor(values[LOGITS], [batch.B, batch.T, spec.V]);
  }

  /** The last residual [N,D]: what the head reads. */
  async function lastResidual(batch: TokenBatch, { from, ...edits }: LossOptions): Promise<Float32Array> {
    checkBatch(batch, spec.V, info.contextLength);
    const edited = [edits.steer?.hook, ...(edits.interventions ?? []).map(({ writes }) => writes)];
    if (from && edited.includes(from.hook))
      throw new Error(
        `${from.hook} cannot be both replaced and steered; add the directions to the activations`,
      );
    const spliced = from && splice(from.hook, from.activations, batch);
    if (spliced && from.hook === last && !edits.steer && !edits.interventions) return from.activations.data;
    const steered = steering(edits)(steerRows(batch, edits.promptLengths));
    const values = await sessions.run(
      { outputs: [last], ...spliced?.purpose, ...steered.purpose },
      {
        ...batchFeeds(batch, spec, ort),
        ...spliced?.feeds,
        ...steered.feeds,
      },
    );
    return values[last]?.data as Float32Array;
  }

  /** Logits and losses in one session: each has its own copy of the head, which is most of a small model. */
  const lastHook = findHook(hooks, last);
  const head: Purpose = {
    outputs: [LOGITS, LOSS, ...(spec.logitCap === undefined ? [] : [UNCAPPED])],
    given: new Map([[last, hookInput(lastHook)]]),
  };
  const headFeeds = (rows: Float32Array, targets: Int32Array): Feeds => ({
    ...(layout ? shapeFeeds(targets.length) : {}),
    [last]: () => hookFeed(lastHook, rows, { B: 1, T: targets.length }),
    [INPUTS.targets]: () => new ort.Tensor('int32', targets, [targets.length, 1]),
  });

  /** Heads of others may ask the token ids for their shape. */
  const shapeFeeds = (T: number): Feeds =>
    batchFeeds({ ids: new Int32Array(T), mask: new Uint8Array(T).fill(1), B: 1, T }, spec, ort);

  async function lossPerToken(batch: TokenBatch, options: LossOptions = {}): Promise<Tensor> {
    needHead('loss');
    options.signal?.throwIfAborted();
    return await headLosses(batch, await lastResidual(batch, options), options.signal);
  }

  /** Losses [B,T-1] from the last residual [N,D]. */
  async function headLosses(
    { B, T, ids, mask }: TokenBatch,
    residual: Float32Array,
    signal: AbortSignal | undefined,
  ): Promise<Tensor> {
    const rows: number[] = [];
    for (let b = 0; b < B; b++)
      for (let i = b * T; i < (b + 1) * T - 1; i++) if (mask[i] && mask[i + 1]) rows.push(i);
    const losses = new Float32Array(B * (T - 1));
    for (let start = 0; start < rows.length; start += tileRows) {
      signal?.throwIfAborted();
      const part = rows.slice(start, start + tileRows);
      const inputs = new Float32Array(part.length * spec.D);
      part.forEach((row, r) => {
        inputs.set(residual.subarray(row * spec.D, (row + 1) * spec.D), r * spec.D);
      });
      const targets = Int32Array.from(part, (row) => ids[row + 1]!);
      const values = await sessions.run(head, headFeeds(inputs, targets), [LOSS]);
      const data = values[LOSS]?.data as Float32Array;
      part.forEach((row, r) => {
        losses[Math.floor(row / T) * (T - 1) + (row % T)] = data[r]!;
      });
    }
    return { data: losses, dims: [B, T - 1] };
  }

  async function headLogits(
    rows: Float32Array,
    { uncapped = false, signal }: { uncapped?: boolean; signal?: AbortSignal } = {},
  ): Promise<Tensor> {
    needHead('logits');
    signal?.throwIfAborted();
    const n = rows.length / spec.D;
    const wanted = uncapped && spec.logitCap !== undefined ? UNCAPPED : LOGITS;
    const values = await sessions.run(head, headFeeds(rows, new Int32Array(n)), [wanted]);
    signal?.throwIfAborted();
    return toTensor(values[wanted], [n, spec.V]);
  }

  async function runWithHooks(
    input: ModelInput,
    functions: Readonly<Record<string, HookFunction>>,
    { hooks: wanted = [], logits = !spec.encoder, loss = false, signal }: HookedOptions = {},
  ): Promise<HookedResult> {
    const batch = batchOf(input);
    checkBatch(batch, spec.V, info.contextLength);
    if (logits) needHead('logits');
    if (loss) needHead('loss');
    if (logits) checkLogitSize(batch);
    const found = selectHooks(hooks, wanted);
    const stages = orderEdits(hooks, functions).map(
      ({ hook, edit }): StageEdit => ({
        hook,
        edit,
        show: (value) => toTensor(value, hookDims(hook, batch)),
        give: (value) => give(hook, value, batch),
      }),
    );
    const outputs = [
      ...new Set([
        ...found.map(({ name }) => name),
        ...(logits ? [LOGITS] : []),
        // Without anything to return the functions still run: they may only want to look.
        ...(loss || (found.length === 0 && !logits) ? [last] : []),
      ]),
    ];
    const feeds = batchFeeds(batch, spec, ort);
    const values = await runInStages(sessions, stages, outputs, { batch, feeds, signal });
    return {
      batch,
      cache: Object.fromEntries(
        found.map((hook) => [hook.name, toTensor(values[hook.name], hookDims(hook, batch))]),
      ),
      logits: logits ? toTensor(values[LOGITS], [batch.B, batch.T, spec.V]) : undefined,
      loss: loss ? await headLosses(batch, values[last]?.data as Float32Array, signal) : undefined,
    };
  }

  function batchOf(input: ModelInput): TokenBatch {
    if (typeof input === 'object' && 'ids' in input) return input;
    const texts = typeof input === 'string' ? [input] : input;
    return padBatch(texts.map((text) => needTokenizer().encodePrompt(text)));
  }

  function needTokenizer(): Tokenizer {
    if (!tokenizer)
      throw new Error(`${info.name} has no tokenizer.json; pass token ids to run() instead of text`);
    return tokenizer;
  }

  const decoder: WriterParts['decoder'] = (rows, captured, steer, interventions) =>
    // The cache lives in memory of this process, where a GPU does not read it in place (the engine crashes).
    spec.cached && sessions.device === 'cpu'
      ? createDecoder(
          {
            spec: spec.cached,
            sessions,
            ort,
            last,
            hooks: captured,
            steer: steering({ ...(steer ? { steer } : {}), ...(interventions ? { interventions } : {}) }),
          },
          rows,
        )
      : createWholeDecoder(
          { run, headLogits, last, D: spec.D, V: spec.V, hooks: captured, steer, interventions },
          rows,
        );

  return {
    info,
    hooks,
    tokenizer,
    run,
    async runWithCache(input, wanted, options = {}) {
      const batch = batchOf(input);
      const names = selectHooks(hooks, wanted).map(({ name }) => name);
      return { ...(await run(batch, { ...options, hooks: names })), batch };
    },
    runWithHooks,
    runFrom,
    lossPerToken,
    async lastResidual(batch, options = {}) {
      options.signal?.throwIfAborted();
      const data = await lastResidual(batch, options);
      options.signal?.throwIfAborted();
      return { data, dims: [batch.B, batch.T, spec.D] };
    },
    headLogits,
    cost(wanted, shape) {
      const found = wanted.map((name) => findHook(hooks, name));
      const deepest = found.reduce((a, b) => (hooks.indexOf(b) > hooks.indexOf(a) ? b : a));
      const sizes = {
        ...shape,
        heads: spec.heads,
        headDim: spec.headDim,
        D: spec.D,
        mapped: sessions.mapped,
      };
      const part = Math.min(shape.B, Math.max(1, Math.floor(PART_POSITIONS / shape.T)));
      const given = new Map([[deepest.name, hookInput(deepest)]]);
      return {
        before: partCost(sessions.graph, wanted, { ...sizes, B: part }),
        after: partCost(sessions.graph, [last], sizes, given),
        head: spec.encoder
          ? { weightBytes: 0, mappedBytes: 0, flops: 0, innerBytes: 0 }
          : partCost(sessions.graph, head.outputs, { ...sizes, B: 1, T: tileRows }, head.given),
      };
    },
    ...createWriter({ spec, info, hooks, tokenizer, decoder }),
    async close() {
      await sessions.close();
      await closeFiles();
    },
  };
}
