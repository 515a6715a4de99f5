// The demo's TopK SAE as every other kind, and files of each in every format that is read: for the self-test, which is to know right from wrong.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createMoments, fitPca } from '../../src/eval/index.ts';
import { joinChunks, writeSafetensors } from '../../src/formats/index.ts';
import { writeZip } from '../../src/sae/formats/npz.ts';
import { writeTorch } from '../../src/sae/formats/torch-writer.ts';
import { transpose } from '../../src/sae/formats/write.ts';
import { encode, type FormatName, type Sae, saveSae } from '../../src/sae/index.ts';
import { normaliseRows } from '../../src/sae/normalise.ts';
import { createRng } from '../../src/shared/rng.ts';
import { folderWriter } from '../../src/store/index.ts';
import { createTrainer } from '../../src/train/index.ts';

/** Writes files into a folder and gives what to open. */
export type Written = {
  readonly kind: string;
  readonly format: FormatName;
  /** Its kind's own, or another SAE in its place. */
  write(folder: string, sae?: Sae): Promise<string>;
};

/** What a transcoder here writes: x in another basis, with `scale`. Its skip connection gives a third of it. */
export function otherBasis(x: Float32Array, D: number, seed = 'another basis'): Float32Array {
  const rng = createRng(seed);
  const order = Array.from({ length: D }, (_, d) => d);
  for (let d = D - 1; d > 0; d--) {
    const e = rng.int(d + 1);
    [order[d], order[e]] = [order[e]!, order[d]!];
  }
  const signs = Array.from({ length: D }, () => (rng.uniform() < 0.5 ? -1 : 1));
  return x.map((_, i) => signs[i % D]! * x[Math.floor(i / D) * D + order[i % D]!]!);
}

const SKIP = 1 / 3;
const scaled = (a: Float32Array, factor: number): Float32Array => a.map((value) => value * factor);

/** The mean of the K-th largest activation: what a threshold SAE of the same L0 has. */
async function thresholdOf(sae: Sae<'topk'>, x: Float32Array): Promise<number> {
  const { B, K, values } = await encode(sae, x);
  let sum = 0;
  for (let b = 0; b < B; b++) sum += values[(b + 1) * K - 1]!;
  return sum / B;
}

/** A TopK SAE of rows that are normalised one by one, trained here. */
async function trained(
  inputNorm: 'layer' | 'norm',
  x: Float32Array,
  { D, metadata }: Pick<Sae['config'], 'D' | 'metadata'>,
): Promise<Sae> {
  const rows = new Float32Array(x.length);
  normaliseRows(inputNorm, x, D, undefined, rows);
  const [B, totalSteps] = [500, 300];
  const trainer = await createTrainer({
    ...{ D, F: 1024, K: 32, B, totalSteps, lr: 1e-3, warmupSteps: 20, decaySteps: 60, auxk: 0 },
    ...{ auxkCoefficient: 0, deadSteps: 1e6, freeze: 'none' as const, seed: 1, shards: 8, workers: 0 },
    adam: { beta1: 0.9, beta2: 0.999, eps: 1e-8 },
  });
  try {
    const blocks = Math.floor(rows.length / (B * D));
    const block = (i: number): Float32Array => rows.slice((i % blocks) * B * D, ((i % blocks) + 1) * B * D);
    await trainer.initialize(block(0));
    for (let step = 0; step < totalSteps; step++) await trainer.train(block(step));
    const sae = await trainer.exportSae();
    return { ...sae, config: { ...sae.config, inputNorm, metadata } };
  } finally {
    await trainer.close();
  }
}

/** Signed codes of half the principal axes of x, which a TopK SAE of one sign has no use for. */
async function signed(x: Float32Array, shared: Pick<Sae['config'], 'D' | 'metadata'>): Promise<Sae> {
  const { D } = shared;
  const F = D >> 1;
  const moments = createMoments(D);
  await moments.add(x, x.length / D);
  const { components, mean } = fitPca(moments, F);
  const W = Float32Array.from(components);
  return {
    config: { ...shared, F, K: F >> 1, architecture: 'topk', signed: true },
    ...{ W_enc: W, b_enc: new Float32Array(F), W_dec: W, b_dec: Float32Array.from(mean) },
  };
}

