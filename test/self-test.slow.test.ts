/**
 * How often the self-test catches an SAE that was loaded wrongly: twelve ways to go wrong, in every format, beside thirty that are right.
 * The SAE is the demo's; other kinds are made of it by a threshold that gives the same L0. The count is test/golden/sae/self-test.txt.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import '../src/platform/node.ts';
import { openCorpus } from '../src/data/index.ts';
import { bfloat16ToFloat32, float32ToBfloat16 } from '../src/formats/index.ts';
import { openModel } from '../src/models/index.ts';
import {
  encode,
  type FormatName,
  loadSae,
  type RecordedNumbers,
  type Sae,
  saveSae,
  selfTest,
  selfTestText,
} from '../src/sae/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { folderWriter } from '../src/store/index.ts';

const hook = 'blocks.2.hook_resid_post';
const hooks = {
  right: hook,
  'wrong hook': 'blocks.2.hook_mlp_out',
  'layer off by one': 'blocks.1.hook_resid_post',
};
/** Rows of one sample. */
const ROWS = 1000;
const SAMPLES = 7;

let demo: Sae<'topk'>;
/** Samples of rows at each hook; the first is the one that numbers are recorded on. */
const rows: Record<string, Float32Array[]> = {};

beforeAll(async () => {
  demo = (await loadSae(`demo/saes/${hook}`)) as Sae<'topk'>;
  const model = await openModel('demo/model');
  const corpus = await openCorpus({ data: ['demo/corpus/train.jsonl.gz'] });
  const { D } = demo.config;
  const all: Record<string, number[]> = { right: [], 'wrong hook': [], 'layer off by one': [] };
  for (let i = 0; all.right!.length < SAMPLES * ROWS * D; i++) {
    const { text } = await corpus.heldout.get((i * 37) % corpus.heldout.count);
    const { cache } = await model.runWithCache(text.slice(0, 240), Object.values(hooks));
    // The first position is BOS, which SAEs are not trained on.
    for (const [kind, name] of Object.entries(hooks))
      for (const value of cache[name]!.data.subarray(D)) all[kind]!.push(value);
  }
  for (const [kind, values] of Object.entries(all))
    rows[kind] = Array.from({ length: SAMPLES }, (_, s) =>
      Float32Array.from(values.slice(s * ROWS * D, (s + 1) * ROWS * D)),
    );
  await corpus.close();
  await model.close();
}, 120_000);

/** x of another model: the same activations in another basis, as a model that was trained anew would have them. */
function otherModel(x: Float32Array, D: number): Float32Array {
  const rng = createRng('another model');
  const order = Array.from({ length: D }, (_, d) => d);
  for (let d = D - 1; d > 0; d--) {
    const e = rng.int(d + 1);
    [order[d], order[e]] = [order[e]!, order[d]!];
  }
  const signs = Array.from({ length: D }, () => (rng.uniform() < 0.5 ? -1 : 1));
  return x.map((_, i) => signs[i % D]! * x[Math.floor(i / D) * D + order[i % D]!]!);
}

/** The mean of the K-th largest activation: what a threshold SAE of the same L0 has. */
async function thresholdOf(sae: Sae<'topk'>, x: Float32Array): Promise<number> {
  const { B, K, values } = await encode(sae, x);
  let sum = 0;
  for (let b = 0; b < B; b++) sum += values[(b + 1) * K - 1]!;
  return sum / B;
}

/** The demo's SAE as the kind that is usual in each format. */
async function right(format: FormatName): Promise<Sae> {
  const { D, F, K, metadata } = demo.config;
  const x = rows.right![0]!;
  const theta = await thresholdOf(demo, x);
  const rng = createRng('thresholds');
  const threshold = Float32Array.from({ length: F }, () => theta * (0.9 + 0.2 * rng.uniform()));
  const fold = demo.b_enc.map((b, f) => {
    let sum = b;
    for (let d = 0; d < D; d++) sum -= demo.b_dec[d]! * demo.W_enc[f * D + d]!;
    return sum;
  });
  const { config: _, ...arrays } = demo;
  const shared = { D, F, metadata };
  switch (format) {
    case 'saelens':
      return { config: { ...shared, architecture: 'jumprelu' }, ...arrays, threshold };
    case 'dictionary-learning':
      return { config: { ...shared, architecture: 'batchtopk', K, threshold: theta }, ...arrays };
    case 'gemma-scope':
      return {
        config: { ...shared, architecture: 'jumprelu', subtractDecoderBias: false },
        ...arrays,
        b_enc: fold,
        threshold,
      };
    default:
      return demo;
  }
}

type Planted = { sae: Sae; x?: (x: Float32Array) => Float32Array; rows?: string };
const scaled = (a: Float32Array, factor: number | ((i: number) => number)) =>
  a.map((v, i) => v * (typeof factor === 'number' ? factor : factor(i)));

