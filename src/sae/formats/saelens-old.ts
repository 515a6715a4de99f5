/** cfg.json of SAELens before version 6: flat, with other names. */

/** Fields of the flat cfg.json of versions before 6 that say where the SAE comes from. */
const OLD_METADATA: Readonly<Record<string, string>> = {
  model_name: 'model_name',
  hook_name: 'hook_name',
  hook_point: 'hook_name',
  hook_head_index: 'hook_head_index',
  hook_point_head_index: 'hook_head_index',
  hook_layer: 'hook_layer',
  context_size: 'context_size',
  dataset_path: 'dataset_path',
  prepend_bos: 'prepend_bos',
  model_from_pretrained_kwargs: 'model_from_pretrained_kwargs',
  neuronpedia_id: 'neuronpedia_id',
};

/** The cfg.json of any version in the form of version 6. */
export function modernised(cfg: Record<string, unknown>): Record<string, unknown> {
  const {
    activation_fn_str,
    activation_fn,
    activation_fn_kwargs,
    normalize_activations,
    architecture,
    ...rest
  } = cfg;
  const activation = activation_fn_str ?? activation_fn ?? 'relu';
  if (!['relu', 'topk'].includes(String(activation)))
    throw new Error(`activation_fn is ${JSON.stringify(activation)}, expected relu or topk`);
  const metadata: Record<string, unknown> = {};
  for (const [key, name] of Object.entries(OLD_METADATA))
    if (rest[key] !== undefined) metadata[name] ??= rest[key];
  metadata.prepend_bos ??= true;
  const hook = String(metadata.hook_name ?? '');
  const known = [
    'd_in',
    'd_sae',
    'dtype',
    'device',
    'apply_b_dec_to_input',
    'finetuning_scaling_factor',
    'reshape_activations',
  ];
  const kept = Object.fromEntries(
    known.flatMap((key) => (rest[key] === undefined ? [] : [[key, rest[key]]])),
  );
  return {
    apply_b_dec_to_input: true,
    reshape_activations: hook.includes('hook_z') ? 'hook_z' : 'none',
    ...kept,
    architecture: activation === 'topk' ? 'topk' : (architecture ?? 'standard'),
    ...(activation === 'topk'
      ? { k: (activation_fn_kwargs as { k?: unknown } | undefined)?.k ?? rest.k }
      : {}),
    normalize_activations:
      typeof normalize_activations === 'boolean'
        ? normalize_activations
          ? 'expected_average_only_in'
          : 'none'
        : (normalize_activations ?? 'none'),
    metadata,
  };
}
