// Every option of training does something: a run that differs in it alone has other weights, other rows, or other files. The table must
// name all fields of the schema, so that a new option comes with its effect.
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TrainResult, trainSae } from '../src/index.ts';
import { type TrainConfigInput, trainConfigSchema, trainFields } from '../src/shared/config.ts';
import { readRunMetrics } from '../src/store/index.ts';
import { writeTinyCorpus, writeTinyModel } from './fixtures/tiny-model.ts';
import { read } from './repository.ts';

let place: string;
let folders = 0;
let base: TrainConfigInput;
let plain: Outcome;

/** What a run leaves behind that an option may change. */
type Outcome = {
  readonly result: TrainResult;
  readonly folder: string;
  readonly weights: string;
  readonly evalRows: number;
};

async function train(change: Partial<TrainConfigInput> = {}): Promise<Outcome> {
  const folder = join(place, `run-${folders++}`);
  const result = await trainSae(trainConfigSchema.parse({ ...base, ...change }), { folder });
  const weights = createHash('sha256').update(readFileSync(join(folder, 'sae_weights.safetensors')));
  return {
    result,
    folder,
    weights: weights.digest('hex'),
    evalRows: result.measured?.evaluation.rows ?? 0,
  };
}

beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), 'saekit-options-'));
  base = {
    model: writeTinyModel(join(place, 'model')),
    data: [writeTinyCorpus(join(place, 'corpus.jsonl'))],
    ...{ latents: 128, k: 8, batchTokens: 256, tokens: 256 * 16, shuffleTokens: 1024, lr: 3e-3, workers: 0 },
    ...{ logEverySteps: 4, checkpointEveryTokens: 256 * 4, evalTokens: 500, auxk: 16, deadWindowTokens: 256 },
  };
  plain = await train();
  // AuxK has something to do.
  expect((await readRunMetrics(plain.folder)).some(({ dead }) => Number(dead) > 0)).toBe(true);
}, 60_000);
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** Options that train another SAE. */
const changesWeights: { readonly [name in keyof TrainConfigInput]?: () => Partial<TrainConfigInput> } = {
  model: () => ({ model: writeTinyModel(join(place, 'other-model'), { rope_theta: 500 }) }),
  hook: () => ({ hook: 'blocks.1.hook_resid_post' }),
  data: () => ({ data: [writeTinyCorpus(join(place, 'other.jsonl'), 60)] }),
  textField: () => {
    const path = join(place, 'fields.jsonl');
    const lines = readFileSync(base.data![0]!, 'utf8').trim().split('\n');
    const turned = lines.map((line) => {
      const { text } = JSON.parse(line) as { text: string };
      return JSON.stringify({ text: 'nothing', body: text.toUpperCase() });
    });
    writeFileSync(path, turned.join('\n'));
    return { data: [path], textField: 'body' };
  },
  latents: () => ({ latents: 256 }),
  k: () => ({ k: 4 }),
  tokens: () => ({ tokens: 256 * 12 }),
  batchTokens: () => ({ batchTokens: 128 }),
  contextLength: () => ({ contextLength: 32 }),
  recipe: () => ({ recipe: 'short' }),
  lr: () => ({ lr: 1e-3 }),
  warmupTokens: () => ({ warmupTokens: 256 * 8 }),
  decayTokens: () => ({ decayTokens: 0 }),
  auxk: () => ({ auxk: 0 }),
  auxkCoefficient: () => ({ auxkCoefficient: 1 }),
  deadWindowTokens: () => ({ deadWindowTokens: 256 * 16 }),
  resampleTokens: () => ({ resampleTokens: 256 * 4, auxk: undefined }),
  freeze: () => ({ freeze: 'decoder' }),
  multiTopk: () => ({ multiTopk: true }),
  ema: () => ({ ema: 0.9 }),
  signed: () => ({ signed: true }),
  tokenBias: () => ({ tokenBias: true }),
  initFrom: () => ({ initFrom: plain.folder }),
  excludeSpecial: () => ({ excludeSpecial: false }),
  excludeFirst: () => ({ excludeFirst: 4 }),
  shuffleTokens: () => ({ shuffleTokens: 512 }),
  seed: () => ({ seed: 1 }),
  dataSeed: () => ({ dataSeed: 1 }),
  // Another order of sums, so other last bits.
  shards: () => ({ shards: 4 }),
};

