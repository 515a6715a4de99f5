/**
 * How often the self-test catches an SAE that was loaded wrongly: twelve ways to go wrong, in every kind of every format that is read, beside
 * those that are right. The SAE is the demo's; other kinds are made of it (support/sae-kinds.ts). The count is test/golden/sae/self-test.txt.
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
  loadSae,
  openSae,
  type RecordedNumbers,
  type Sae,
  selfTest,
  selfTestText,
} from '../src/sae/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { LATE as hook, late } from './support/demo.ts';
import { filesOf, kindsOf, otherBasis, type Written } from './support/sae-kinds.ts';

const layer = Number(/\d+/.exec(hook)![0]);
const hooks = {
  right: hook,
  'wrong hook': `blocks.${layer}.hook_mlp_out`,
  'layer off by one': `blocks.${layer - 1}.hook_resid_post`,
};
/** Rows of one sample. */
const ROWS = 1000;
const SAMPLES = 7;

let written: Written[];
/** Samples of rows at each hook; the first is the one that numbers are recorded on. */
const rows: Record<string, Float32Array[]> = {};

beforeAll(async () => {
  const demo = (await loadSae(late.path)) as Sae<'topk'>;
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
  const some = new Float32Array(SAMPLES * ROWS * D);
  for (const [s, sample] of rows.right!.entries()) some.set(sample, s * ROWS * D);
  written = filesOf(await kindsOf(demo, rows.right![0]!, some));
}, 240_000);

type Planted = {
  sae: Sae;
  rows?: keyof typeof hooks;
  /** x, and of a transcoder y, as another model has them. */
  change?: (x: Float32Array) => Float32Array;
};
const scaled = (a: Float32Array, factor: number | ((i: number) => number)) =>
  a.map((v, i) => v * (typeof factor === 'number' ? factor : factor(i)));
const rounded = (a: Float32Array): Float32Array => bfloat16ToFloat32(float32ToBfloat16(a));

/** Undefined where a format or kind has nothing that could go wrong in this way. */
const corruptions: Record<string, (sae: Sae) => Planted | undefined> = {
  transposed: (sae) => {
    const { D, F } = sae.config;
    // The bytes of [D,F] taken for [F,D].
    return { sae: { ...sae, W_enc: sae.W_enc.map((_, i) => sae.W_enc[(i % F) * D + Math.floor(i / F)]!) } };
  },
  'b_dec flag flipped': (sae) => {
    // A transcoder of two widths has no b_dec to subtract; those here have one.
    if (sae.config.Dout === undefined)
      return {
        sae: {
          ...sae,
          config: {
            ...sae.config,
            subtractDecoderBias: sae.config.subtractDecoderBias === false,
          } as Sae['config'],
        },
      };
    const { D } = sae.config;
    const b_enc = sae.b_enc.map((b, f) => {
      let sum = b;
      for (let d = 0; d < D; d++) sum -= sae.b_dec[d]! * sae.W_enc[f * D + d]!;
      return sum;
    });
    return { sae: { ...sae, b_enc } };
  },
  'threshold dropped': (sae) =>
    sae.threshold ? { sae: { ...sae, threshold: new Float32Array(sae.config.F) } } : undefined,
  'log threshold not exponentiated': (sae) =>
    sae.threshold ? { sae: { ...sae, threshold: sae.threshold.map(Math.log) } } : undefined,
  'BatchTopK as ReLU': (sae) => {
    if (sae.config.architecture !== 'batchtopk' && sae.config.architecture !== 'matryoshka') return undefined;
    const { D, F, metadata } = sae.config;
    return { sae: { ...sae, config: { D, F, metadata, architecture: 'relu' } } };
  },
  'wrong hook': (sae) => ({ sae, rows: 'wrong hook' }),
  'layer off by one': (sae) => ({ sae, rows: 'layer off by one' }),
  // x' and xhat' are both sqrt(D / (D - 1)) off: 0.3 % at D 192, 0.2 % at 288.
  'biased std': (sae) => {
    if (sae.config.inputNorm !== 'layer') return undefined;
    const factor = Math.sqrt(sae.config.D / (sae.config.D - 1));
    const back = 1 / factor;
    return {
      sae: {
        ...sae,
        W_enc: scaled(sae.W_enc, factor),
        W_dec: scaled(sae.W_dec, back),
        b_dec: scaled(sae.b_dec, back),
      },
    };
  },
  'norm factor not folded': (sae) => ({
    sae: {
      ...sae,
      W_enc: scaled(sae.W_enc, 1 / 3),
      W_dec: scaled(sae.W_dec, 3),
      b_dec: scaled(sae.b_dec, 3),
    },
  }),
  'bf16 threshold': (sae) => {
    if (sae.threshold) return { sae: { ...sae, threshold: rounded(sae.threshold) } };
    if (!('threshold' in sae.config)) return undefined;
    const threshold = rounded(Float32Array.of(sae.config.threshold))[0]!;
    return { sae: { ...sae, config: { ...sae.config, threshold } } };
  },
  'decoder norm not folded': (sae) => {
    const rng = createRng('norms');
    const norms = Array.from({ length: sae.config.F }, () => Math.exp(0.7 * rng.normal()));
    return { sae: { ...sae, W_dec: scaled(sae.W_dec, (i) => norms[Math.floor(i / sae.config.D)]!) } };
  },
  'wrong model': (sae) => ({ sae, change: (x) => otherBasis(x, sae.config.D, 'another model') }),
};

