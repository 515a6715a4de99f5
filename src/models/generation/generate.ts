/**
 * Writing texts: many prompts at once, each with its own random numbers, so that a prompt gives the same text alone and among others.
 *
 *     prompts -> logits;  repeat: a token per row from its logits -> logits of the next
 *
 * A row ends at an end token (which is not part of it), at a stop string, at its number of tokens or where the context is full; the
 * others go on without it. With hooks to capture, the last token of a row runs too, so that every token of the text has its activations.
 */
import { createRng, type Rng } from '../../shared/rng.ts';
import type { CaptureOptions, Generation, HookInfo, SamplingOptions, Tensor, Tokenizer } from '../types.ts';
import { type Advanced, type Decoder, isPattern } from './decoder.ts';
import { checkSampling, sampleToken } from './sample.ts';
import { createTextStream, type TextStream } from './text-stream.ts';

export type GenerateParts = {
  readonly prompts: readonly (readonly number[])[];
  readonly createDecoder: (rows: number) => Pick<Decoder, 'advance' | 'keep'>;
  readonly tokenizer: Pick<Tokenizer, 'decode'> | undefined;
  readonly endIds: readonly number[];
  readonly contextLength: number;
  /** Hooks to capture. */
  readonly hooks: readonly HookInfo[];
  readonly heads: number;
};

type Row = {
  readonly number: number;
  readonly ids: number[];
  readonly rng: Rng;
  readonly stream: TextStream | undefined;
  readonly captured: Record<string, Float32Array[]>;
  end?: Generation['end'];
};

/** New text of a row. */
export type Delta = { readonly row: number; readonly text: string };

function seedOf(seed: SamplingOptions['seed'], row: number, rows: number): number | string {
  if (!Array.isArray(seed)) return (seed as number | string | undefined) ?? 0;
  if (seed.length !== rows)
    throw new Error(`${seed.length} seeds for ${rows} prompts; give one for each, or one for all`);
  return seed[row] as number | string;
}

/** A hook's activations over a text, [T,...]; of a pattern [H,T,T]. */
function whole(hook: HookInfo, tokens: readonly Float32Array[], heads: number): Tensor {
  const T = tokens.length;
  if (!isPattern(hook)) {
    const size = tokens[0]!.length;
    const data = new Float32Array(T * size);
    for (const [t, token] of tokens.entries()) data.set(token, t * size);
    const rest = hook.dims.slice(2).map((dim) => (dim === 'D' ? hook.width : Number(dim)));
    return { data, dims: [T, ...rest] };
  }
  const data = new Float32Array(heads * T * T);
  tokens.forEach((token, t) => {
    const sees = token.length / heads;
    for (let h = 0; h < heads; h++) data.set(token.subarray(h * sees, (h + 1) * sees), (h * T + t) * T);
  });
  return { data, dims: [heads, T, T] };
}

/** Yields the text as it comes and returns the finished texts, in the order of the prompts. */
export async function* generateTexts(
  { prompts, createDecoder, tokenizer, endIds, contextLength, hooks, heads }: GenerateParts,
  {
    maxNewTokens = 64,
    temperature = 0,
    topP = 1,
    topK,
    minP,
    stop = [],
    seed,
    signal,
    onCapture,
  }: SamplingOptions & Pick<CaptureOptions, 'onCapture'>,
): AsyncGenerator<Delta, Generation[]> {
  const sampling = {
    temperature,
    topP,
    ...(topK === undefined ? {} : { topK }),
    ...(minP === undefined ? {} : { minP }),
  };
  checkSampling(sampling);
  if (!Number.isSafeInteger(maxNewTokens) || maxNewTokens < 0)
    throw new Error(`maxNewTokens is ${maxNewTokens}, expected 0 or a positive integer`);
  const stops = typeof stop === 'string' ? [stop] : stop;
  if (stops.includes('')) throw new Error('A stop string is empty; it would stop every text at once');
  if (stops.length > 0 && !tokenizer)
    throw new Error('Stop strings need a tokenizer, and the model has none');

  const capturing = hooks.length > 0;
  const rows = prompts.map(
    (prompt, number): Row => ({
      number,
      ids: [],
      rng: createRng(seedOf(seed, number, prompts.length)),
      stream: tokenizer && createTextStream(tokenizer, prompt, stops),
      captured: Object.fromEntries(hooks.map(({ name }) => [name, []])),
    }),
  );
  /** Why a row has to end here, if it has to. */
  const full = (row: Row): Generation['end'] | undefined => {
    if (row.ids.length >= maxNewTokens) return 'length';
    return prompts[row.number]!.length + row.ids.length >= contextLength ? 'context' : undefined;
  };
  const keepCaptured = async (row: Row, { captured }: Advanced, ids: readonly number[]) => {
    for (const { name } of hooks) row.captured[name]!.push(...captured[name]!);
    if (capturing && (await onCapture?.(captured, row.number, ids)) === true) row.end ??= 'stop';
  };

  for (const row of rows) {
    const end = full(row);
    if (end) row.end = end;
  }
  let active = rows.filter(({ end }) => capturing || end === undefined);
  if (active.length > 0) {
    signal?.throwIfAborted();
    const decoder = createDecoder(active.length);
    let next = active.map(({ number }) => prompts[number]!);
    let advanced = await decoder.advance(next, signal);
    for (const [i, row] of active.entries()) await keepCaptured(row, advanced[i]!, next[i]!);
    for (;;) {
      const kept: number[] = [];
      for (const [i, row] of active.entries()) {
        // Its last token has just run.
        if (row.end) continue;
        const id = sampleToken(advanced[i]!.logits, sampling, row.rng);
        if (endIds.includes(id)) {
          row.end = 'token';
          continue;
        }
        row.ids.push(id);
        const text = row.stream?.push(id) ?? '';
        if (text !== '') yield { row: row.number, text };
        const end = row.stream?.stopped ? 'stop' : full(row);
        if (end) row.end = end;
        if (!row.end || capturing) kept.push(i);
      }
      if (kept.length === 0) break;
      signal?.throwIfAborted();
      decoder.keep(kept);
      active = kept.map((i) => active[i]!);
      next = active.map(({ ids }) => [ids.at(-1)!]);
      advanced = await decoder.advance(next, signal);
      for (const [i, row] of active.entries()) await keepCaptured(row, advanced[i]!, next[i]!);
    }
  }
  signal?.throwIfAborted();
  const texts: Generation[] = [];
  for (const row of rows) {
    const text = row.stream?.end() ?? '';
    if (text !== '') yield { row: row.number, text };
    texts.push({
      text: row.stream?.text ?? '',
      ids: row.ids,
      promptIds: [...prompts[row.number]!],
      end: row.end!,
      cache: Object.fromEntries(
        hooks.map((hook) => [hook.name, whole(hook, row.captured[hook.name]!, heads)]),
      ),
    });
  }
  return texts;
}