/** Undefined where a format or kind has nothing that could go wrong in this way. */
const corruptions: Record<string, (sae: Sae) => Planted | undefined> = {
  transposed: (sae) => {
    const { D, F } = sae.config;
    // The bytes of [D,F] taken for [F,D].
    return { sae: { ...sae, W_enc: sae.W_enc.map((_, i) => sae.W_enc[(i % F) * D + Math.floor(i / F)]!) } };
  },
  'b_dec flag flipped': (sae) => ({
    sae: {
      ...sae,
      config: {
        ...sae.config,
        subtractDecoderBias: sae.config.subtractDecoderBias === false,
      } as Sae['config'],
    },
  }),
  'threshold dropped': (sae) =>
    sae.threshold ? { sae: { ...sae, threshold: new Float32Array(sae.config.F) } } : undefined,
  'log threshold not exponentiated': (sae) =>
    sae.threshold ? { sae: { ...sae, threshold: sae.threshold.map(Math.log) } } : undefined,
  'BatchTopK as ReLU': (sae) => {
    if (sae.config.architecture !== 'batchtopk') return undefined;
    const { K: _k, threshold: _t, ...config } = sae.config;
    return { sae: { ...sae, config: { ...config, architecture: 'relu' } } };
  },
  'wrong hook': (sae) => ({ sae, rows: 'wrong hook' }),
  'layer off by one': (sae) => ({ sae, rows: 'layer off by one' }),
  // Only where rows are normalised: OpenAI's and SAELens's layer_norm, and the demo's SAE is neither. It moves values by 1 / (2 D).
  'biased std': () => undefined,
  'norm factor not folded': (sae) => ({
    sae: {
      ...sae,
      W_enc: scaled(sae.W_enc, 1 / 3),
      W_dec: scaled(sae.W_dec, 3),
      b_dec: scaled(sae.b_dec, 3),
    },
  }),
  'bf16 threshold': (sae) =>
    sae.threshold
      ? { sae: { ...sae, threshold: bfloat16ToFloat32(float32ToBfloat16(sae.threshold)) } }
      : undefined,
  'decoder norm not folded': (sae) => {
    const rng = createRng('norms');
    const norms = Array.from({ length: sae.config.F }, () => Math.exp(0.7 * rng.normal()));
    return { sae: { ...sae, W_dec: scaled(sae.W_dec, (i) => norms[Math.floor(i / sae.config.D)]!) } };
  },
  'wrong model': (sae) => ({ sae, x: (x) => otherModel(x, sae.config.D) }),
};

const written: FormatName[] = ['saelens', 'sparsify', 'dictionary-learning', 'gemma-scope'];

test('of the planted mistakes nine in ten and more are caught, and nothing that is right is refused', async () => {
  const root = await mkdtemp(join(tmpdir(), 'saekit-self-test-'));
  const lines: string[] = [];
  let [caught, planted, alarms, good] = [0, 0, 0, 0];
  try {
    for (const format of written) {
      const made = await right(format);
      const folder = join(root, format);
      await saveSae(folderWriter(folder), made, { format });
      const sae = await loadSae(folder);
      const first = await selfTest(sae, { x: rows.right![0]!, recorded: {} });
      expect(selfTestText(first)).toMatch(/^measured \(L0 \d/);
      const recorded: RecordedNumbers = {
        fvu: first.fvu!,
        ...(sae.config.architecture === 'topk' ? {} : { l0: first.l0! }),
      };
      for (const x of rows.right!) {
        good++;
        const result = await selfTest(sae, { x, recorded });
        if (result.state !== 'verified') alarms++;
      }
      good++;
      if ((await selfTest(sae)).state !== 'unverified') alarms++;
      for (const [name, plant] of Object.entries(corruptions)) {
        const wrong = plant(sae);
        if (!wrong) {
          lines.push(`${format.padEnd(20)} ${name.padEnd(32)} cannot happen`);
          continue;
        }
        planted++;
        const x = rows[wrong.rows ?? 'right']![1]!.subarray(0, 400 * sae.config.D);
        const result = await selfTest(wrong.sae, { x: wrong.x ? wrong.x(x) : x, recorded });
        if (result.state === 'wrong') caught++;
        lines.push(
          `${format.padEnd(20)} ${name.padEnd(32)} ${result.state === 'wrong' ? 'caught' : 'missed'}`,
        );
      }
    }
  } finally {
    await rm(root, { recursive: true });
  }
  lines.push(`caught ${caught} of ${planted}; false alarms ${alarms} of ${good}`);
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('golden/sae/self-test.txt');
  expect(caught / planted).toBeGreaterThanOrEqual(0.9);
  expect([alarms, good >= 30]).toEqual([0, true]);
}, 300_000);
