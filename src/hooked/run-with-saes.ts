/**
 * A model with SAEs at some of its hooks. At every position but special tokens and padding, in the order in which the hooks are computed,
 *
 *     z = encode(x)      e = x - decode(z)         x [N,D] as it arrives, behind the SAEs before; z sparse [N,F]; e the error
 *     z' = edit(z)                                 z' = z where there is no edit
 *     x' = decode(z')                              keepError false: what the SAE understands
 *     x' = decode(z') + e                          keepError true: x' = x without an edit, and with one nothing else is changed
 *
 * A transcoder leaves x as it is. Where it writes, y [N,Dout] takes the place of x in the last three lines: e = y - decode(z), y' = …
 *
 * The same as `run_with_saes(use_error_term=…)` of SAELens's HookedSAETransformer; e is the error node of Marks et al. 2024,
 * "Sparse feature circuits".
 */
import { type Fitting, outputPlace, type Placement, placeSae } from '../models/place-sae.ts';
import type {
  HookedOptions,
  HookedResult,
  HookFunction,
  Model,
  ModelInput,
  Tensor,
  TokenBatch,
} from '../models/types.ts';
import { decode, encode, type Sae, type SparseCode } from '../sae/index.ts';
import { actsAt, clearRows } from './fit.ts';

/**
 * Changes the code between encoder and decoder. Row b T + t is position t of sequence b; rows of special tokens and padding are empty, and
 * what is put there is not used. The code is a copy: change it in place or return another, whose K may differ (`editLatent`).
 */
export type CodeEdit = (
  code: SparseCode,
  where: { readonly hook: string; readonly batch: TokenBatch },
) => EditedCode | Promise<EditedCode>;
// biome-ignore lint/suspicious/noConfusingVoidType: the type of a function without return.
type EditedCode = SparseCode | void;

export type PlacedSae = Placement & {
  readonly sae: Sae;
  /** Of a transcoder: where it writes. Default: `hook_name_out` of its metadata, else the output of the MLP beside what it reads. */
  readonly outputHook?: string;
  readonly edit?: CodeEdit;
};

export type SaesOptions = Omit<HookedOptions, 'loss'> & {
  /** Next-token loss, as `lossPerToken` gives it. Default true, but in an encoder, which has none. */
  readonly loss?: boolean;
  /** Default false. */
  readonly keepError?: boolean;
  /** Leave special tokens (BOS, …) as the model has them: SAEs are not trained on those. Default true, as in evaluation. */
  readonly excludeSpecial?: boolean;
};

/** What one SAE made of its hook. */
export type SaeRun = {
  /** What it reads, and where it writes: another place for a transcoder. */
  readonly hook: string;
  readonly outputHook: string;
  readonly sae: Sae;
  /** As encoded, before the edit; one row for each of the B T positions. */
  readonly code: SparseCode;
  /** [B,T,D], of a transcoder [B,T,Dout]; 0 where the SAE does not act. */
  readonly error: Tensor;
};

export type SaesResult<Saes extends readonly unknown[] = readonly unknown[]> = HookedResult & {
  /** One for each SAE, in the order in which they were given. */
  readonly saes: { readonly [I in keyof Saes]: SaeRun };
};

/**
 * Runs a model with SAEs spliced in.
 *
 * @throws when an SAE fits neither model nor hook (`placeSae`), two write at one hook, a transcoder writes before it reads, an edit returns a code of other rows or names a
 *   latent that is not there, and what `runWithHooks` throws
 * @example // latent 827 off, everything else that the SAE does not explain kept
 * const edit = (code: SparseCode) => editLatent(code, 827, () => 0);
 * const { loss } = await runWithSaes(model, 'Мы читали книгу', [{ sae, edit }], { keepError: true });
 */
