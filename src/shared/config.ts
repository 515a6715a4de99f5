import { z } from 'zod';
import { DEVICES } from './device.ts';

/** Kinds of SAE that can be trained: src/train/variants, one file each. */
export const VARIANTS = [
  'topk',
  'batch-topk',
  'matryoshka',
  'relu',
  'gated',
  'jumprelu',
  'transcoder',
  'skip-transcoder',
] as const;

export const modelDevice = z
  .enum(DEVICES)
  .default('cpu')
  .describe('Where the model runs; cuda and webgpu differ in the last bits of every number.');

/** One schema drives the command line, the config file, run.json and the docs: a sentence per field. */
export const trainFields = z.strictObject({
  $schema: z.string().optional().describe('Path or URL of this schema, for editors.'),
  model: z
    .string()
    .describe(
      'Model folder in Hugging Face layout (config.json, safetensors, tokenizer.json), org/name[@revision] of the hub, a .onnx or .gguf file, ollama:NAME[:TAG], or npm:package@version/path.',
    )
    .optional(),
  device: modelDevice.describe(
    'Where the model runs; cuda and webgpu differ in the last bits of every number. The SAE trains on the CPU.',
  ),
  lowMemory: z
    .boolean()
    .default(false)
    .describe(
      'Map F32 weights of the model from their files instead of copying them: little memory, up to 20 % slower.',
    ),
  hook: z
    .string()
    .optional()
    .describe(
      'Where to read activations, a TransformerLens name. Default: resid_post at two thirds of the depth.',
    ),
  outputHook: z
    .string()
    .optional()
    .describe(
      'Of a transcoder, what it is to give. Default: hook_mlp_out of the block that `hook` is in; `hook` is then hook_resid_mid, what the MLP reads before its norm.',
    ),
  data: z
    .array(z.string())
    .min(1)
    .describe(
      'Text, JSONL, CSV, TSV (each also .gz) or Parquet files, folders of them, or org/name[@revision][:config/split][#column] of the Hugging Face hub; PATH=WEIGHT for every one mixes them by shares of tokens.',
    )
    .optional(),
  activations: z
    .string()
    .optional()
    .describe(
      'Stored activations to train on, instead of model and data: a folder of saekit harvest, safetensors, npy, npz, Parquet, SAELens, Llamascopium or delphi caches; PATH#NAME chooses a tensor, column or hook.',
    ),
  heldout: z
    .array(z.string())
    .optional()
    .describe(
      'Files kept for evaluation; with activations, stored rows. Default: every 20th document of `data`, by hash of its text.',
    ),
  heldoutShare: z
    .number()
    .min(0)
    .lt(1)
    .default(0.05)
    .describe(
      'Of activations without `heldout`, the share of rows kept for evaluation, in sections of neighbours.',
    ),
  textField: z
    .string()
    .default('text')
    .describe(
      'JSONL field, or column of a table, that holds the text, or a list of messages; PATH#FIELD says it for one path.',
    ),
  roles: z
    .array(z.string())
    .min(1)
    .optional()
    .describe(
      'Of conversations, train and measure only on tokens of these roles, such as assistant. Default: all tokens.',
    ),
  keepNearDuplicates: z
    .boolean()
    .default(false)
    .describe('Train also on documents that are nearly the same as a held-out one.'),
  stream: z
    .boolean()
    .optional()
    .describe(
      'Read Parquet by row group while training, without scanning it first. Default: beyond 1 GiB, or 128 MiB that is not on this disk.',
    ),
  latents: z
    .int()
    .positive()
    .default(4096)
    .describe('F, the number of latents: the one dial; the rest follows from it.'),
  k: z.int().positive().default(32).describe('K, the active latents per token.'),
  variant: z
    .enum(VARIANTS)
    .default('topk')
    .describe(
      'Kind of SAE: K latents of every token (topk) or on average over a batch (batch-topk; matryoshka with nested prefixes), or as many as a penalty leaves: relu with L1, gated, jumprelu; transcoder gives another place of the model than it reads, skip-transcoder with a linear map beside it.',
    ),
  l0: z
    .number()
    .nonnegative()
    .optional()
    .describe(
      'Of relu, gated and jumprelu the mean number of active latents per token, which a controller holds; 0 keeps the coefficient as it is. Default: `k`.',
    ),
  sparsityCoefficient: z
    .number()
    .positive()
    .default(1)
    .describe(
      'lambda, weight of the penalty of relu, gated and jumprelu; with `l0` only where the controller begins.',
    ),
  sparsityWarmupTokens: z
    .int()
    .nonnegative()
    .optional()
    .describe('With `l0` 0: the coefficient rises from zero over this many. Default: 5 % of `tokens`.'),
  penaltyPower: z
    .number()
    .positive()
    .max(1)
    .default(1)
    .describe(
      'p-annealing of relu and gated: the penalty is a sum of z^p, and p falls from 1 to this, in ten steps from 30 % of the run on.',
    ),
  bandwidth: z
    .number()
    .positive()
    .optional()
    .describe(
      'Of jumprelu, width of the band around a threshold in which it learns, for activations scaled to mean norm sqrt(D). Default: 0.001 sqrt(D).',
    ),
  prefixes: z
    .array(z.int().positive())
    .min(1)
    .optional()
    .describe(
      'Of matryoshka, the first latents that reconstruct on their own: ascending counts, the last one `latents`. Default: a sixteenth, an eighth, a quarter, half and all.',
    ),
  tokens: z
    .int()
    .positive()
    .default(2_000_000)
    .describe('Training tokens; activations are not reused unless the data ends.'),
  batchTokens: z.int().positive().default(4096).describe('B, rows per optimizer step.'),
  contextLength: z
    .int()
    .min(2)
    .optional()
    .describe('T, positions per sequence. Default: the model context, at most 256.'),
  recipe: z
    .enum(['paper', 'short'])
    .default('paper')
    .describe(
      'Defaults of the optimizer: paper for long runs; short, measured here, for runs of some hundred to some thousand steps: a higher rate, a quarter of it for the encoder, beta2 0.95, longer warm-up and decay.',
    ),
  lr: z
    .number()
    .positive()
    .optional()
    .describe(
      'Peak learning rate. Default: 2e-4 / sqrt(F / 2^14); with recipe short 0.02 sqrt(4096 / F) sqrt(256 / steps), at most 0.02.',
    ),
  warmupTokens: z
    .int()
    .nonnegative()
    .optional()
    .describe('Linear warm-up. Default: 5 % of `tokens`; with recipe short 20 %.'),
  decayTokens: z
    .int()
    .nonnegative()
    .optional()
    .describe('Linear decay to zero at the end. Default: 20 % of `tokens`; with recipe short 50 %.'),
  auxk: z
    .int()
    .nonnegative()
    .optional()
    .describe('k_aux for dead latents, 0 is off. Default: the largest power of two up to D / 2 and F / 8.'),
  auxkCoefficient: z
    .number()
    .nonnegative()
    .default(1 / 32)
    .describe('alpha, weight of the AuxK loss.'),
  deadWindowTokens: z
    .int()
    .positive()
    .optional()
    .describe(
      'A latent that fired on none of this many tokens is dead. Default: min(10 M, 10 % of `tokens`).',
    ),
  resampleTokens: z
    .int()
    .positive()
    .optional()
    .describe(
      'Instead of AuxK: every this many tokens, until the learning rate decays, dead latents start anew on rows that are reconstructed badly (resampling).',
    ),
  freeze: z
    .enum(['none', 'decoder', 'soft', 'encoder'])
    .default('none')
    .describe(
      'Control runs: frozen decoder, soft-frozen decoder (cosine >= 0.8 to its start), frozen encoder.',
    ),
  multiTopk: z
    .boolean()
    .default(false)
    .describe(
      'Multi-TopK: add an eighth of the loss with 4 K active latents, so that the SAE also serves at other K.',
    ),
  ema: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe(
      'Decay of a bias-corrected moving average of the weights, 0 is off; it is what is exported then. The paper takes 0.999.',
    ),
  signed: z
    .boolean()
    .default(false)
    .describe('Of topk: the K largest magnitudes of a token are active, with their signs (AbsTopK).'),
  tokenBias: z
    .boolean()
    .default(false)
    .describe(
      'Give every token of the vocabulary a bias of its own in the reconstruction, so that latents need not repeat the token.',
    ),
  initFrom: z
    .string()
    .optional()
    .describe(
      'Run or SAE folder to start from (fine-tuning): its weights, biases and thresholds; Adam starts fresh. Needs the same --variant, --latents and --k.',
    ),
  excludeSpecial: z
    .boolean()
    .default(true)
    .describe('Leave special tokens (BOS, EOS, padding) out of the training rows.'),
  excludeFirst: z
    .int()
    .nonnegative()
    .default(0)
    .describe('Leave out the first N positions of every sequence.'),
  shuffleTokens: z.int().positive().default(131_072).describe('Rows held in the shuffle buffer.'),
  seed: z
    .int()
    .nonnegative()
    .default(0)
    .describe('Seeds the initialisation, and the data where `dataSeed` does not.'),
  dataSeed: z
    .int()
    .nonnegative()
    .optional()
    .describe('Seeds shuffling and document order. Default: `seed`; one for all SAEs of a grid.'),
  shards: z
    .int()
    .positive()
    .default(8)
    .describe('S, logical latent shards; fixes the order of every sum, so keep it to reproduce.'),
  workers: z
    .int()
    .nonnegative()
    .optional()
    .describe('Worker threads. Changes speed only, never a bit of the result. Default: cores.'),
  pipeline: z
    .enum(['auto', 'overlap', 'alternate'])
    .default('auto')
    .describe(
      'Whether the model runs ahead while the SAE trains, or in turns with it; never changes a bit. Default: overlap from 4 cores on.',
    ),
  logEverySteps: z.int().positive().default(20).describe('One metrics.jsonl line per this many steps.'),
  tensorboard: z
    .boolean()
    .default(false)
    .describe('Also write the metrics as a TensorBoard event file into the run folder.'),
  checkpointEveryTokens: z
    .int()
    .positive()
    .optional()
    .describe('Save the state this often. Default: a tenth of `tokens`.'),
  evalTokens: z
    .int()
    .nonnegative()
    .default(100_000)
    .describe('Held-out tokens measured at the end, 0 for none; `saekit eval` measures more.'),
});

