// Every long call of the library takes a signal. Each is stopped at its first look at it, in the middle and at the last: it rejects, and
// leaves no open file, no temporary file and nothing half written. Every function that is exported stands here, as a case or with a reason.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import * as library from '../src/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { startHub } from './fixtures/hub.ts';
import { writeTinyCorpus, writeTinyModel } from './fixtures/tiny-model.ts';
import { root } from './repository.ts';
import { early, late } from './support/demo.ts';

/** Calls that are over in a moment or cannot be left half-way: they run without giving way. */
const SYNCHRONOUS = [
  ...['modelMemory', 'modelMemoryText', 'requireModelMemory', 'requireWritingMemory'],
  ...[
    'chooseRandom',
    'createMoments',
    'createTokenizer',
    'createUnembed',
    'decode',
    'dense',
    'describeSae',
    'selfTestText',
    'editLatent',
    'directionOf',
    'encodeVector',
    'inRows',
    'randomised',
    'expandGrid',
  ],
  ...[
    'fitPca',
    'latentColumn',
    'formatEvalTable',
    'memoryDocuments',
    'model.cost',
    'padBatch',
    'pcaCandidate',
    'joinMemory',
    'peakMemory',
    'planTraining',
    'saeCandidate',
  ],
];
/** Calls that the caller repeats: one batch, one small file. */
const SHORT = [
  ...[
    'createFeatureIndex',
    'createRowReader',
    'folderWriter',
    'packRows',
    // Small files and a header of weights; the sending, pushPlanned, is stopped in push.test.ts.
    'planPush',
    'pushPlanned',
    'readActivationsManifest',
    'readVector',
    'steeredModel',
    // Small files, written at the end.
    'importFeatures',
    // A footer.
    'openFeatureTables',
    // Headers, and one latent.
    'openSae',
    'readLatent',
    'readGrid',
    'readRun',
    'readRunMetrics',
  ],
];
/** Training and harvest stop between steps with their state saved, and say so in their result; their own tests test that. */
const TRAINING = [
  ...[
    'createActivationStream',
    'createActivationStreams',
    'createStoredStream',
    'createTrainer',
    'harvest',
    'resumeGrid',
    'resumeTraining',
    // Rejects, with what was measured kept: steer-report.test.ts.
    'steerReport',
    'trainGrid',
    'trainSae',
  ],
];

const HOOK = 'blocks.0.hook_resid_post';
let work: string;
let modelPath: string;
let saePath: string;
let corpusPath: string;
let model: library.Model;
let sae: library.Sae;
let corpus: library.Corpus;
let batches: library.PackedRows[];
let index: ReturnType<typeof library.createFeatureIndex>;
const out = (): string => join(work, 'out');
const long = 'the river runs under a bridge of light and salt. '.repeat(40);
/** More positions than the engine takes at once. */
const MANY = Array.from({ length: 400 }, () => long.slice(0, 60));

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'saekit-abort-'));
  // What the library unpacks or spools goes to a folder that is watched.
  mkdirSync(join(work, 'tmp'));
  vi.stubEnv('TMPDIR', join(work, 'tmp'));
  modelPath = writeTinyModel(join(work, 'model'));
  writeFileSync(join(modelPath, 'chat_template.jinja'), '{% for m in messages %}{{ m.content }}{% endfor %}');
  corpusPath = writeTinyCorpus(join(work, 'corpus.jsonl'));
  model = await library.openModel(modelPath, { threads: 1 });
  const { D } = model.info;
  const F = 96;
  const rng = createRng('an SAE');
  const normal = (n: number) => Float32Array.from({ length: n }, () => rng.normal());
  const metadata = { hook_name: HOOK, model_hash: model.info.hash, context_size: 32 };
  sae = {
    config: { architecture: 'topk', D, F, K: 8, metadata },
    ...{ W_enc: normal(F * D), b_enc: new Float32Array(F), W_dec: normal(F * D), b_dec: new Float32Array(D) },
  };
  saePath = join(work, 'sae');
  await library.saveSae(library.folderWriter(saePath), sae);
  corpus = await library.openCorpus({ data: [corpusPath] });
  const rows = library.packRows({
    documents: corpus.heldout.count > 2 ? corpus.heldout : corpus.train,
    tokenizer: model.tokenizer!,
    contextLength: 32,
    bosTokenId: model.info.bosTokenId,
    endless: false,
  });
  batches = [];
  for (let next = await rows.next(4); next && batches.length < 4; next = await rows.next(4))
    batches.push(next);
  index = library.createFeatureIndex(F);
  const read = library.createRowReader({ model, hook: HOOK, encode: (x) => library.encode(sae, x) });
  for (const packed of batches) await index.add(await read(packed));
}, 120_000);
afterAll(async () => {
  await model.close();
  await corpus.close();
  vi.unstubAllEnvs();
  rmSync(work, { recursive: true });
});

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}
const read = (packed: library.PackedRows) =>
  library.createRowReader({ model, hook: HOOK, encode: (x) => library.encode(sae, x) })(packed);
