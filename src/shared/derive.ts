/**
 * One dial first: everything of a training run that follows from the config, the model and the machine. Pure.
 *
 *     lr          2e-4 / sqrt(F / 2^14)                    Gao et al. 2024, "Scaling and evaluating sparse autoencoders"
 *                 --recipe short, ours: 0.02 sqrt(4096 / F) sqrt(256 / steps), at most 0.02; a quarter of it for W_enc; beta_2 0.95;
 *                 warm-up 20 %, decay over the last 50 %
 *     k_aux       largest power of two <= D / 2, <= F / 8   (256 for D 768; at least 1)
 *     warm-up     5 % of the tokens, decay to zero over the last 20 %
 *     dead window min(10 M, 10 % of the tokens)
 *     hook        resid_post of the block that ends at two thirds of the depth; of a transcoder resid_mid there, and it gives mlp_out
 */
import { type TrainConfig, trainFields } from './config.ts';
import { UsageError } from './errors.ts';

/** What has to be known of the model before anything is allocated. */
export type ModelShape = {
  readonly D: number;
  readonly layers: number;
  readonly contextLength: number;
};
/** The same of stored activations: where they were taken from, as far as they say. */
export type StoredShape = {
  readonly D: number;
  readonly hook: string;
  readonly contextLength?: number | undefined;
};

/** A config with nothing left to derive. Steps are optimizer steps of `batchTokens` rows. */
export type DerivedSettings = {
  readonly hook: string;
  /** Of a transcoder: what it gives. */
  readonly outputHook?: string;
  /** 1 for stored activations that do not say. */
  readonly contextLength: number;
  readonly lr: number;
  /** Learning rate of W_enc over lr. */
  readonly encoderLrScale: number;
  /** Adam's decay of the squared gradients. */
  readonly beta2: number;
  readonly totalSteps: number;
  readonly warmupSteps: number;
  readonly decaySteps: number;
  /** Adam's decay of the gradients. */
  readonly beta1: number;
  /** L0 that is held; 0 where the variant has no penalty or its coefficient is fixed. */
  readonly l0: number;
  readonly sparsityWarmupSteps: number;
  readonly auxk: number;
  readonly deadWindowTokens: number;
  readonly deadSteps: number;
  /** Dead latents start anew every so many steps; 0: never. */
  readonly resampleSteps: number;
  readonly checkpointSteps: number;
  /** N of the shuffle buffer; never more rows than the run has. */
  readonly shuffleTokens: number;
  readonly workers: number;
  readonly dataSeed: number;
  /** Whether the model runs ahead while the SAE trains. */
  readonly overlap: boolean;
};

/** From this many cores on the stages overlap: fewer are busy anyway. */
const OVERLAP_CORES = 4;
/** What `--recipe` chooses between; warm-up and decay are shares of the tokens. */
const recipes = {
  paper: {
    lr: (F: number, _steps: number) => 2e-4 / Math.sqrt(F / 2 ** 14),
    ...{ warmup: 0.05, decay: 0.2, encoderLrScale: 1, beta2: 0.999 },
  },
  short: {
    // Ours: best of a few rates at F 4096, D 192, B 4096: 2e-2 after 256 steps, 1e-2 after 1,024. Elsewhere it is a guess.
    lr: (F: number, steps: number) =>
      0.02 * Math.sqrt(4096 / Math.max(F, 4096)) * Math.sqrt(256 / Math.max(steps, 256)),
    ...{ warmup: 0.2, decay: 0.5, encoderLrScale: 0.25, beta2: 0.95 },
  },
};
type Variant = TrainConfig['variant'];
const PENALISED: ReadonlySet<Variant> = new Set(['relu', 'gated', 'jumprelu']);
const NO_MOMENTUM: ReadonlySet<Variant> = new Set(['gated', 'jumprelu']);
/** Their dead latents are never positive, so there is nothing that AuxK could use. */
const NO_AUXK: ReadonlySet<Variant> = new Set(['relu', 'gated']);

const TRANSCODERS: ReadonlySet<Variant> = new Set(['transcoder', 'skip-transcoder']);

/** @throws UsageError for what resampling cannot go together with */
function checkResampling({ auxk = 0, freeze, resampleTokens, deadWindowTokens, tokens }: TrainConfig): void {
  if (auxk > 0)
    throw new UsageError(
      'AuxK and resampling are two ways to revive the same latents. Leave out --auxk or --resample-tokens.',
    );
  if (freeze !== 'none')
    throw new UsageError(
      `Resampling writes new encoder and decoder rows, which --freeze ${freeze} forbids. Leave out --resample-tokens.`,
    );
  if ((deadWindowTokens ?? 0) > tokens || resampleTokens! > tokens)
    throw new UsageError(
      `With --resample-tokens ${resampleTokens} nothing would start anew in ${tokens} tokens. Lower it, and --dead-window-tokens.`,
    );
}