export const trainConfigSchema = trainFields.superRefine(({ model, data, activations }, context) => {
  const issue = (field: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [field], message });
  if (activations === undefined) {
    if (model === undefined) issue('model', 'expected a model, or activations instead of model and data');
    if (data === undefined) issue('data', 'expected text, or activations instead of model and data');
  } else if (model !== undefined || data !== undefined)
    issue(
      'activations',
      'expected no model and no data beside it: training on stored rows needs neither. `saekit eval RUN --model M --data D` measures the cross-entropy afterwards',
    );
});

/** What a person may write. */
export type TrainConfigInput = z.input<typeof trainConfigSchema>;
/** What the trainer reads: defaults filled in, derived fields still optional. */
export type TrainConfig = z.output<typeof trainConfigSchema>;
/** A config whose rows come from a model that reads text. */
export type TextTrainConfig = TrainConfig & { readonly model: string; readonly data: string[] };

/** @throws for a config of stored activations */
export function textConfig(config: TrainConfig): TextTrainConfig {
  const { model, data } = config;
  if (model === undefined || data === undefined)
    throw new Error('This needs a model and text; the config names stored activations.');
  return { ...config, model, data };
}

/** `saekit tokenize`: data + tokenizer -> rows of tokens on disk, for many runs. */
export const tokenizeConfigSchema = trainFields
  .pick({
    $schema: true,
    model: true,
    data: true,
    heldout: true,
    textField: true,
    roles: true,
    keepNearDuplicates: true,
    stream: true,
    contextLength: true,
  })
  .extend({
    model: z.string().describe('Model folder whose tokenizer and chat template are used.'),
    data: trainFields.shape.data.unwrap(),
    heldout: trainFields.shape.heldout.describe(
      'Files kept for evaluation. Default: every 20th document of `data`, by hash of its text.',
    ),
    seed: z
      .int()
      .nonnegative()
      .default(0)
      .describe('Seeds the order of the documents; a run with the same seed reads the rows in their order.'),
  });