const activations = (x: number): Float32Array => new Float32Array(x * sae.config.D).fill(0.5);
const card = { latent: 3, best: { label: 'dna', f1: 0.9 }, examples: [{ value: 5 }] };
const steering = { prompt: 'the', hook: HOOK, maxNewTokens: 4, temperature: 1, topP: 1, seed: 0 };
const trainConfig = () =>
  library.trainConfigSchema.parse({
    ...{ model: modelPath, data: [corpusPath], latents: 64, k: 4, tokens: 8000, batchTokens: 500 },
    ...{ shuffleTokens: 1024, contextLength: 32, workers: 1 },
  });

const onnxPath = join(root, 'test/golden/onnx/bert/model.onnx');

type Case = (signal: AbortSignal) => Promise<unknown>;
const cases: Record<string, Case> = {
  openOnnx: async (signal) => (await library.openOnnx(onnxPath, { signal })).close(),
  describeOnnx: (signal) => library.describeOnnx(onnxPath, { signal }),
  openModel: async (signal) => (await library.openModel(modelPath, { signal })).close(),
  'model.run': (signal) => model.run(batchOf(MANY), { hooks: [HOOK], signal }),
  'model.runWithCache': (signal) => model.runWithCache(MANY, HOOK, { signal }),
  'model.runWithHooks': (signal) => model.runWithHooks('the', { [HOOK]: () => {} }, { signal, loss: true }),
  'model.runFrom': async (signal) => {
    const { cache, batch } = await model.runWithCache('the river', HOOK);
    return await model.runFrom(HOOK, cache[HOOK]!, batch, { signal });
  },
  'model.lossPerToken': (signal) => model.lossPerToken(batchOf(MANY), { signal }),
  'model.lastResidual': (signal) => model.lastResidual(batchOf(MANY), { signal }),
  'model.headLogits': (signal) => model.headLogits(new Float32Array(model.info.D), { signal }),
  'model.generate': (signal) => model.generate('the', { maxNewTokens: 5, signal }),
  sentenceVectors: (signal) => library.sentenceVectors(model, MANY, { maxTokens: 16, signal }),
  'model.generateBatch': (signal) =>
    model.generateBatch(['the', 'a'], { maxNewTokens: 5, capture: HOOK, signal }),
  writeText: (signal) => library.writeText(model, { prompt: 'the', chat: true, maxNewTokens: 5, signal }),
  'model.stream': (signal) => drain(model.stream('the', { maxNewTokens: 5, signal })),
  'model.chat': (signal) => model.chat([{ role: 'user', content: 'the' }], { maxNewTokens: 5, signal }),
  runWithSaes: (signal) => library.runWithSaes(model, ['the river'], [sae], { signal }),
  encodeTexts: (signal) => drain(library.encodeTexts(model, sae, MANY, { batchTokens: 4000, signal })),
  encode: (signal) => library.encode(sae, activations(2000), { signal }),
  createEncoder: async (signal) => {
    const encoder = await library.createEncoder(sae);
    await encoder.encode(activations(2000), { signal }).finally(() => encoder.close());
  },
  loadSae: (signal) => library.loadSae(saePath, { signal }),
  selfTest: (signal) => library.selfTest(sae, { x: activations(2000), signal }),
  testOnText: (signal) => library.testOnText(sae, saePath, { model, hook: HOOK, data: [corpusPath], signal }),
  convertSae: (signal) => library.convertSae(early.folder, out(), { to: 'sparsify', signal }),
  exportModel: (signal) => library.exportModel(out(), { model: modelPath, signal }),
  exportFeatures: (signal) =>
    library.exportFeatures(
      library.exportFeaturesConfigSchema.parse({
        ...{ run: late.folder, out: out(), latents: [7, 9, 11] },
      }),
      { signal },
    ),
  indexSae: (signal) =>
    library.indexSae(
      library.indexConfigSchema.parse({
        ...{ sae: saePath, model: modelPath, data: [corpusPath], maxTokens: 500, out: out() },
        allowWrong: true,
      }),
      { signal },
    ),
  saveSae: (signal) => library.saveSae(library.folderWriter(out()), sae, { signal }),
  openCorpus: async (signal) => {
    const tables = ['rows.csv.gz', 'none.parquet'].map((name) => join(root, 'test/golden/data', name));
    await (await library.openCorpus({ data: [corpusPath, ...tables], signal })).close();
  },
  'openCorpus, streamed': async (signal) => {
    const data = [join(root, 'test/golden/data/grouped.parquet')];
    await (await library.openCorpus({ data, stream: true, signal })).close();
  },
  tokenize: (signal) =>
    library.tokenize(
      library.tokenizeConfigSchema.parse({ model: modelPath, data: [corpusPath], contextLength: 32 }),
      { folder: out(), signal },
    ),
  openActivations: async (signal) => {
    const source = await library.openActivations(join(root, 'test/golden/activations/safetensors-many'), {
      signal,
    });
    const x = new Float32Array(source.rows * source.D);
    await source.read(0, source.rows, x).finally(() => source.close());
  },
  verifyActivations: (signal) => library.verifyActivations(join(root, 'test/golden/shards/f32'), { signal }),
  openLatentCache: async (signal) => {
    const cache = await library.openLatentCache(join(root, 'test/golden/activations/delphi/layers.1'), {
      signal,
    });
    await cache.close();
  },
  evaluate: (signal) =>
    library.evaluate({
      ...{ model, hook: HOOK, batches, mean: new Float32Array(sae.config.D), resamples: 10, klTokens: 100 },
      candidates: [library.saeCandidate('SAE', sae)],
      signal,
    }),
  evaluateRows: (signal) =>
    library.evaluateRows({
      ...{ model: model.info, hook: HOOK, D: sae.config.D, resamples: 10, signal },
      batches: someRows(),
      candidates: [library.saeCandidate('SAE', sae)],
    }),
  chooseInteresting: (signal) =>
    library.chooseInteresting(index, { W_dec: sae.W_dec, unembed: library.createUnembed(model), signal }),
  logitEffects: (signal) => library.logitEffects(model, sae, [...Array(90).keys()], { signal }),
  buildCards: (signal) =>
    library.buildCards(index, [...Array(sae.config.F).keys()], {
      ...{ read, W_dec: sae.W_dec, unembed: library.createUnembed(model), signal },
      tokenStrings: (ids) => model.tokenizer!.tokenStrings(ids),
    }),
  measureSae: async (signal) =>
    await library.measureSae({
      ...{ model, hook: HOOK, sae, heldout: corpus.heldout, contextLength: 32, excludeSpecial: true },
      ...{
        excludeFirst: 0,
        moments: await moments(),
        maxTokens: 500,
        ceTokens: 200,
        klTokens: 50,
        seed: 0,
        cards: 2,
      },
      signal,
    }),
  findTarget: (signal) =>
    library.findTarget({ sae: saePath, model: modelPath, data: [corpusPath] }, { signal }),
  evaluateSae: (signal) => {
    const config = { sae: saePath, model: modelPath, data: [corpusPath], maxTokens: 500, ceTokens: 200 };
    return library.evaluateSae(
      library.evalConfigSchema.parse({ ...config, klTokens: 50, features: 2, allowWrong: true }),
      {
        signal,
      },
    );
  },
  listModels: (signal) => library.listModels({ signal }),
  'inspect, a model': (signal) => library.inspect(modelPath, { signal }),
  'inspect, an SAE': (signal) => library.inspect(saePath, { signal }),
  'inspect, a corpus': (signal) => library.inspect(corpusPath, { signal }),
  createVector: (signal) =>
    library.createVector(model, { hook: HOOK, positive: ['the river'], negative: ['a stone'], signal }),
  writeVector: (signal) => {
    const [positive, negative] = ['plus.txt', 'minus.txt'].map((name) => {
      writeFileSync(join(work, name), `the ${name}\n`);
      return join(work, name);
    }) as [string, string];
    mkdirSync(out(), { recursive: true });
    return library.writeVector(model, {
      hook: HOOK,
      positive,
      negative,
      out: join(out(), 'v.safetensors'),
      signal,
    });
  },
  openInterventions: (signal) =>
    library.openInterventions([library.interventionSchema.parse({ sae: saePath, latent: 3, value: 1 })], {
      signal,
    }),
  steer: (signal) =>
    library.steer(model, [{ sae, hook: HOOK, latent: 3, mode: 'patch', text: 'the river' }], { signal }),
  steeredSamples: (signal) =>
    library.steeredSamples(model, sae, { ...steering, latent: 3, strength: 5, signal }),
  findSteering: (signal) =>
    library.findSteering(model, sae, [card as library.FeatureCard], { ...steering, signal }),
  estimateTraining: (signal) => library.estimateTraining(trainConfig(), { folder: 'runs', signal }),
};

