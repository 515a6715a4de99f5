import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  formatOfGolden,
  golden,
  goldenNames,
  goldenNumbers,
  goldenSaes,
  isCrossLayer,
} from '../../../test/support/golden-saes.ts';
import '../../platform/node.ts';
import { folderWriter } from '../../store/index.ts';
import { subtractsBias } from '../check.ts';
import { decode, dense } from '../decode.ts';
import { encode } from '../encode.ts';
import { loadSae, openSae, readLatent, readSaeConfig } from '../load.ts';
import { saveSae } from '../save.ts';
import type { Sae } from '../types.ts';
import type { FormatName } from './registry.ts';

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}

async function expectNumbers(sae: Sae, name: string): Promise<void> {
  const { x, z, xhat, sequences } = goldenNumbers(name);
  const rows = Float32Array.from(x);
  const code = await encode(sae, rows, sequences ? { sequences } : {});
  expect(largestDifference(dense(code, sae.config.F), z)).toBeLessThan(2e-5);
  expect(largestDifference(decode(sae, code, { x: rows }), xhat)).toBeLessThan(2e-5);
}

test.each(goldenNames)('gives the numbers of the program that the format is of: %s', async (name) => {
  const opened = await openSae(golden(name));
  await opened.close();
  expect(opened.format).toBe(formatOfGolden(name));
  const sae = await loadSae(golden(name));
  expect(await readSaeConfig(golden(name))).toEqual(sae.config);
  await expectNumbers(sae, name);
});

// Its authors chose it on activations that are not scaled, so that TopK and threshold have the same L0 (their post_processing.py).
test('the threshold of Llama Scope takes the scale of the activations: L0 is top_k on the rows it was chosen on', async () => {
  const name = 'llama-scope-decoder-norm';
  const {
    top_k,
    d_model,
    dataset_average_activation_norm: norm,
  } = JSON.parse(readFileSync(join(golden(name), 'hyperparams.json'), 'utf8')) as {
    top_k: number;
    d_model: number;
    dataset_average_activation_norm: { in: number };
  };
  const { B, x } = goldenNumbers(name);
  const sae = await loadSae(golden(name));
  const scale = Math.sqrt(d_model) / norm.in;
  const l0 = async (threshold: Float32Array): Promise<number> => {
    const { values } = await encode({ ...sae, threshold }, Float32Array.from(x));
    return values.filter((value) => value !== 0).length / B;
  };
  expect(await l0(sae.threshold!)).toBe(top_k);
  expect(await l0(sae.threshold!.map((theta) => theta / scale))).not.toBe(top_k);
});

test('a layer of a cross-layer transcoder says where it reads and writes, and is not written', async () => {
  const places: Record<string, [string, string[]]> = {
    'circuit-tracer-clt-relu': [
      'blocks.1.hook_resid_mid',
      ['blocks.1.hook_mlp_out', 'blocks.2.hook_mlp_out', 'blocks.3.hook_mlp_out'],
    ],
    'gemma-scope-2-clt': [
      'blocks.1.mlp.hook_in',
      ['blocks.1.hook_mlp_out', 'blocks.2.hook_mlp_out', 'blocks.3.hook_mlp_out'],
    ],
    'gemma-scope-2-crosscoder': [
      'blocks.5.hook_resid_post',
      ['blocks.5.hook_resid_post', 'blocks.8.hook_resid_post', 'blocks.9.hook_resid_post'],
    ],
  };
  for (const [name, [hook_name, hook_names_out]] of Object.entries(places)) {
    const sae = await loadSae(golden(name));
    expect(sae.config).toMatchObject({ D: 6, Dout: 18, places: 3 });
    expect(sae.config.metadata).toMatchObject({ hook_name, hook_names_out });
    const folder = join(tmpdir(), `saekit-never-${process.pid}`);
    for (const format of ['saelens', 'sparsify', 'onnx'] as const)
      await expect(saveSae(folderWriter(folder), sae, { format })).rejects.toThrow(
        /cross-layer transcoder is read, not written/,
      );
    expect(existsSync(folder)).toBe(false);
  }
});

test('a latent is read alone, without the rest', async () => {
  for (const name of [
    'saelens-standard',
    'sparsify-topk',
    'dictionary-learning-AutoEncoder',
    'gemma-scope',
    'gemma-scope-2-clt',
    'circuit-tracer-clt-relu',
  ]) {
    const sae = await loadSae(golden(name));
    const opened = await openSae(golden(name));
    const { D, Dout = D } = sae.config;
    const { W_enc, W_dec } = await readLatent(opened, 5);
    expect([...W_enc]).toEqual([...sae.W_enc.subarray(5 * D, 6 * D)]);
    expect([...W_dec]).toEqual([...sae.W_dec.subarray(5 * Dout, 6 * Dout)]);
    await expect(readLatent(opened, 16)).rejects.toThrow(/Latent 16 is not there: this SAE has 0 to 15/);
    await opened.close();
  }
});

