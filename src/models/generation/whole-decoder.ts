/**
 * Token by token without a cache: every step runs the whole texts again. For graphs of others, whose caches are theirs; the price grows with
 * the length of the text, the numbers are those of a plain run.
 */
import { padBatch } from '../batch.ts';
import type { Intervention } from '../steering/types.ts';
import type { HookInfo, Model, SteerEdit } from '../types.ts';
import { type Advanced, type Decoder, isPattern } from './decoder.ts';

export type WholeParts = {
  readonly run: Model['run'];
  /** Logits [n,V] of residuals [n,D]. */
  readonly headLogits: Model['headLogits'];
  readonly last: string;
  readonly D: number;
  readonly V: number;
  readonly hooks: readonly HookInfo[];
  readonly steer: SteerEdit | undefined;
  readonly interventions: readonly Intervention[] | undefined;
};

export function createWholeDecoder(parts: WholeParts, rows: number): Pick<Decoder, 'advance' | 'keep'> {
  const { run, headLogits, last, D, V, hooks, steer } = parts;
  let { interventions } = parts;
  let prompts: readonly number[] | undefined;
  let texts = Array.from({ length: rows }, (): number[] => []);
  return {
    async advance(tokens, signal) {
      prompts ??= tokens.map(({ length }) => length);
      tokens.forEach((row, b) => {
        texts[b]!.push(...row);
      });
      const batch = padBatch(texts);
      const { T } = batch;
      const { cache } = await run(batch, {
        hooks: [...new Set([last, ...hooks.map(({ name }) => name)])],
        ...(steer ? { steer } : {}),
        ...(interventions ? { interventions, promptLengths: prompts } : {}),
        ...(signal ? { signal } : {}),
      });
      const ends = new Float32Array(texts.length * D);
      texts.forEach((text, b) => {
        const at = (b * T + text.length - 1) * D;
        ends.set(cache[last]!.data.subarray(at, at + D), b * D);
      });
      const logits = (await headLogits(ends, signal ? { signal } : {})).data;
      const slice = (hook: HookInfo, b: number, t: number): Float32Array => {
        const { data, dims } = cache[hook.name]!;
        if (!isPattern(hook)) {
          const size = data.length / (texts.length * T);
          return data.slice((b * T + t) * size, (b * T + t + 1) * size);
        }
        // [B,H,T,T] -> [H,t+1]
        const heads = dims[1]!;
        const out = new Float32Array(heads * (t + 1));
        for (let h = 0; h < heads; h++) {
          const line = ((b * heads + h) * T + t) * T;
          out.set(data.subarray(line, line + t + 1), h * (t + 1));
        }
        return out;
      };
      return tokens.map((row, b): Advanced => {
        const begin = texts[b]!.length - row.length;
        return {
          logits: logits.subarray(b * V, (b + 1) * V),
          captured: Object.fromEntries(
            hooks.map((hook) => [hook.name, row.map((_, i) => slice(hook, b, begin + i))]),
          ),
        };
      });
    },
    keep(kept) {
      // The rows that are left move together, in their order.
      const before = (row: number): number => kept.filter((one) => one < row).length;
      interventions = interventions?.map((one) =>
        one.rows ? { ...one, rows: [before(one.rows[0]), before(one.rows[1])] } : one,
      );
      texts = kept.map((row) => texts[row]!);
      prompts = prompts && kept.map((row) => prompts![row]!);
    },
  };
}