const batchOf = (texts: readonly string[]): library.TokenBatch =>
  library.padBatch(texts.map((text) => model.tokenizer!.encode(text, { bos: true })));
async function moments(): Promise<library.Moments> {
  const all = library.createMoments(sae.config.D);
  const rng = createRng('moments');
  await all.add(
    Float32Array.from({ length: 100 * sae.config.D }, () => rng.normal()),
    100,
  );
  return all;
}

async function* someRows() {
  const N = 20;
  for (let i = 0; i < 3; i++) {
    const blocks = new Int32Array(N).fill(i);
    yield { x: activations(N).map((x, d) => x * Math.sin(d)), tokens: new Int32Array(N), blocks };
  }
}

/** A signal that is raised when it is looked at for the n-th time. */
function tripwire(n: number): { signal: AbortSignal; looks(): number } {
  const controller = new AbortController();
  const { signal } = controller;
  let looks = 0;
  const look = (): void => {
    if (++looks === n) controller.abort();
  };
  const aborted = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted')!;
  Object.defineProperty(signal, 'aborted', {
    get() {
      look();
      return aborted.get!.call(signal) as boolean;
    },
  });
  signal.throwIfAborted = () => {
    look();
    AbortSignal.prototype.throwIfAborted.call(signal);
  };
  return { signal, looks: () => looks };
}