/** Options that leave the SAE as it is, bit for bit, and what they do instead. */
const leavesWeights: {
  readonly [name in keyof TrainConfigInput]?: readonly [
    () => Partial<TrainConfigInput>,
    (outcome: Outcome) => void | Promise<void>,
  ];
} = {
  workers: [
    () => ({ workers: 2 }),
    ({ result }) =>
      expect([plain.result.plan.settings.workers, result.plan.settings.workers]).toEqual([0, 2]),
  ],
  pipeline: [
    () => ({ pipeline: plain.result.progress!.overlap ? 'alternate' : 'overlap' }),
    ({ result }) => expect(result.progress!.overlap).toBe(!plain.result.progress!.overlap),
  ],
  logEverySteps: [
    () => ({ logEverySteps: 2 }),
    async ({ folder }) => {
      expect(await readRunMetrics(folder)).toHaveLength(8);
      expect(await readRunMetrics(plain.folder)).toHaveLength(4);
    },
  ],
  tensorboard: [
    () => ({ tensorboard: true }),
    ({ folder }) => {
      const events = (of: string) => readdirSync(of).filter((name) => name.includes('tfevents')).length;
      expect([events(plain.folder), events(folder)]).toEqual([0, 1]);
    },
  ],
  checkpointEveryTokens: [
    () => ({ checkpointEveryTokens: 256 * 6 }),
    ({ folder }) => {
      const saved = (of: string) => readdirSync(join(of, 'checkpoints')).sort();
      expect([saved(plain.folder), saved(folder)]).toEqual([
        ['step-12', 'step-8'],
        ['step-12', 'step-6'],
      ]);
    },
  ],
  evalTokens: [() => ({ evalTokens: 100 }), ({ evalRows }) => expect(evalRows).toBeLessThan(plain.evalRows)],
  $schema: [
    () => ({ $schema: 'docs/train-config.schema.json' }),
    ({ result }) => expect(result.plan.config.$schema).toBe('docs/train-config.schema.json'),
  ],
};

/** Options that need other data than these, with the test that shows their effect. */
const elsewhere: Readonly<Record<string, readonly [file: string, flag: string]>> = {
  activations: ['test/stored-activations.test.ts', '--activations'],
  device: ['test/webgpu.slow.test.ts', '--device'],
  lowMemory: ['test/model-memory.slow.test.ts', '--low-memory'],
  heldoutShare: ['test/stored-activations.test.ts', '--heldout-share'],
  heldout: ['test/stored-activations.test.ts', '--heldout'],
  variant: ['test/variants.test.ts', '--variant'],
  outputHook: ['test/variants.test.ts', '--output-hook'],
  l0: ['test/variants.test.ts', '--l0'],
  sparsityCoefficient: ['test/variants.test.ts', '--sparsity-coefficient'],
  sparsityWarmupTokens: ['test/variants.test.ts', '--sparsity-warmup-tokens'],
  penaltyPower: ['test/variants.test.ts', '--penalty-power'],
  bandwidth: ['test/variants.test.ts', '--bandwidth'],
  prefixes: ['test/variants.test.ts', '--prefixes'],
  roles: ['test/data.test.ts', '--roles'],
  stream: ['test/data.test.ts', '--stream'],
  keepNearDuplicates: ['test/data.test.ts', '--keep-near-duplicates'],
};

describe('every option of train does something', () => {
  it('and is named here', () => {
    const named = [...Object.keys(changesWeights), ...Object.keys(leavesWeights), ...Object.keys(elsewhere)];
    expect(named.sort()).toEqual(Object.keys(trainFields.shape).sort());
    for (const [file, flag] of Object.values(elsewhere)) expect(read(file)).toContain(`'${flag}'`);
  });

  it.each(Object.entries(changesWeights))('%s: another SAE', async (_name, change) => {
    expect((await train(change())).weights).not.toBe(plain.weights);
  });

  it.each(Object.entries(leavesWeights))(
    '%s: the same SAE, and its effect',
    async (_name, [change, effect]) => {
      const outcome = await train(change());
      expect(outcome.weights).toBe(plain.weights);
      await effect(outcome);
    },
  );

  it('and the same config gives the same bits', async () => {
    expect((await train()).weights).toBe(plain.weights);
  });
});