/** SAEs by kind; thresholds are set on `x`, and those of normalised rows trained on `more`. */
export async function kindsOf(
  demo: Sae<'topk'>,
  x: Float32Array,
  more: Float32Array,
): Promise<Record<string, Sae>> {
  const { D, F, K } = demo.config;
  const theta = await thresholdOf(demo, x);
  const rng = createRng('thresholds');
  const threshold = Float32Array.from({ length: F }, () => theta * (0.9 + 0.2 * rng.uniform()));
  const { W_enc, b_enc, W_dec, b_dec } = demo;
  const shared = { D, F, metadata: { hook_name: demo.config.metadata.hook_name } };
  const itself = { ...shared, subtractDecoderBias: false as const };
  const arrays = { W_enc, b_enc, W_dec, b_dec };
  // The encoder bias of an SAE that reads x itself.
  const folded = b_enc.map((b, f) => {
    let sum = b;
    for (let d = 0; d < D; d++) sum -= b_dec[d]! * W_enc[f * D + d]!;
    return sum;
  });
  const lowered = (bias: Float32Array): Float32Array => bias.map((b) => b - theta);
  const transcoder = { ...shared, Dout: D };
  const elsewhere = { W_enc, b_enc: folded, W_dec: otherBasis(W_dec, D), b_dec: otherBasis(b_dec, D) };
  // W_skip [Dout,D] x = a third of x in the other basis; the rest is the dictionary's.
  const unit = new Float32Array(D * D);
  for (let d = 0; d < D; d++) unit[d * D + d] = 1;
  const W_skip = scaled(transpose(otherBasis(unit, D), D, D), SKIP);
  const skipping = {
    ...elsewhere,
    W_dec: scaled(elsewhere.W_dec, 1 - SKIP),
    b_dec: scaled(elsewhere.b_dec, 1 - SKIP),
    W_skip,
  };
  return {
    relu: { config: { ...shared, architecture: 'relu' }, ...arrays, b_enc: lowered(b_enc) },
    'relu of x': { config: { ...itself, architecture: 'relu' }, ...arrays, b_enc: lowered(folded) },
    gated: {
      config: { ...shared, architecture: 'gated' },
      ...{ ...arrays, b_enc: lowered(b_enc), b_mag: b_enc },
      r_mag: b_enc.map(() => 0.05 * rng.normal()),
    },
    jumprelu: { config: { ...shared, architecture: 'jumprelu' }, ...arrays, threshold },
    'jumprelu of x': {
      config: { ...itself, architecture: 'jumprelu' },
      ...{ ...arrays, b_enc: folded, threshold },
    },
    'one threshold': {
      config: { ...itself, architecture: 'jumprelu' },
      ...{ ...arrays, b_enc: folded, threshold: new Float32Array(F).fill(theta) },
    },
    topk: { config: { ...shared, architecture: 'topk', K }, ...arrays },
    'topk of x': { config: { ...itself, architecture: 'topk', K }, ...arrays, b_enc: folded },
    'signed topk': await signed(more, shared),
    batchtopk: { config: { ...shared, architecture: 'batchtopk', K, threshold: theta }, ...arrays },
    matryoshka: {
      config: { ...shared, architecture: 'matryoshka', K, threshold: theta, prefixes: [F / 4, F] },
      ...arrays,
    },
    'layer norm': await trained('layer', more, shared),
    'norm rescale': await trained('norm', more, shared),
    transcoder: {
      config: { ...transcoder, architecture: 'relu' },
      ...{ ...elsewhere, b_enc: lowered(folded) },
    },
    'skip transcoder': {
      config: { ...transcoder, architecture: 'relu' },
      ...{ ...skipping, b_enc: lowered(folded) },
    },
    'jumprelu transcoder': {
      config: { ...transcoder, architecture: 'jumprelu' },
      ...{ ...elsewhere, threshold },
    },
    'jumprelu skip transcoder': {
      config: { ...transcoder, architecture: 'jumprelu' },
      ...{ ...skipping, threshold },
    },
    'topk skip transcoder': { config: { ...transcoder, architecture: 'topk', K }, ...skipping },
  };
}