export type TokenizeConfigInput = z.input<typeof tokenizeConfigSchema>;
export type TokenizeConfig = z.output<typeof tokenizeConfigSchema>;

/** `saekit eval`: measures a finished SAE and its controls on held-out text. */
export const evalConfigSchema = z.strictObject({
  $schema: z.string().optional().describe('Path or URL of this schema, for editors.'),
  sae: z.string().describe('Run folder or SAE folder (cfg.json, sae_weights.safetensors).'),
  model: z
    .string()
    .optional()
    .describe('Model folder, or org/name[@revision]. Default: the one the run was trained on.'),
  device: modelDevice,
  lowMemory: trainFields.shape.lowMemory,
  hook: z.string().optional().describe('Where the SAE reads. Default: as the SAE folder says.'),
  outputHook: z.string().optional().describe('Of a transcoder, what it gives. Default: as its folder says.'),
  data: z
    .array(z.string())
    .min(1)
    .optional()
    .describe('Files or data sets as of train; their held-out part is measured. Default: those of the run.'),
  heldout: z
    .array(z.string())
    .min(1)
    .optional()
    .describe('Files measured whole, instead of a held-out part.'),
  textField: z
    .string()
    .optional()
    .describe('JSONL field that holds the text. Default: as in the run, else "text".'),
  contextLength: z.int().min(2).optional().describe('T, positions per sequence. Default: as in the run.'),
  maxTokens: z
    .int()
    .positive()
    .default(500_000)
    .describe('Held-out tokens to measure; fewer than 500,000 make `dead` an upper bound.'),
  ceTokens: z.int().positive().default(65_536).describe('Of these, predictions behind the cross-entropies.'),
  klTokens: z
    .int()
    .nonnegative()
    .default(16_384)
    .describe('Of these, predictions behind KL: every logit is read.'),
  controls: z
    .boolean()
    .default(false)
    .describe(
      'Also train a frozen-decoder SAE of the same budget and measure it; takes as long as the training did.',
    ),
  features: z
    .int()
    .nonnegative()
    .default(24)
    .describe('Feature cards to make of the most interesting latents, 0 for none.'),
  seed: z.int().nonnegative().default(0).describe('Seeds the order of documents and the bootstrap.'),
  allowWrong: z
    .boolean()
    .default(false)
    .describe('Measure an SAE that the self-test says is not of this hook, model or scale.'),
  screen: z
    .enum(['int8'])
    .optional()
    .describe(
      'Encode with less work: an int8 product says which latents can matter, those are computed in float32. The same codes; not for signed ones.',
    ),
});
export type EvalConfigInput = z.input<typeof evalConfigSchema>;
export type EvalConfig = z.output<typeof evalConfigSchema>;