describe('what is written is what was read', () => {
  const written: Partial<Record<FormatName, string[]>> = {
    // SAELens has no TopK transcoders and no GroupMax.
    saelens: goldenNames.filter((name) => !/^sparsify-(skip|groupmax)/.test(name) && !isCrossLayer(name)),
    sparsify: [
      'sparsify-topk',
      'sparsify-groupmax',
      'sparsify-groupmax-transcoder',
      'sparsify-skip-transcoder',
      'saelens-abstopk',
      'dictionary-learning-AutoEncoderTopK',
    ],
    'dictionary-learning': goldenNames.filter((name) =>
      /^dictionary.*TopK|AutoEnc|gemma-scope$|saelens-gated/.test(name),
    ),
    'gemma-scope': [
      'gemma-scope',
      'gemma-scope-2',
      'llama-scope',
      'saelens-standard-x',
      'saelens-transcoder',
    ],
  };
  for (const [format, names] of Object.entries(written) as [FormatName, string[]][])
    test.each(names)(`${format}: %s`, async (name) => {
      const folder = await mkdtemp(join(tmpdir(), 'saekit-formats-'));
      try {
        const sae = await loadSae(golden(name));
        await saveSae(folderWriter(folder), sae, { format });
        const again = await loadSae(folder);
        // Bit for bit, and by the numbers of the program it came from.
        for (const array of ['W_enc', 'b_enc', 'W_dec', 'b_dec', 'r_mag', 'b_mag', 'W_skip'] as const)
          expect(again[array]).toEqual(sae[array]);
        if (sae.threshold && again.threshold) expect(again.threshold).toEqual(sae.threshold);
        if (format === 'saelens') expect(again.config).toEqual(sae.config);
        await expectNumbers(again, name);
      } finally {
        await rm(folder, { recursive: true });
      }
    });

  // x - b_dec is read as x, so b_enc is another, and the numbers are still those of the program that the SAE came from.
  test.each<[string, FormatName]>([
    ['saelens-jumprelu', 'gemma-scope'],
    ['saelens-standard', 'gemma-scope'],
    ['dictionary-learning-BatchTopKSAE', 'gemma-scope'],
    ['dictionary-learning-MatryoshkaBatchTopKSAE', 'gemma-scope'],
    ['saelens-jumprelu', 'dictionary-learning'],
  ])('%s -> %s with the decoder bias folded', async (name, format) => {
    const folder = await mkdtemp(join(tmpdir(), 'saekit-formats-'));
    try {
      const sae = await loadSae(golden(name));
      expect(subtractsBias(sae.config)).toBe(true);
      await saveSae(folderWriter(folder), sae, { format });
      const again = await loadSae(folder);
      expect(subtractsBias(again.config)).toBe(false);
      expect(largestDifference(again.b_enc, sae.b_enc)).toBeGreaterThan(0.01);
      for (const array of ['W_enc', 'W_dec', 'b_dec'] as const) expect(again[array]).toEqual(sae[array]);
      await expectNumbers(again, name);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('a K that is no whole number is rounded where a class wants one', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'saekit-formats-'));
    try {
      const sae = await loadSae(golden('dictionary-learning-BatchTopKSAE'));
      await saveSae(
        folderWriter(folder),
        { ...sae, config: { ...sae.config, K: 2.5 } as Sae['config'] },
        { format: 'dictionary-learning' },
      );
      const again = await loadSae(folder);
      expect(again.config).toEqual({ ...sae.config, K: 3 });
      // from_pretrained(ae.pt, k of config.json) refuses two that differ.
      expect(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))).toMatchObject({
        trainer: { k: 3 },
      });
      await expectNumbers(again, 'dictionary-learning-BatchTopKSAE');
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  // test/oracles/sae/read_back.py: of each file that was read and gave the right numbers, what it was to the bit.
  const readBack = JSON.parse(readFileSync(join(goldenSaes, '../read-back.json'), 'utf8')) as Record<
    string,
    { from: string; format: FormatName; file: string; sha256: string }
  >;
  test.each(Object.entries(readBack))(
    'what is written is what the libraries have read: %s',
    async (_, { from, format, file, sha256 }) => {
      const folder = await mkdtemp(join(tmpdir(), 'saekit-formats-'));
      try {
        await saveSae(folderWriter(folder), await loadSae(join(goldenSaes, from)), { format });
        const bytes = readFileSync(join(folder, file));
        expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );

  test('what a format has no place for is refused by name', async () => {
    const folder = folderWriter(join(tmpdir(), 'saekit-never'));
    const refuse = async (name: string, format: FormatName): Promise<string> =>
      await saveSae(folder, await loadSae(golden(name)), { format }).then(
        () => 'written',
        (error: Error) => error.message,
      );
    expect(await refuse('saelens-gated', 'sparsify')).toMatch(/sparsify has no place for Gated, D 6, F 16/);
    expect(await refuse('saelens-layer-norm', 'gemma-scope')).toMatch(/no place for ReLU.*normalised input/);
    expect(await refuse('saelens-gated', 'gemma-scope')).toMatch(/no place for Gated/);
    expect(await refuse('saelens-transcoder', 'dictionary-learning')).toMatch(
      /has no class for ReLU transcoder/,
    );
    expect(await refuse('saelens-standard', 'openai')).toMatch(
      /OpenAI is read, not written. Written are saelens, sparsify/,
    );
  });
});