const hookOf = (sae: Sae): string => String(sae.config.metadata.hook_name);
const layerOf = (sae: Sae): number => Number(/\d+/.exec(hookOf(sae))![0]);

type Tensors = Record<string, readonly [shape: number[], data: Float32Array]>;
function safetensors(path: string, tensors: Tensors): void {
  mkdirSync(dirname(path), { recursive: true });
  const entries = Object.entries(tensors).map(([name, [shape, data]]) => [
    name,
    { dtype: 'F32' as const, shape, data },
  ]);
  writeFileSync(path, joinChunks(writeSafetensors(Object.fromEntries(entries))));
}
const json = (path: string, value: unknown): void => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(value));
};

/** A .pt of OpenAI: writeTorch has no words, so `activation` is put into its pickle: the mark "(" that opens the items, then the pair. */
async function openai(folder: string, sae: Sae): Promise<string> {
  const { D, F } = sae.config;
  const state = {
    pre_bias: { shape: [D], data: sae.b_dec },
    latent_bias: { shape: [F], data: sae.b_enc },
    'encoder.weight': { shape: [F, D], data: sae.W_enc },
    'decoder.weight': { shape: [D, F], data: transpose(sae.W_dec, F, D) },
    ...('K' in sae.config
      ? { 'activation_state_dict.k': { shape: [] as number[], data: BigInt64Array.of(BigInt(sae.config.K)) } }
      : {}),
  };
  const plain = folderWriter(folder);
  await writeTorch(plain, 'plain.pt', state);
  const { readZip } = await import('../../src/formats/index.ts');
  const { openFile } = await import('../../src/platform/node.ts');
  const source = await openFile(join(folder, 'plain.pt'));
  const entries = await Promise.all(
    (await readZip(source, 'plain.pt')).map(async (entry) => {
      const opened = await entry.open();
      const bytes = (await opened.slice(0, opened.byteLength)).slice();
      if (!entry.name.endsWith('data.pkl')) return { name: entry.name, pieces: [bytes] };
      const word = (text: string): number[] => [
        0x58,
        text.length,
        0,
        0,
        0,
        ...new TextEncoder().encode(text),
      ];
      const pair = [...word('activation'), ...word('K' in sae.config ? 'TopK' : 'ReLU')];
      // Before "u.", which puts the items into the dict.
      return {
        name: entry.name,
        pieces: [bytes.subarray(0, -2), Uint8Array.from(pair), bytes.subarray(-2)],
      };
    }),
  );
  await source.close?.();
  rmSync(join(folder, 'plain.pt'));
  const place = join(folder, 'resid_post_mlp_v5', 'autoencoders');
  const file = `${layerOf(sae)}.pt`;
  await writeZip(folderWriter(place), file, entries);
  return join(place, file);
}

/** Activations were divided by this in training: what is in the file is of x scale. */
const SCALE = 2.5;

