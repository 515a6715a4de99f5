/**
 * Running a model token by token: `advance` takes the next tokens of every row, first the prompts, then one each, and returns the logits
 * behind the last of them. What the model has seen stays in the cache, so a token costs one row of every product.
 *
 * Rotary positions that depend on the length of the text (dynamic scaling beyond its original context) turn all keys at every token:
 * there the cache is emptied and everything runs again, as without a cache.
 */
import type { Ort } from '../../platform/index.ts';
import { INPUTS, LOGITS, MASK_PARTS, ropeInputs } from '../families/blocks.ts';
import { ropesOf, type TransformerSpec } from '../families/spec.ts';
import { rotaryRows } from '../feeds.ts';
import { type RopeSpec, ropeTables } from '../rope.ts';
import type { Feeds, Purpose, Sessions } from '../sessions.ts';
import type { Steered } from '../steering/bus.ts';
import type { HookInfo } from '../types.ts';
import { CACHE_INPUTS, cacheNames } from './cached-graph.ts';
import { createKvCache } from './kv-cache.ts';
import { PIECE, rowsTogether } from './pieces.ts';
import { blockSizes, QUERY_BLOCKS } from './query-blocks.ts';

export type DecoderParts = {
  readonly spec: TransformerSpec;
  readonly sessions: Pick<Sessions, 'run'>;
  readonly ort: Ort;
  /** The residual that the head reads. */
  readonly last: string;
  readonly steer: Steered;
  /** Hooks that are returned for every token. */
  readonly hooks: readonly HookInfo[];
};

export type Advanced = {
  /** [V], behind the row's last token */
  readonly logits: Float32Array;
  /** Per hook, one array per new token: its slice [...] of [B,T,...]; of a pattern [H,i+1], over the tokens that it sees. */
  readonly captured: Readonly<Record<string, readonly Float32Array[]>>;
};

export type Decoder = ReturnType<typeof createDecoder>;

export const isPattern = ({ dims }: HookInfo): boolean => dims.at(-1) === 'T';