/** Files that this process has open below the working folder and the goldens; known on Linux only. */
function openFiles(): string[] {
  try {
    return readdirSync('/proc/self/fd')
      .flatMap((fd) => {
        try {
          return [readlinkSync(`/proc/self/fd/${fd}`)];
        } catch {
          return [];
        }
      })
      .filter((path) => path.startsWith(work) || path.startsWith(root))
      .filter((path) => !path.includes('node_modules') && !path.includes('/dist/'))
      .sort();
  } catch {
    return [];
  }
}
const state = () => ({
  open: openFiles(),
  // An empty folder for the result may be left.
  files: readdirSync(work, { recursive: true, encoding: 'utf8' })
    .filter((path) => path !== 'out')
    .sort(),
});

describe('a signal', () => {
  it.each(Object.entries(cases))(
    'stops %s and nothing is left behind',
    async (name, call) => {
      const never = tripwire(Number.POSITIVE_INFINITY);
      await call(never.signal);
      rmSync(out(), { recursive: true, force: true });
      // One look at the start would not stop it in the middle.
      const looks = never.looks();
      expect(looks).toBeGreaterThanOrEqual(2);
      const before = state();
      // How often what measures for a time looks differs from call to call: not its last look, then.
      const last = name === 'estimateTraining' ? 3 : looks;
      for (const n of new Set([1, Math.ceil(last / 2), last])) {
        const { signal } = tripwire(n);
        await expect(call(signal), `stopped at look ${n} of ${looks}`).rejects.toThrow(
          expect.objectContaining({ name: expect.stringMatching(/^(AbortError|Interrupted)$/) }),
        );
        rmSync(out(), { recursive: true, force: true });
        await expect.poll(state, { message: `left at look ${n} of ${looks}` }).toEqual(before);
      }
    },
    60_000,
  );

  it.each<
    [string, () => string, (access: NonNullable<Parameters<typeof library.openSae>[1]>) => Promise<unknown>]
  >([
    [
      'openModel',
      () => modelPath,
      async (access) => {
        const opened = await library.openModel('tiny/one', access);
        await opened.close();
        return opened.info.hash === model.info.hash;
      },
    ],
    [
      'openSae',
      () => early.folder,
      async (access) => {
        const opened = await library.openSae('tiny/one', access);
        await opened.close();
        return opened.format === 'saelens';
      },
    ],
  ])('stops a download from the hub, which goes on from there: %s', async (_, source, open) => {
    const files = Object.fromEntries(
      readdirSync(source(), { withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ name }) => [name, new Uint8Array(readFileSync(join(source(), name)))]),
    );
    const hub = await startHub({ 'models/tiny/one': { files } });
    for (const [name, value] of Object.entries({ HF_HUB_OFFLINE: '', HF_ENDPOINT: hub.url, HF_HOME: out() }))
      vi.stubEnv(name, value);
    try {
      const before = openFiles();
      const controller = new AbortController();
      const opening = open({
        signal: controller.signal,
        onDownload: ({ done }) => {
          if (done > 0) controller.abort();
        },
      });
      await expect(opening).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
      expect(openFiles()).toEqual(before);
      expect(await open({})).toBe(true);
      const left = readdirSync(out(), { recursive: true, encoding: 'utf8' });
      expect(left.filter((path) => /incomplete|tmp/.test(path))).toEqual([]);
    } finally {
      await hub.close();
      rmSync(out(), { recursive: true, force: true });
    }
  });

  it('is taken by every function that is exported, unless it is over in a moment', () => {
    const functions = Object.entries(library)
      .filter(([, value]) => typeof value === 'function' && !/^class\b/.test(String(value)))
      .map(([name]) => name);
    const known = [
      ...Object.keys(cases).map((name) => name.replace(/,.*/, '')),
      ...[...SYNCHRONOUS, ...SHORT, ...TRAINING],
    ];
    expect(functions.filter((name) => !known.includes(name))).toEqual([]);
    const methods = Object.entries(model)
      .filter(([name, value]) => typeof value === 'function' && name !== 'close')
      .map(([name]) => `model.${name}`);
    expect(methods.filter((name) => !known.includes(name))).toEqual([]);
  });
});