function llamaScope(folder: string, sae: Sae): string {
  const { D, F } = sae.config;
  const norm = Math.sqrt(D) / SCALE;
  json(join(folder, 'hyperparams.json'), {
    ...{ d_model: D, d_sae: F, jump_relu_threshold: sae.threshold![0]! / SCALE, top_k: 32 },
    ...{ dataset_average_activation_norm: { in: norm, out: norm }, act_fn: 'jumprelu' },
    ...{ hook_point_in: hookOf(sae), hook_point_out: hookOf(sae) },
  });
  safetensors(join(folder, 'checkpoints', 'final.safetensors'), {
    'encoder.weight': [[F, D], scaled(sae.W_enc, 1 / SCALE)],
    'encoder.bias': [[F], sae.b_enc],
    'decoder.weight': [[D, F], transpose(scaled(sae.W_dec, SCALE), F, D)],
    'decoder.bias': [[D], scaled(sae.b_dec, SCALE)],
  });
  return folder;
}

function llamascopium(folder: string, sae: Sae): string {
  const { D, F, architecture } = sae.config;
  const hook = hookOf(sae);
  json(join(folder, 'config.json'), {
    ...{ sae_type: 'sae', d_model: D, expansion_factor: F / D, act_fn: architecture, top_k: 32 },
    ...{ norm_activation: 'dataset-wise', sparsity_include_decoder_norm: false, use_decoder_bias: true },
    ...{ hook_point_in: hook, hook_point_out: hook },
  });
  safetensors(join(folder, 'sae_weights.safetensors'), {
    W_E: [[D, F], transpose(scaled(sae.W_enc, 1 / SCALE), F, D)],
    b_E: [[F], sae.b_enc],
    W_D: [[F, D], scaled(sae.W_dec, SCALE)],
    b_D: [[D], scaled(sae.b_dec, SCALE)],
    [`dataset_average_activation_norm.${hook}`]: [[], Float32Array.of(Math.sqrt(D) / SCALE)],
    ...(sae.threshold
      ? { 'activation_function.log_jumprelu_threshold': [[F], sae.threshold.map(Math.log)] as const }
      : {}),
  } as Tensors);
  return folder;
}

function gemmaScope2(folder: string, sae: Sae): string {
  const { D, F, Dout } = sae.config;
  const place = Dout === undefined ? 'resid_post' : 'transcoder';
  const path = join(folder, place, `layer_${layerOf(sae)}_width_${F}_l0_medium`);
  safetensors(join(path, 'params.safetensors'), {
    w_enc: [[D, F], transpose(sae.W_enc, F, D)],
    b_enc: [[F], sae.b_enc],
    w_dec: [[F, D], sae.W_dec],
    b_dec: [[D], sae.b_dec],
    threshold: [[F], sae.threshold!],
    ...(sae.W_skip ? { affine_skip_connection: [[D, D], transpose(sae.W_skip, D, D)] as const } : {}),
  } as Tensors);
  return path;
}

async function dictionaryLearning(
  folder: string,
  file: string,
  dict_class: string,
  sae: Sae,
): Promise<string> {
  const { D, F } = sae.config;
  const rows = dict_class === 'MatryoshkaBatchTopKSAE';
  const { K, threshold, prefixes = [] } = sae.config as { K: number; threshold: number; prefixes?: number[] };
  await writeTorch(folderWriter(folder), file, {
    b_dec: { shape: [D], data: sae.b_dec },
    k: { shape: [], data: BigInt64Array.of(BigInt(K)) },
    threshold: { shape: [], data: Float32Array.of(threshold) },
    ...(rows
      ? {
          group_sizes: {
            shape: [prefixes.length],
            data: Float32Array.from(prefixes, (end, i) => end - (prefixes[i - 1] ?? 0)),
          },
          W_enc: { shape: [D, F], data: transpose(sae.W_enc, F, D) },
          b_enc: { shape: [F], data: sae.b_enc },
          W_dec: { shape: [F, D], data: sae.W_dec },
        }
      : {
          'encoder.weight': { shape: [F, D], data: sae.W_enc },
          'encoder.bias': { shape: [F], data: sae.b_enc },
          'decoder.weight': { shape: [D, F], data: transpose(sae.W_dec, F, D) },
        }),
  });
  json(join(folder, 'config.json'), {
    trainer: {
      dict_class,
      activation_dim: D,
      dict_size: F,
      layer: layerOf(sae),
      submodule_name: `resid_post_layer_${layerOf(sae)}`,
    },
  });
  return join(folder, file);
}

