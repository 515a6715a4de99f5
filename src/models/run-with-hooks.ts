/**
 * A model with the caller's own functions inside. The graph is cut at every edited hook, and the parts run one after the other:
 *
 *     graph up to h1 -> f1 -> graph from h1 to h2 -> f2 -> … -> what was asked for
 *
 * Over a cut goes the edited value and whatever else is live there (`liveValues`): at an attention output the residual stream, at a
 * pattern also the attention values. Every part is a session of its own with its own share of the weights, so n edited hooks open
 * n + 1 sessions at the first call, and activations travel in and out of the engine n times. That is the slow path; adding a
 * direction (`steer`) needs no cut.
 */
import type { Tensor as OrtTensor } from 'onnxruntime-common';
import { cutGraph, type ElementType, liveValues, type Value, type ValueInfo } from '../graph/index.ts';
import { matchHooks } from './hooks.ts';
import type { Feeds, Sessions } from './sessions.ts';
import type { HookFunction, HookInfo, Tensor, TokenBatch } from './types.ts';

/** A value given to a later part, as the graph wants it. */
export type Given = { readonly info: ValueInfo; readonly tensor: OrtTensor };

/** One function at one hook. `show` and `give` translate between the caller's dims and the graph's. */
export type StageEdit = {
  readonly hook: HookInfo;
  readonly edit: HookFunction;
  /** The value as the caller sees it. */
  readonly show: (value: OrtTensor) => Tensor;
  /** The caller's value for the graph. Throws when it does not fit. */
  readonly give: (value: Tensor) => Given;
};

/** Functions by hook name or pattern -> one entry per hook, in the order in which the hooks are computed. */
export function orderEdits(
  hooks: readonly HookInfo[],
  edits: Readonly<Record<string, HookFunction>>,
): { hook: HookInfo; edit: HookFunction }[] {
  const found = new Map<HookInfo, { pattern: string; edit: HookFunction }>();
  for (const [pattern, edit] of Object.entries(edits)) {
    for (const hook of matchHooks(hooks, pattern)) {
      const other = found.get(hook);
      if (other)
        throw new Error(
          `${hook.name} has two functions, those of ${other.pattern} and ${pattern}; a hook takes one`,
        );
      found.set(hook, { pattern, edit });
    }
  }
  return hooks.flatMap((hook) => {
    const one = found.get(hook);
    return one ? [{ hook, edit: one.edit }] : [];
  });
}

/** The value after the function: what it returned, or what it was given, which it may have changed in place. */
async function apply({ hook, edit }: StageEdit, before: Tensor, batch: TokenBatch): Promise<Tensor> {
  const result = await edit(before, { hook: hook.name, batch });
  if (result === undefined) return before;
  return result instanceof Float32Array ? { data: result, dims: before.dims } : result;
}

/**
 * Runs the parts and returns `outputs`.
 *
 * @param edits in the order in which their hooks are computed
 */
export async function runInStages(
  sessions: Pick<Sessions, 'graph' | 'run'>,
  edits: readonly StageEdit[],
  outputs: readonly Value[],
  { batch, feeds, signal }: { batch: TokenBatch; feeds: Feeds; signal?: AbortSignal | undefined },
): Promise<Record<Value, OrtTensor>> {
  const given = new Map<Value, Given>();
  const infos = () => new Map([...given].map(([name, { info }]) => [name, info]));

  async function fetch(values: readonly Value[]): Promise<void> {
    signal?.throwIfAborted();
    const missing = values.filter((value) => !given.has(value));
    if (missing.length === 0) return;
    const fed = Object.fromEntries([...given].map(([name, { tensor }]) => [name, () => tensor]));
    const found = await sessions.run({ outputs: missing, given: infos() }, { ...feeds, ...fed });
    for (const name of missing) {
      const tensor = found[name] as OrtTensor;
      // Names of its own for the dims: nothing is claimed about how they relate to those of other inputs.
      const dims = tensor.dims.map((_, axis) => `${name}/${axis}`);
      given.set(name, { info: { type: tensor.type as ElementType, dims }, tensor });
    }
  }

  const names = edits.map(({ hook }) => hook.name);
  for (const [i, stage] of edits.entries()) {
    const pending = names.slice(i);
    const wanted = [...new Set([...pending, ...outputs])];
    await fetch(liveValues(cutGraph(sessions.graph, wanted, infos()), pending, wanted));
    const before = stage.show((given.get(stage.hook.name) as Given).tensor);
    given.set(stage.hook.name, stage.give(await apply(stage, before, batch)));
  }
  await fetch(outputs);
  signal?.throwIfAborted();
  return Object.fromEntries(outputs.map((name) => [name, (given.get(name) as Given).tensor]));
}