/** Options that say how a model reads text. */
const OF_TEXT = {
  contextLength: '--context-length',
  excludeSpecial: '--no-exclude-special',
  excludeFirst: '--exclude-first',
  textField: '--text-field',
  roles: '--roles',
  keepNearDuplicates: '--keep-near-duplicates',
  stream: '--stream',
  device: '--device',
  lowMemory: '--low-memory',
} as const;

/** @throws UsageError for options that these rows have no use for: rows on disk were made with others, text is held out by document */
function checkRows(config: TrainConfig): void {
  const given = (field: keyof typeof trainFields.shape): boolean =>
    config[field] !== trainFields.shape[field].parse(undefined);
  if (config.activations === undefined) {
    if (given('heldoutShare'))
      throw new UsageError(
        '--heldout-share is of stored activations. Of text every 20th document is held out, or the files that --heldout names. Leave it out.',
      );
    return;
  }
  for (const [field, flag] of Object.entries(OF_TEXT))
    if (given(field as keyof typeof OF_TEXT))
      throw new UsageError(
        `${flag} says how a model reads text; ${config.activations} are rows that it has read. Leave it out, or harvest with it.`,
      );
}

/** @throws UsageError for options that the variant has no use for */
function checkVariant(config: TrainConfig, penalised: boolean): void {
  const { variant, latents: F, prefixes } = config;
  const refuse = (flag: string, only: string): void => {
    throw new UsageError(
      `--${flag} is of ${only}; this is ${variant}. Leave it out, or choose another --variant.`,
    );
  };
  if (config.outputHook !== undefined && !TRANSCODERS.has(variant))
    refuse('output-hook', 'transcoder and skip-transcoder');
  if (config.signed && variant !== 'topk') refuse('signed', 'topk');
  if (config.tokenBias && config.activations !== undefined)
    throw new UsageError(
      '--token-bias needs the token of every row and the vocabulary of a model; stored activations do not say both. Give --model and --data.',
    );
  if (config.multiTopk && variant !== 'topk') refuse('multi-topk', 'topk');
  if (config.l0 !== undefined && !penalised)
    throw new UsageError(
      `--l0 is of relu, gated and jumprelu; ${variant} takes --k ${Math.max(1, Math.round(config.l0))}.`,
    );
  if (config.l0 !== undefined && config.l0 > F)
    throw new UsageError(
      `l0 is ${config.l0} but there are only ${F} latents. Lower --l0 or raise --latents.`,
    );
  if (config.sparsityCoefficient !== 1 && !penalised)
    refuse('sparsity-coefficient', 'relu, gated and jumprelu');
  if (config.sparsityWarmupTokens !== undefined && !penalised)
    refuse('sparsity-warmup-tokens', 'relu, gated and jumprelu');
  if (config.sparsityWarmupTokens !== undefined && config.l0 !== 0)
    throw new UsageError(
      '--sparsity-warmup-tokens is of a coefficient that stays as it is given, with --l0 0; here a controller moves it. Leave it out, or give --l0 0.',
    );
  if (config.penaltyPower < 1 && variant !== 'relu' && variant !== 'gated')
    refuse('penalty-power', 'relu and gated');
  if (config.bandwidth !== undefined && variant !== 'jumprelu') refuse('bandwidth', 'jumprelu');
  if (config.auxk !== undefined && config.auxk > 0 && NO_AUXK.has(variant))
    throw new UsageError(
      `AuxK does nothing for ${variant}: a dead latent of it is never positive. Leave --auxk out, or choose jumprelu or topk.`,
    );
  if (config.resampleTokens !== undefined) checkResampling(config);
  if (prefixes === undefined) return;
  if (variant !== 'matryoshka') refuse('prefixes', 'matryoshka');
  if (prefixes.at(-1) !== F || prefixes.some((end, g) => g > 0 && end <= prefixes[g - 1]!))
    throw new UsageError(
      `prefixes are ${prefixes.join(', ')}; they must grow and end at the number of latents, ${F}. Add ${F} at the end, or sort them.`,
    );
}

/** Prefixes of a Matryoshka SAE where none are given: a sixteenth, an eighth, a quarter, half and all of F latents (ours). */
export const defaultPrefixes = (F: number): number[] => [
  ...new Set([16, 8, 4, 2, 1].map((part) => Math.max(1, Math.floor(F / part)))),
];

/** Tokens after which a latent that never fired counts as dead, at most. */
const LONGEST_DEAD_WINDOW = 10_000_000;
/** The residual stream after the block that ends at two thirds of the depth, for example block 3 of 0..5 for 6 layers. */
export function defaultHook(layers: number): string {
  return `blocks.${Math.max(0, Math.round((layers * 2) / 3) - 1)}.hook_resid_post`;
}