export function createDecoder({ spec, sessions, ort, last, steer, hooks }: DecoderParts, rows: number) {
  const { Tensor } = ort;
  const ropes = ropesOf(spec);
  const cache = createKvCache(spec, rows, ort);
  const made = Array.from({ length: spec.layers }, (_, layer) => cacheNames(layer)).flatMap(
    ({ keys, values }) => [keys, values],
  );
  const plain: Purpose = {
    outputs: [...new Set([LOGITS, ...made, ...hooks.map(({ name }) => name)])],
    cached: {
      layers: spec.layers,
      last,
      heads: spec.heads,
      kvHeads: spec.kvHeads,
      headDim: spec.headDim,
    },
  };
  let texts = Array.from({ length: rows }, (): number[] => []);
  /** What each row was called before others were dropped. */
  let names = Array.from({ length: rows }, (_, b) => b);
  /** Tokens of each prompt: what was given first. */
  let prompts: readonly number[] | undefined;

  const outgrown = (length: number): boolean =>
    ropes.some(({ scaling }) => scaling.type === 'dynamic' && length > scaling.originalContext);

  /** Tokens of some rows behind `past` tokens of each; `slots` of the cache are looked at. */
  function inputs(
    tokens: readonly (readonly number[])[],
    past: readonly number[],
    slots: number,
    first: number,
  ) {
    const B = tokens.length;
    const T = Math.max(...tokens.map((row) => row.length));
    const S = slots + T;
    const ids = new Int32Array(B * T);
    const positions = new Int32Array(B * T);
    const ofRow = (values: readonly number[]): Int32Array =>
      Int32Array.from({ length: B * T }, (_, i) => values[first + Math.floor(i / T)]!);
    tokens.forEach((row, b) => {
      ids.set(row, b * T);
      for (let t = 0; t < T; t++) positions[b * T + t] = Math.min(past[b]! + t, spec.contextLength - 1);
    });
    // Rows that are alike share one mask and one table of angles.
    const alike = tokens.every((row, b) => row.length === T && past[b] === past[0]);
    const M = alike ? 1 : B;
    const real = new Uint8Array(M * S);
    const queries = new Int32Array(M * T);
    const keys = new Int32Array(M * S);
    for (let b = 0; b < M; b++) {
      for (let t = 0; t < T; t++) queries[b * T + t] = past[b]! + t;
      for (let s = 0; s < S; s++) {
        const old = s < slots;
        keys[b * S + s] = old ? s : past[b]! + s - slots;
        real[b * S + s] = (old ? s < past[b]! : s - slots < tokens[b]!.length) ? 1 : 0;
      }
    }
    const rope = (one: RopeSpec, index: number): Feeds => {
      const lengths = tokens.slice(0, M).map((row, b) => past[b]! + row.length);
      const tables = ropeTables(one, positions.subarray(0, M * T), lengths);
      const { cos, sin } = ropeInputs(index);
      const dims = [M * T, one.dims / 2];
      return {
        [cos]: () => new Tensor('float32', tables.cos, dims),
        [sin]: () => new Tensor('float32', tables.sin, dims),
      };
    };
    const steered = steer({ rows: ofRow(names), positions, prompts: ofRow(prompts!), ids });
    const blocks = blockSizes(T);
    const headRows = Int32Array.from(tokens, (row, b) => b * T + row.length - 1);
    const whole = (...values: number[]) =>
      new Tensor('int64', BigInt64Array.from(values, BigInt), [values.length]);
    const feeds: Feeds = {
      [INPUTS.ids]: () => new Tensor('int32', ids, [B, T]),
      [INPUTS.positions]: () => new Tensor('int32', positions, [B, T]),
      [INPUTS.headShape]: () => whole(B, T, -1, spec.headDim),
      [MASK_PARTS.real]: () => new Tensor('bool', real, [M, 1, 1, S]),
      [MASK_PARTS.queries]: () => new Tensor('int32', queries, [M, 1, T, 1]),
      [MASK_PARTS.keys]: () => new Tensor('int32', keys, [M, 1, 1, S]),
      [CACHE_INPUTS.split]: () => whole(slots, T),
      [CACHE_INPUTS.inBlocks]: () => new Tensor('bool', [blocks !== undefined], []),
      [CACHE_INPUTS.blocks]: () => whole(...(blocks ?? new Array<number>(QUERY_BLOCKS).fill(0))),
      [CACHE_INPUTS.headRows]: () => new Tensor('int32', headRows, [B]),
      [INPUTS.rotaryRows]: () => rotaryRows(B, T, M, Tensor),
      ...Object.assign({}, ...ropes.map(rope)),
      ...steered.feeds,
    };
    return { purpose: { ...plain, ...steered.purpose }, feeds, T, S };
  }

  /** Runs rows `first`, `first` + 1, … and puts their keys and values into the cache. Returns what stands behind the `wanted` last tokens of each. */
  async function run(
    tokens: readonly (readonly number[])[],
    first: number,
    wanted: readonly number[],
  ): Promise<Advanced[]> {
    const past = cache.lengths.slice(first, first + tokens.length);
    const slots = cache.slotsOf(first, tokens.length, Math.max(...tokens.map((row) => row.length)));
    const { purpose, feeds, T, S } = inputs(tokens, past, slots, first);
    const values = await sessions.run(purpose, {
      ...feeds,
      ...cache.feeds(first, tokens.length, slots),
    });
    const data = (name: string) => values[name]!.data as Float32Array;
    cache.append(
      data,
      tokens.map((row) => row.length),
      { T, first },
    );
    return tokens.map((row, b) => {
      const begin = row.length - wanted[b]!;
      const slice = (hook: HookInfo, t: number): Float32Array => {
        if (!isPattern(hook)) {
          const size = data(hook.name).length / (tokens.length * T);
          return data(hook.name).slice((b * T + t) * size, (b * T + t + 1) * size);
        }
        // [B,H,T,C+T] -> [H,i+1]: slots in use, then this run's tokens up to its own.
        const sees = past[b]! + t + 1;
        const out = new Float32Array(spec.heads * sees);
        for (let h = 0; h < spec.heads; h++) {
          const line = ((b * spec.heads + h) * T + t) * S;
          out.set(data(hook.name).subarray(line, line + past[b]!), h * sees);
          out.set(data(hook.name).subarray(line + slots, line + slots + t + 1), h * sees + past[b]!);
        }
        return out;
      };
      return {
        logits: data(LOGITS).subarray(b * spec.V, (b + 1) * spec.V),
        captured: Object.fromEntries(
          hooks.map((hook) => [
            hook.name,
            Array.from({ length: wanted[b]! }, (_, i) => slice(hook, begin + i)),
          ]),
        ),
      };
    });
  }

  return {
    /** @param tokens of every row, at least one each */
    async advance(tokens: readonly (readonly number[])[], signal?: AbortSignal): Promise<Advanced[]> {
      prompts ??= tokens.map(({ length }) => length);
      tokens.forEach((row, b) => {
        for (const id of row) texts[b]!.push(id);
      });
      if (texts.some((text) => outgrown(text.length))) cache.clear();
      const fresh = cache.lengths.every((length) => length === 0);
      const pending = fresh ? texts : tokens;
      // All rows take a step forward before any takes the next: the cache is no longer than it has to be.
      const done = tokens.map((): { logits: Float32Array; captured: Record<string, Float32Array[]> } => ({
        logits: new Float32Array(0),
        captured: Object.fromEntries(hooks.map(({ name }) => [name, []])),
      }));
      const longest = Math.max(...pending.map((row) => row.length));
      cache.reserve(Math.max(...pending.map((row, b) => cache.lengths[b]! + row.length)));
      for (let from = 0; from < longest; from += PIECE) {
        for (let first = 0, count = 0; first < pending.length; first += Math.max(1, count)) {
          const lengths = pending.slice(first).map((row) => Math.min(PIECE, row.length - from));
          count = rowsTogether(lengths, Math.max(...cache.lengths.slice(first)));
          if (count === 0) continue;
          signal?.throwIfAborted();
          const pieces = pending.slice(first, first + count).map((row) => row.slice(from, from + PIECE));
          const wanted = pieces.map((piece, i) => {
            const before = pending[first + i]!.length - tokens[first + i]!.length;
            return Math.min(piece.length, Math.max(0, from + piece.length - before));
          });
          for (const [i, { logits, captured }] of (await run(pieces, first, wanted)).entries()) {
            const row = done[first + i]!;
            row.logits = logits;
            for (const { name } of hooks) row.captured[name]!.push(...captured[name]!);
          }
        }
      }
      return done;
    },
    /** Drops all rows but these, which come in this order. */
    keep(kept: readonly number[]): void {
      cache.keep(kept);
      texts = kept.map((row) => texts[row]!);
      names = kept.map((row) => names[row]!);
      prompts = prompts && kept.map((row) => prompts![row]!);
    },
  };
}
