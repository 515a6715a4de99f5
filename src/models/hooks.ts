/**
 * Hook names, TransformerLens's own (SAELens files carry them). Hook values are those of the unprocessed model: no folded
 * LayerNorm, no centred weights (TransformerLens `from_pretrained_no_processing`); an SAE that was trained on centred ones takes the
 * mean off itself (sae/formats/model-kwargs.ts).
 *
 *     hook_embed [B,T,D]                      hook_pos_embed [B,T,D], learned positions only
 *     blocks.L.hook_resid_pre/mid/post [B,T,D]  mid only where attention and MLP are not parallel
 *     blocks.L.hook_attn_out, hook_mlp_out [B,T,D]  what is added to the stream
 *     blocks.L.attn.hook_pattern [B,H,T,T]    blocks.L.attn.hook_z [B,T,H,headDim]
 *     blocks.L.ln2.hook_normalized [B,T,D]    the norm before the MLP, without its gain and shift
 *     blocks.L.mlp.hook_in [B,T,D]            the same with them: what the MLP reads
 *     blocks.L.mlp.hook_post [B,T,M]          after the activation (times the gate's other half, where there is a gate)
 *
 * All are HookedTransformer's but mlp.hook_in, which TransformerBridge has (TransformerLens 3).
 *
 * Of an encoder they are those of HookedEncoder, without the two of the MLP's input: the embeddings stand below embed., their normalised sum is hook_full_embed, and
 * blocks.L.hook_normalized_resid_post is the output of a block, which the next one reads.
 */

import { leastFar } from '../shared/nearest.ts';
import { ropesOf, type TransformerSpec } from './families/spec.ts';
import type { HookFilter, HookInfo, TokenBatch } from './types.ts';

/** All hooks of a model, in the order in which they are computed. */
export function listHooks(spec: TransformerSpec): HookInfo[] {
  const { layers, D, heads, headDim, mlpWidth } = spec;
  const residual = (name: string): HookInfo => ({ name, dims: ['B', 'T', 'D'], width: D });
  const hooks = (
    spec.encoder
      ? ['embed.hook_embed', 'embed.hook_pos_embed', 'embed.hook_token_type_embed', 'hook_full_embed']
      : ropesOf(spec).length === 0
        ? ['hook_embed', 'hook_pos_embed']
        : ['hook_embed']
  ).map(residual);
  for (let layer = 0; layer < layers; layer++) {
    const block = `blocks.${layer}`;
    hooks.push(
      residual(`${block}.hook_resid_pre`),
      { name: `${block}.attn.hook_pattern`, dims: ['B', String(heads), 'T', 'T'], width: 0 },
      { name: `${block}.attn.hook_z`, dims: ['B', 'T', String(heads), String(headDim)], width: headDim },
      residual(`${block}.hook_attn_out`),
      ...(spec.parallel ? [] : [residual(`${block}.hook_resid_mid`)]),
      ...(spec.encoder ? [] : [`${block}.ln2.hook_normalized`, `${block}.mlp.hook_in`].map(residual)),
      { name: `${block}.mlp.hook_post`, dims: ['B', 'T', String(mlpWidth)], width: mlpWidth },
      residual(`${block}.hook_mlp_out`),
      residual(`${block}.hook_resid_post`),
      ...(spec.encoder ? [residual(`${block}.hook_normalized_resid_post`)] : []),
    );
  }
  return hooks;
}

/** Finds a hook. Throws for an unknown name and offers the nearest. */
export function findHook(hooks: readonly HookInfo[], name: string): HookInfo {
  const hook = hooks.find((candidate) => candidate.name === name);
  if (hook) return hook;
  const near = leastFar(
    name,
    hooks.map((candidate) => candidate.name),
  );
  throw new Error(`The model has no hook ${JSON.stringify(name)}. Nearest: ${near.join(', ')}.`);
}

/** The hooks that one name or pattern means; `*` stands for any characters. Throws when there is none and offers the nearest. */
export function matchHooks(hooks: readonly HookInfo[], pattern: string): HookInfo[] {
  if (!pattern.includes('*')) return [findHook(hooks, pattern)];
  const parts = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const whole = new RegExp(`^${parts.join('.*')}$`);
  const found = hooks.filter(({ name }) => whole.test(name));
  if (found.length > 0) return found;
  const names = hooks.map(({ name }) => name);
  throw new Error(
    `No hook of the model matches ${JSON.stringify(pattern)}. Nearest: ${leastFar(pattern.replaceAll('*', '0'), names).join(', ')}.`,
  );
}

/** The hooks of a filter, each once. */
export function selectHooks(hooks: readonly HookInfo[], filter: HookFilter): HookInfo[] {
  if (typeof filter === 'function') {
    const found = hooks.filter(({ name }) => filter(name));
    if (found.length > 0) return found;
    throw new Error(
      `The function that chooses hooks accepted none of the model's ${hooks.length}: ${hooks.map(({ name }) => name).join(', ')}.`,
    );
  }
  const patterns = typeof filter === 'string' ? [filter] : filter;
  return [...new Set(patterns.flatMap((pattern) => matchHooks(hooks, pattern)))];
}

/** The dimensions of a hook for one batch, letters filled in. */
export function hookDims(hook: HookInfo, { B, T }: TokenBatch): number[] {
  return hook.dims.map((dim) => (dim === 'B' ? B : dim === 'T' ? T : dim === 'D' ? hook.width : Number(dim)));
}