function saelens5(folder: string, sae: Sae<'topk'>): string {
  const { D, F, K } = sae.config;
  json(join(folder, 'cfg.json'), {
    ...{ d_in: D, d_sae: F, dtype: 'float32', hook_name: hookOf(sae), hook_layer: layerOf(sae) },
    ...{ activation_fn_str: 'topk', activation_fn_kwargs: { k: K }, apply_b_dec_to_input: false },
    ...{ normalize_activations: 'none', sae_lens_version: '5.3.0' },
  });
  safetensors(join(folder, 'sae_weights.safetensors'), {
    W_enc: [[D, F], transpose(sae.W_enc, F, D)],
    b_enc: [[F], sae.b_enc],
    W_dec: [[F, D], sae.W_dec],
    b_dec: [[D], sae.b_dec],
  });
  return folder;
}

/** Of 2025, as Llama Scope R1 Distill: other names, weights the other way round. */
function llamascopium2025(folder: string, sae: Sae): string {
  const { D, F } = sae.config;
  const hook = hookOf(sae);
  json(join(folder, 'config.json'), {
    ...{ sae_type: 'sae', d_model: D, expansion_factor: F / D, act_fn: 'jumprelu', top_k: 32 },
    ...{ norm_activation: 'dataset-wise', sparsity_include_decoder_norm: false, use_decoder_bias: true },
    ...{ hook_point_in: hook, hook_point_out: hook, apply_decoder_bias_to_pre_encoder: false },
  });
  safetensors(join(folder, 'sae_weights.safetensors'), {
    'encoder.weight': [[F, D], scaled(sae.W_enc, 1 / SCALE)],
    'encoder.bias': [[F], sae.b_enc],
    'decoder.weight': [[D, F], transpose(scaled(sae.W_dec, SCALE), F, D)],
    'decoder.bias': [[D], scaled(sae.b_dec, SCALE)],
    log_jumprelu_threshold: [[F], sae.threshold!.map(Math.log)],
    [`dataset_average_activation_norm.${hook}`]: [[], Float32Array.of(Math.sqrt(D) / SCALE)],
  });
  return folder;
}

async function qwenScope(folder: string, sae: Sae): Promise<string> {
  const { D, F, K } = (sae as Sae<'topk'>).config;
  const place = join(folder, `SAE-Res-Qwen3-1.7B-Base-W32K-L0_${K}`);
  await writeTorch(folderWriter(place), `layer${layerOf(sae)}.sae.pt`, {
    W_enc: { shape: [F, D], data: sae.W_enc },
    b_enc: { shape: [F], data: sae.b_enc },
    W_dec: { shape: [D, F], data: transpose(sae.W_dec, F, D) },
    b_dec: { shape: [D], data: sae.b_dec },
  });
  return join(place, `layer${layerOf(sae)}.sae.pt`);
}

async function goodfire(folder: string, sae: Sae): Promise<string> {
  const { D, F } = sae.config;
  const file = `Llama-3.1-8B-Instruct-SAE-l${layerOf(sae)}.pth`;
  await writeTorch(folderWriter(folder), file, {
    'encoder_linear.weight': { shape: [F, D], data: sae.W_enc },
    'encoder_linear.bias': { shape: [F], data: sae.b_enc },
    'decoder_linear.weight': { shape: [D, F], data: transpose(sae.W_dec, F, D) },
    'decoder_linear.bias': { shape: [D], data: sae.b_dec },
  });
  return join(folder, file);
}