export async function runWithSaes<const Saes extends readonly (Sae | PlacedSae)[]>(
  model: Fitting & Pick<Model, 'runWithHooks' | 'tokenizer'>,
  input: ModelInput,
  saes: Saes,
  { keepError = false, excludeSpecial = true, loss = !model.info.encoder, ...options }: SaesOptions = {},
): Promise<SaesResult<Saes>> {
  const specialIds = excludeSpecial ? model.tokenizer?.specialIds : undefined;
  const placed = saes.map((one): PlacedSae => ('sae' in one ? one : { sae: one }));
  const spliced = placed.map(({ sae, outputHook, edit, ...where }) => {
    const reads = placeSae(model, sae, where);
    return { sae, edit, reads, writes: outputPlace(model, sae, reads, outputHook) };
  });
  const twice = spliced.find(({ writes }, i) => spliced.slice(0, i).some((one) => one.writes === writes));
  if (twice) throw new Error(`Two SAEs write at ${twice.writes}; a hook takes one.`);

  type Where = Parameters<HookFunction>[1];
  type Spliced = (typeof spliced)[number];
  const seen = new Map<Spliced, { x: Float32Array; code: SparseCode }>();
  const runs = new Map<Spliced, SaeRun>();

  async function read(one: Spliced, x: Float32Array, { batch }: Where): Promise<void> {
    const code = await encode(one.sae, x, options.signal ? { signal: options.signal } : {});
    clearRows(code, actsAt(batch, specialIds));
    seen.set(one, { x, code });
  }

  /** What stands at the hook where it writes, in place of y. */
  async function write(one: Spliced, { data: y, dims }: Tensor, where: Where): Promise<Float32Array> {
    const { sae, edit, reads, writes } = one;
    const found = seen.get(one);
    if (!found)
      throw new Error(`The transcoder reads ${reads}, which is computed after ${writes}, where it writes.`);
    const { x, code } = found;
    const acts = actsAt(where.batch, specialIds);
    const needs = { x, ids: where.batch.ids };
    const yhat = decode(sae, code, needs);
    const width = yhat.length / acts.length;
    const error = subtract(y, yhat, acts, width);
    runs.set(one, { hook: reads, outputHook: writes, sae, code, error: { data: error, dims } });
    const out = edit ? decode(sae, await applyEdit(edit, code, { ...where, hook: reads }), needs) : yhat;
    for (const [row, on] of acts.entries()) {
      const [from, to] = [row * width, (row + 1) * width];
      if (!on) out.set(y.subarray(from, to), from);
      else if (keepError) for (let d = from; d < to; d++) out[d]! += error[d]!;
    }
    return out;
  }

  const functions: Record<string, HookFunction> = {};
  for (const hook of new Set(spliced.flatMap(({ reads, writes }) => [reads, writes])))
    functions[hook] = async (tensor, where) => {
      const writer = spliced.find(({ writes }) => writes === hook);
      if (writer?.reads === hook) await read(writer, tensor.data, where);
      const replaced = writer && (await write(writer, tensor, where));
      for (const one of spliced)
        if (one.reads === hook && one !== writer) await read(one, (replaced ?? tensor.data).slice(), where);
      return replaced;
    };
  const result = await model.runWithHooks(input, functions, { ...options, loss });
  const found = spliced.map((one) => runs.get(one)!);
  return { ...result, saes: found as unknown as SaesResult<Saes>['saes'] };
}

/** a - b [N,D] at the rows that are on, 0 elsewhere. */
function subtract(a: Float32Array, b: Float32Array, on: Uint8Array, D: number): Float32Array {
  return a.map((value, i) => (on[Math.floor(i / D)] ? value - b[i]! : 0));
}

async function applyEdit(
  edit: CodeEdit,
  { values, indices, ...sizes }: SparseCode,
  where: Parameters<CodeEdit>[1],
): Promise<SparseCode> {
  const copy = { ...sizes, values: values.slice(), indices: indices.slice() };
  const edited = (await edit(copy, where)) ?? copy;
  const { B, K } = edited;
  if (B !== sizes.B || edited.values.length !== B * K || edited.indices.length !== B * K)
    throw new Error(
      `The edit at ${where.hook} returned a code of ${B} rows x ${K} with ${edited.values.length} values and ${edited.indices.length} indices; expected ${sizes.B} rows, one per position.`,
    );
  return edited;
}
