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

/**
 * Settings of training and bookkeeping, of every version from 0 to 5 and of the program before it had versions: what the finished SAE
 * computes does not depend on them.
 */
const OLD_OTHERS = new Set(
  `
  act_store_device adam_beta1 adam_beta2 autocast autocast_lm b_dec_init_method cached_activations_path checkpoint_path compile_llm
  compile_sae dataset_trust_remote_code dead_feature_estimation_method dead_feature_threshold dead_feature_window
  decoder_heuristic_init decoder_heuristic_init_norm decoder_orthogonal_init eval_batch_size_prompts eval_every_n_wandb_logs
  exclude_special_tokens expansion_factor feature_probability feature_reinit_scale feature_sampling_method feature_sampling_window
  finetuning_method finetuning_tokens from_pretrained_path hook_eval hook_point_eval hook_point_layer
  init_encoder_as_decoder_transpose is_dataset_tokenized jumprelu_bandwidth jumprelu_init_threshold l1_coefficient l1_warm_up_steps
  llm_compilation_mode log_activations_store_to_wandb log_optimizer_state_to_wandb log_to_wandb lp_norm lr lr_decay_steps lr_end
  lr_scheduler_name lr_warm_up_steps model_class_name model_kwargs model_training_steps mse_loss_normalization
  n_anticorrelated_pairs n_batches_in_buffer n_checkpoints n_correlated_pairs n_eval_batches n_eval_seqs n_features n_hidden
  n_restart_cycles noise_scale normalize_sae_decoder resample_batches resume run_name sae_compilation_mode sae_lens_training_version
  sae_lens_version scale_sparsity_penalty_by_decoder_norm seed seqpos_slice store_batch_size store_batch_size_prompts streaming
  tokens_per_buffer total_training_tokens train_batch_size train_batch_size_tokens training_tokens use_cached_activations
  use_ghost_grads verbose wandb_entity wandb_id wandb_log_frequency wandb_project
  `
    .trim()
    .split(/\s+/),
);

/** cfg.json with settings of a registry in place of its own; those of its metadata go there, where it has one. */
export function overridden(
  cfg: Record<string, unknown>,
  overrides: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  if (cfg.metadata === undefined) return { ...cfg, ...overrides };
  const names = Object.values(OLD_METADATA);
  const pick = (inMetadata: boolean) =>
    Object.fromEntries(Object.entries(overrides).filter(([key]) => names.includes(key) === inMetadata));
  return { ...cfg, ...pick(false), metadata: { ...(cfg.metadata as object), ...pick(true) } };
}

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
  // Whoever reads this refuses what it does not know.
  const unknown = Object.entries(rest).filter(
    ([key]) => key !== 'k' && !(key in OLD_METADATA) && !known.includes(key) && !OLD_OTHERS.has(key),
  );
  return {
    ...Object.fromEntries(unknown),
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
