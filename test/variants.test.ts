// Every kind of SAE from config to run folder: metrics, evaluation, the folder read back, a resume with the same bits, and what each option
// of a kind changes.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decode,
  encode,
  evaluate,
  loadSae,
  openModel,
  runWithSaes,
  saeCandidate,
  trainSae,
} from '../src/index.ts';
import {
  evalConfigSchema,
  type TrainConfigInput,
  trainConfigSchema,
  VARIANTS,
} from '../src/shared/config.ts';
import { UsageError } from '../src/shared/errors.ts';
import { readRunMetrics } from '../src/store/index.ts';
import { evaluateSae, resumeTraining } from '../src/workflows/index.ts';
import { writeTinyCorpus, writeTinyModel } from './fixtures/tiny-model.ts';

let place: string;
let folders = 0;
let base: TrainConfigInput;
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'saekit-variants-'));
  base = {
    model: writeTinyModel(join(place, 'model')),
    data: [writeTinyCorpus(join(place, 'corpus.jsonl'))],
    ...{ latents: 128, k: 8, batchTokens: 256, tokens: 256 * 16, shuffleTokens: 1024, lr: 3e-3, workers: 0 },
    ...{ logEverySteps: 4, checkpointEveryTokens: 256 * 4, evalTokens: 500 },
  };
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

const newFolder = () => join(place, `run-${folders++}`);
const weightsOf = (folder: string) => readFileSync(join(folder, 'sae_weights.safetensors'));
async function train(change: Partial<TrainConfigInput>, folder = newFolder()): Promise<string> {
  await trainSae(trainConfigSchema.parse({ ...base, ...change }), { folder });
  return folder;
}

describe('a run of each kind', () => {
  it.each(VARIANTS.map((variant) => [variant]))(
    '%s: metrics, evaluation and the SAE read back say the same; a stopped run goes on with the same bits',
    async (variant) => {
      const folder = newFolder();
      const result = await trainSae(trainConfigSchema.parse({ ...base, variant }), { folder });
      const { latents } = result.measured!.evaluation.candidates[0]!;
      const lines = await readRunMetrics(folder);
      expect(lines).toHaveLength(4);
      expect(Math.abs(latents!.l0.value! / Number(lines.at(-1)!.l0) - 1)).toBeLessThan(
        // From a small start its code still grows fast, and the threshold is that of the last batch.
        variant === 'transcoder' ? 0.35 : 0.25,
      );
      const penalised = ['relu', 'gated', 'jumprelu'].includes(variant);
      expect('coefficient' in lines.at(-1)!).toBe(penalised);

      const sae = await loadSae(folder);
      const x = Float32Array.from({ length: 3 * sae.config.D }, (_, i) => Math.sin(i));
      const [read, kept] = [await encode(sae, x), await encode(result.sae!, x)];
      expect(read.values.length).toBe(kept.values.length);
      for (const [j, value] of read.values.entries()) expect(value).toBeCloseTo(kept.values[j]!, 4);

      const stopped = newFolder();
      const controller = new AbortController();
      const first = await trainSae(trainConfigSchema.parse({ ...base, variant }), {
        folder: stopped,
        signal: controller.signal,
        onProgress: ({ step }) => step === 7 && controller.abort(),
      });
      expect(first.status).toBe('interrupted');
      expect((await resumeTraining({ folder: stopped })).status).toBe('finished');
      expect(weightsOf(stopped).equals(weightsOf(folder))).toBe(true);
    },
  );
});