test('of the planted mistakes nine in ten and more are caught, and nothing that is right is refused', async () => {
  const root = await mkdtemp(join(tmpdir(), 'saekit-self-test-'));
  const lines: string[] = [];
  const missed: Record<string, number> = {};
  let [caught, planted, alarms, good] = [0, 0, 0, 0];
  try {
    for (const [i, { format, kind, write }] of written.entries()) {
      const place = await write(join(root, String(i)));
      const opened = await openSae(place);
      await opened.close();
      expect(opened.format).toBe(format);
      const sae = await loadSae(place);
      const { D, Dout } = sae.config;
      const pair = (
        x: Float32Array,
        right = x,
        change = (v: Float32Array): Float32Array => v,
      ): { x: Float32Array; y?: Float32Array } => ({
        x: change(x),
        ...(Dout === undefined ? {} : { y: change(otherBasis(right, D)) }),
      });
      const first = await selfTest(sae, { ...pair(rows.right![0]!), recorded: {} });
      expect(`${format}, ${kind}: ${selfTestText(first)}`).toMatch(/measured \(L0 \d/);
      const recorded: RecordedNumbers = {
        fvu: first.fvu!,
        ...(sae.config.architecture === 'topk' ? {} : { l0: first.l0! }),
      };
      for (const x of rows.right!) {
        good++;
        if ((await selfTest(sae, { ...pair(x), recorded })).state !== 'verified') {
          alarms++;
          lines.push(`${format} ${kind}: false alarm`);
        }
      }
      good++;
      if ((await selfTest(sae)).state !== 'unverified') alarms++;
      const marks: string[] = [];
      const some = 400 * D;
      for (const [name, plant] of Object.entries(corruptions)) {
        const wrong = plant(sae);
        if (!wrong) {
          marks.push('-');
          continue;
        }
        planted++;
        const of = (which: keyof typeof hooks) => rows[which]![1]!.subarray(0, some);
        const given = pair(of(wrong.rows ?? 'right'), of('right'), wrong.change);
        const isCaught = (await selfTest(wrong.sae, { ...given, recorded })).state === 'wrong';
        if (isCaught) caught++;
        else missed[name] = (missed[name] ?? 0) + 1;
        marks.push(isCaught ? 'x' : 'MISSED');
      }
      lines.push(`${`${format}, ${kind}`.padEnd(46)} ${marks.map((m) => m.padEnd(7)).join('')}`.trimEnd());
    }
  } finally {
    await rm(root, { recursive: true });
  }
  const names = Object.keys(corruptions).map((name, i) => `${i + 1} ${name}`);
  lines.unshift(
    `x caught, - cannot happen: ${names.join(', ')}`,
    `${''.padEnd(47)}${names.map((_, i) => String(i + 1).padEnd(7)).join('')}`.trimEnd(),
  );
  lines.push(
    `missed: ${
      Object.entries(missed)
        .map(([name, n]) => `${name} ${n}`)
        .join(', ') || 'none'
    }`,
    `caught ${caught} of ${planted}; false alarms ${alarms} of ${good}`,
  );
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('golden/sae/self-test.txt');
  expect(caught / planted).toBeGreaterThanOrEqual(0.9);
  expect([alarms, good >= 30]).toEqual([0, true]);
}, 600_000);