/** Where a transcoder reads and what it gives: through an MLP, unless both are named. */
function transcoderHooks({ hook, outputHook, activations }: TrainConfig, rows: ModelShape | StoredShape) {
  if (!('layers' in rows))
    throw new UsageError(
      `A transcoder learns from two hooks of the same tokens; ${activations} are of one. Give --model and --data.`,
    );
  const read = hook ?? defaultHook(rows.layers).replace('resid_post', 'resid_mid');
  const [block] = /^blocks\.\d+\./.exec(read) ?? [];
  const given = outputHook ?? (block === undefined ? undefined : `${block}hook_mlp_out`);
  if (given === undefined)
    throw new UsageError(
      `${read} is in no block, so what the transcoder gives is not known. Give --output-hook.`,
    );
  if (given === read)
    throw new UsageError(
      `A transcoder gives another place than it reads; both are ${read}. Leave out --variant for an SAE.`,
    );
  return { hook: read, outputHook: given };
}

/** k_aux: a power of two near D / 2 that leaves room among F latents. */
export function defaultAuxk(D: number, F: number): number {
  const ceiling = Math.min(D / 2, F / 8);
  return ceiling < 1 ? 0 : 2 ** Math.floor(Math.log2(ceiling));
}

/**
 * Fills in what the config leaves open.
 *
 * @param cores logical processors of this machine, for the number of worker threads
 * @throws UsageError when K exceeds F, when fewer tokens than one step are asked for, or when the schedule does not fit
 * @example
 * deriveSettings(trainConfigSchema.parse({ model: 'demo/model', data: ['corpus.txt'] }), { D: 192, layers: 4, contextLength: 256 }, 2).lr // 4e-4
 */
export function deriveSettings(
  config: TrainConfig,
  rows: ModelShape | StoredShape,
  cores: number,
): DerivedSettings {
  const { latents: F, k: K, batchTokens: B, tokens } = config;
  if (K > F)
    throw new UsageError(
      `k is ${K} but there are only ${F} latents: at most ${F} can be active. Lower --k or raise --latents.`,
    );
  if (tokens < B)
    throw new UsageError(
      `tokens is ${tokens}, less than one step of ${B}. Raise --tokens or lower --batch-tokens.`,
    );
  const longest = 'layers' in rows ? rows.contextLength : undefined;
  if (longest !== undefined && config.contextLength !== undefined && config.contextLength > longest)
    throw new UsageError(
      `contextLength is ${config.contextLength} but the model reads at most ${longest} positions. Lower --context-length.`,
    );
  const T = config.contextLength ?? (longest === undefined ? undefined : Math.min(longest, 256));
  if (T !== undefined && config.excludeFirst >= T)
    throw new UsageError(
      `excludeFirst ${config.excludeFirst} leaves nothing of rows of ${T} positions. Lower --exclude-first.`,
    );
  const totalSteps = Math.floor(tokens / B);
  const steps = (count: number): number => Math.round(count / B);
  const recipe = recipes[config.recipe];
  const warmupSteps = steps(config.warmupTokens ?? recipe.warmup * tokens);
  const decaySteps = steps(config.decayTokens ?? recipe.decay * tokens);
  if (warmupSteps + decaySteps > totalSteps)
    throw new UsageError(
      `Warm-up (${warmupSteps} steps) and decay (${decaySteps}) exceed the run (${totalSteps} steps). Lower --warmup-tokens or --decay-tokens.`,
    );
  const penalised = PENALISED.has(config.variant);
  checkVariant(config, penalised);
  checkRows(config);
  const deadWindowTokens = config.deadWindowTokens ?? Math.min(LONGEST_DEAD_WINDOW, Math.floor(tokens / 10));
  return {
    ...(TRANSCODERS.has(config.variant)
      ? transcoderHooks(config, rows)
      : { hook: config.hook ?? ('layers' in rows ? defaultHook(rows.layers) : rows.hook) }),
    contextLength: T ?? rows.contextLength ?? 1,
    lr: config.lr ?? recipe.lr(F, totalSteps),
    encoderLrScale: recipe.encoderLrScale,
    beta2: recipe.beta2,
    totalSteps,
    warmupSteps,
    decaySteps,
    // The papers of Gated and JumpReLU train without momentum.
    beta1: config.recipe === 'paper' && NO_MOMENTUM.has(config.variant) ? 0 : 0.9,
    l0: penalised ? (config.l0 ?? config.k) : 0,
    sparsityWarmupSteps: steps(config.sparsityWarmupTokens ?? 0.05 * tokens),
    auxk:
      config.auxk ??
      (NO_AUXK.has(config.variant) || config.resampleTokens !== undefined ? 0 : defaultAuxk(rows.D, F)),
    deadWindowTokens,
    deadSteps: Math.max(1, steps(deadWindowTokens)),
    resampleSteps: config.resampleTokens === undefined ? 0 : Math.max(1, steps(config.resampleTokens)),
    checkpointSteps: Math.max(1, steps(config.checkpointEveryTokens ?? tokens / 10)),
    shuffleTokens: Math.min(config.shuffleTokens, tokens),
    workers: Math.min(config.workers ?? cores, config.shards),
    dataSeed: config.dataSeed ?? config.seed,
    overlap: config.pipeline === 'overlap' || (config.pipeline === 'auto' && cores >= OVERLAP_CORES),
  };
}