describe('a transcoder', () => {
  it('is measured where it gives, beside a linear map, and again from its folder: the same numbers', async () => {
    const folder = newFolder();
    const config = trainConfigSchema.parse({ ...base, variant: 'skip-transcoder', evalTokens: 2000 });
    const { measured, sae } = await trainSae(config, { folder });
    const { evaluation } = measured!;
    const hooks = { hook: 'blocks.0.hook_resid_mid', outputHook: 'blocks.0.hook_mlp_out' };
    expect(evaluation).toMatchObject(hooks);
    expect(evaluation.candidates.map(({ name }) => name)).toEqual(['SAE', 'linear map']);
    expect(sae!.config.metadata).toMatchObject({ hook_name: hooks.hook, hook_name_out: hooks.outputHook });

    // Once more on one sequence: what the model itself gives there is perfect, and the FVU of the transcoder by hand.
    const model = await openModel(config.model!);
    const T = 40;
    const flat = (value: number) => new Int32Array(T).fill(value);
    const ids = Int32Array.from({ length: T }, (_, i) => 2 + ((7 * i * i) % 200));
    const packed = {
      R: 1,
      T,
      ids,
      mask: new Uint8Array(T).fill(1),
      documents: flat(0),
      starts: flat(-1),
      ends: flat(-1),
    };
    const { cache } = await model.run({ ...packed, B: 1 }, { hooks: [hooks.hook, hooks.outputHook] });
    const [x, y] = [cache[hooks.hook]!.data, cache[hooks.outputHook]!.data];
    const result = await evaluate({
      ...{ model, ...hooks, batches: [packed], mean: new Float32Array(32), resample: 'sequences' },
      candidates: [
        { name: 'right', kind: 'control', reconstruct: () => ({ xhat: y.slice() }) },
        saeCandidate('SAE', sae!),
      ],
    });
    await model.close();
    const [right, found] = result.candidates;
    expect(right!.fvu.value).toBe(0);
    expect(right!.deltaCe.value).toBeCloseTo(0, 6);
    const out = decode(sae!, await encode(sae!, x), { x });
    const mean = Float64Array.from({ length: 32 }, (_, d) => {
      let sum = 0;
      for (let t = 0; t < T; t++) sum += y[t * 32 + d]! / T;
      return sum;
    });
    const squares = (of: (j: number) => number) => y.reduce((sum, v, j) => sum + (v - of(j)) ** 2, 0);
    expect(found!.fvu.value).toBeCloseTo(squares((j) => out[j]!) / squares((j) => mean[j % 32]!), 4);

    const again = await evaluateSae(evalConfigSchema.parse({ sae: folder, maxTokens: 2000, features: 0 }));
    expect(again.evaluation.candidates[0]!.fvu.value).toBeCloseTo(evaluation.candidates[0]!.fvu.value!, 6);
    expect(again.evaluation.candidates[0]!.deltaCe.value).toBeCloseTo(
      evaluation.candidates[0]!.deltaCe.value!,
      6,
    );
  });
});

describe('hook_z', () => {
  it('is read with its heads side by side, by every part of a run', async () => {
    const folder = newFolder();
    const hook = 'blocks.1.attn.hook_z';
    const config = trainConfigSchema.parse({ ...base, hook, variant: 'jumprelu' });
    const { measured } = await trainSae(config, { folder });
    expect(measured!.evaluation.candidates[0]!.deltaCe.value).not.toBeNull();
    const sae = await loadSae(folder);
    expect(sae.config).toMatchObject({ flattened: true, D: 32 });
    expect(JSON.parse(readFileSync(join(folder, 'cfg.json'), 'utf8')).reshape_activations).toBe('hook_z');

    const model = await openModel(config.model!);
    const { cache } = await model.runWithCache('The quick brown fox', hook);
    const { data, dims } = cache[hook]!;
    expect(dims).toEqual([1, dims[1], 4, 8]);
    const { saes } = await runWithSaes(model, 'The quick brown fox', [sae], { excludeSpecial: false });
    await model.close();
    const xhat = decode(sae, await encode(sae, data));
    for (const [j, error] of saes[0].error.data.entries()) expect(error).toBeCloseTo(data[j]! - xhat[j]!, 4);
    // What no vector is, is refused before anything is done.
    await expect(train({ hook: 'blocks.1.attn.hook_pattern' })).rejects.toThrow(
      /one vector per token.*hook_z/,
    );
  });
});

describe('--token-bias', () => {
  it('is part of the SAE in its folder, and of its evaluation there', async () => {
    const folder = newFolder();
    const config = trainConfigSchema.parse({ ...base, tokenBias: true });
    const { measured, sae: kept } = await trainSae(config, { folder });
    const sae = await loadSae(folder);
    expect(sae.b_token!.length).toBe(258 * 32);
    expect([...sae.b_token!]).toEqual([...kept!.b_token!]);
    const again = await evaluateSae(evalConfigSchema.parse({ sae: folder, maxTokens: 500, features: 0 }));
    const fvu = ({ evaluation }: { evaluation: typeof again.evaluation }) =>
      evaluation.candidates[0]!.fvu.value!;
    expect(fvu(again)).toBeCloseTo(fvu(measured!), 6);
    // Without the biases it is another SAE.
    const model = await openModel(config.model!);
    const { cache, batch } = await model.runWithCache('The quick brown fox', 'blocks.0.hook_resid_post');
    await model.close();
    const { ids } = batch;
    const x = cache['blocks.0.hook_resid_post']!.data;
    const code = await encode(sae, x);
    expect(() => decode(sae, code)).toThrow(/bias for every token/);
    const { b_token: _, ...rest } = sae;
    const out = decode(rest, code).map((v, j) => v + sae.b_token![ids[Math.floor(j / 32)]! * 32 + (j % 32)]!);
    expect([...decode(sae, code, { ids })].every((v, j) => Math.abs(v - out[j]!) < 1e-5)).toBe(true);
  });
});