async function attentionOut(folder: string, sae: Sae): Promise<string> {
  const { D, F } = sae.config;
  json(join(folder, 'gpt2_v9_cfg.json'), { act_size: D, dict_size: F, act_name: hookOf(sae), lr: 1e-3 });
  await writeTorch(folderWriter(folder), 'gpt2_v9.pt', {
    W_enc: { shape: [D, F], data: transpose(sae.W_enc, F, D) },
    b_enc: { shape: [F], data: sae.b_enc },
    W_dec: { shape: [F, D], data: sae.W_dec },
    b_dec: { shape: [D], data: sae.b_dec },
  });
  return join(folder, 'gpt2_v9.pt');
}

function circuitTracer(folder: string, sae: Sae): string {
  const { D, F } = sae.config;
  const file = join(folder, `layer_${layerOf(sae)}.safetensors`);
  safetensors(file, {
    W_enc: [[F, D], sae.W_enc],
    b_enc: [[F], sae.b_enc],
    W_dec: [[F, D], sae.W_dec],
    b_dec: [[D], sae.b_dec],
    ...(sae.threshold ? { 'activation_function.threshold': [[F], sae.threshold] as const } : {}),
    ...(sae.W_skip ? { W_skip: [[D, D], sae.W_skip] as const } : {}),
  } as Tensors);
  const reads = hookOf(sae).replace(/^blocks\.\d+\./, '');
  writeFileSync(
    join(folder, 'config.yaml'),
    `model_kind: transcoder_set\nfeature_input_hook: ${reads}\nfeature_output_hook: hook_mlp_out\n`,
  );
  return file;
}

/** Every format with every kind that it has. */
export function filesOf(kinds: Record<string, Sae>): Written[] {
  const one = (
    format: FormatName,
    kind: string,
    write: (folder: string, sae: Sae) => string | Promise<string>,
  ): Written => ({
    kind,
    format,
    write: async (folder, sae = kinds[kind]!) => {
      mkdirSync(folder, { recursive: true });
      return await write(folder, sae);
    },
  });
  const saved = (format: FormatName, ...names: string[]): Written[] =>
    names.map((kind) =>
      one(format, kind, async (folder, sae) => {
        await saveSae(folderWriter(folder), sae, { format });
        return folder;
      }),
    );
  return [
    ...saved('saelens', ...Object.keys(kinds).filter((kind) => !/one threshold|topk (skip|of)/.test(kind))),
    one('saelens', 'topk of x', (folder, sae) => saelens5(folder, sae as Sae<'topk'>)),
    ...saved('sparsify', 'topk', 'signed topk', 'topk skip transcoder'),
    ...saved('dictionary-learning', 'relu', 'relu of x', 'gated', 'jumprelu of x', 'topk', 'batchtopk'),
    one('dictionary-learning', 'matryoshka', (folder, sae) =>
      dictionaryLearning(folder, 'ae.pt', 'MatryoshkaBatchTopKSAE', sae),
    ),
    // Audio-SAE: files of this class under names of their own.
    one('dictionary-learning', 'batchtopk', (folder, sae) =>
      dictionaryLearning(folder, 'whisper_small_layer_2.pt', 'BatchTopKSAE', sae),
    ),
    one('openai', 'layer norm', openai),
    one('openai', 'relu', openai),
    ...saved('gemma-scope', 'jumprelu of x', 'jumprelu transcoder'),
    one('gemma-scope', 'jumprelu of x', gemmaScope2),
    one('gemma-scope', 'jumprelu skip transcoder', gemmaScope2),
    one('llama-scope', 'one threshold', llamaScope),
    ...['relu of x', 'jumprelu of x', 'topk of x'].map((kind) => one('llamascopium', kind, llamascopium)),
    one('llamascopium', 'jumprelu of x', llamascopium2025),
    one('qwen-scope', 'topk of x', qwenScope),
    one('goodfire', 'relu of x', goodfire),
    one('attention-out', 'relu', attentionOut),
    ...Object.keys(kinds)
      .filter((kind) => / ?transcoder$/.test(kind) && !/topk/.test(kind))
      .map((kind) => one('circuit-tracer', kind, circuitTracer)),
  ];
}