/** An option, a run with it, and the run of the same kind without it. */
const options: readonly (readonly [
  flag: string,
  change: Partial<TrainConfigInput>,
  without: Partial<TrainConfigInput>,
])[] = [
  ['--variant', { variant: 'batch-topk' }, {}],
  ['--l0', { variant: 'relu', l0: 20 }, { variant: 'relu' }],
  ['--sparsity-coefficient', { variant: 'relu', l0: 0, sparsityCoefficient: 5 }, { variant: 'relu', l0: 0 }],
  [
    '--sparsity-warmup-tokens',
    { variant: 'gated', l0: 0, sparsityWarmupTokens: 2048 },
    { variant: 'gated', l0: 0 },
  ],
  ['--penalty-power', { variant: 'relu', penaltyPower: 0.5 }, { variant: 'relu' }],
  ['--bandwidth', { variant: 'jumprelu', bandwidth: 0.4 }, { variant: 'jumprelu' }],
  [
    '--output-hook',
    { variant: 'transcoder', outputHook: 'blocks.0.hook_resid_post' },
    { variant: 'transcoder' },
  ],
  ['--prefixes', { variant: 'matryoshka', prefixes: [16, 128] }, { variant: 'matryoshka' }],
];

describe('options of some kinds', () => {
  it.each(options)('%s: another SAE', async (_flag, change, without) => {
    const [one, other] = [
      await train({ ...change, evalTokens: 0 }),
      await train({ ...without, evalTokens: 0 }),
    ];
    expect(weightsOf(one).equals(weightsOf(other))).toBe(false);
  });

  it('what a kind has no use for is refused with what to do', async () => {
    const refused: readonly (readonly [Partial<TrainConfigInput>, RegExp])[] = [
      [{ l0: 20 }, /--l0 is of relu, gated and jumprelu; topk takes --k 20/],
      [{ variant: 'relu', l0: 500 }, /l0 is 500 but there are only 128 latents/],
      [{ resampleTokens: 1024, auxk: 4 }, /AuxK and resampling are two ways/],
      [{ resampleTokens: 1024, freeze: 'decoder' }, /--freeze decoder forbids/],
      [{ resampleTokens: 10_000 }, /nothing would start anew in 4096 tokens/],
      [{ variant: 'relu', auxk: 4 }, /AuxK does nothing for relu/],
      [
        { outputHook: 'blocks.0.hook_mlp_out' },
        /--output-hook is of transcoder and skip-transcoder; this is topk/,
      ],
      [{ variant: 'transcoder', hook: 'hook_embed' }, /hook_embed is in no block.*--output-hook/],
      [
        { variant: 'transcoder', hook: 'blocks.0.hook_mlp_out' },
        /gives another place than it reads; both are blocks.0.hook_mlp_out/,
      ],
      [
        { variant: 'transcoder', outputHook: 'blocks.0.mlp_out' },
        /has no hook "blocks.0.mlp_out".*blocks.0.hook_mlp_out/,
      ],
      [{ variant: 'relu', bandwidth: 0.1 }, /--bandwidth is of jumprelu; this is relu/],
      [{ variant: 'jumprelu', penaltyPower: 0.5 }, /--penalty-power is of relu and gated/],
      [{ variant: 'batch-topk', signed: true }, /--signed is of topk; this is batch-topk/],
      [{ variant: 'gated', multiTopk: true }, /--multi-topk is of topk; this is gated/],
      [{ prefixes: [16, 128] }, /--prefixes is of matryoshka; this is topk/],
      [
        { variant: 'matryoshka', prefixes: [16, 64] },
        /prefixes are 16, 64; they must grow and end at .* 128/,
      ],
    ];
    for (const [change, message] of refused) {
      await expect(train(change)).rejects.toThrow(message);
      await expect(train(change)).rejects.toBeInstanceOf(UsageError);
    }
  });
});
