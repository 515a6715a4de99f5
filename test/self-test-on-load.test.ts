// Who loads an SAE is told what is known of it: wrong ones are refused with the reason, others are verified, measured or unverified.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { joinChunks, writeSafetensors } from '../src/formats/index.ts';
import { loadSae, type Sae, saveSae, selfTest, selfTestText } from '../src/sae/index.ts';
import { summarise } from '../src/server/runs.ts';
import type { EvalResult } from '../src/shared/eval.ts';
import { tablesManifestSchema } from '../src/shared/feature-tables.ts';
import { folderWriter } from '../src/store/index.ts';
import { recordedNumbers, recordedTest } from '../src/workflows/recorded.ts';
import { saekit } from './fixtures/command-line.ts';
import { createWorkspace, type Workspace } from './fixtures/workspace.ts';
import { early } from './support/demo.ts';
import { golden, goldenNumbers } from './support/golden-saes.ts';

let workspace: Workspace;
let run: string;
let other: string;
/** The run without its evaluation. */
let bare: string;
beforeAll(async () => {
  workspace = createWorkspace();
  run = workspace.newFolder();
  // Held-out text of more than some hundred rows, which is the least that numbers are compared on.
  other = join(workspace.path, 'other.jsonl');
  const documents = readFileSync(workspace.corpus, 'utf8').trim().split('\n');
  const turned = documents.map((line) => {
    const { text } = JSON.parse(line) as { text: string };
    return JSON.stringify({ text: text.split(' ').reverse().join(' ') });
  });
  writeFileSync(other, turned.join('\n'));
  const { status, stderr } = await saekit([...workspace.small(run, 300), '--heldout', other]);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  bare = workspace.newFolder();
  cpSync(run, bare, { recursive: true });
  rmSync(join(bare, 'eval.json'));
}, 120_000);
afterAll(() => workspace.remove());

/** The run with an SAE that was changed; its eval.json and run.json stay. */
async function spoiled(change: (sae: Sae) => Sae): Promise<string> {
  const folder = workspace.newFolder();
  cpSync(run, folder, { recursive: true });
  await saveSae(folderWriter(folder), change(await loadSae(run)));
  return folder;
}
const elsewhere = (sae: Sae): Sae => ({ ...sae, b_dec: sae.b_dec.map((b) => b + 50) });
const louder = (sae: Sae): Sae => ({ ...sae, W_dec: sae.W_dec.map((w) => 2.5 * w) });
const few = ['--max-tokens', '2000', '--ce-tokens', '500', '--kl-tokens', '100', '--features', '0', '--json'];

describe('loadSae', () => {
  it('takes one threshold of few bits among numbers of float16, and refuses it among those of 32 bits', async () => {
    const demo = (await loadSae(early.path)) as Sae<'topk'>;
    // 91 / 128: the nearest of bfloat16 to 0.71, and one of float16.
    const config = { ...demo.config, architecture: 'batchtopk' as const, threshold: 0.7109375 };
    const half = (value: number): number => {
      const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 10);
      return value === 0 ? 0 : unit * Math.round(value / unit);
    };
    const short = { ...demo, config, b_enc: demo.b_enc.map(half) };
    expect((await selfTest(short)).state).toBe('unverified');
    expect((await selfTest({ ...demo, config })).reasons.join()).toMatch(/were rounded to bfloat16/);
  });

  it('knows a layer of a cross-layer transcoder by what fires', async () => {
    const name = 'circuit-tracer-clt-jumprelu';
    const sae = await loadSae(golden(name));
    const { B, x, z } = goldenNumbers(name);
    const l0 = z.filter((value) => value !== 0).length / B;
    const on = { x: Float32Array.from(x), recorded: { l0 } };
    const found = await selfTest(sae, on);
    expect(found).toMatchObject({ state: 'verified', l0, density: { rows: B } });
    expect(found).not.toHaveProperty('fvu');
    expect(selfTestText(found)).toBe('verified (L0 4.6); near what was recorded');
    // Too far off, unless the record is of a few documents.
    const off = { ...on, recorded: { l0: l0 / 1.36 } };
    expect((await selfTest(sae, off)).state).toBe('wrong');
    expect((await selfTest(sae, { ...off, recorded: { ...off.recorded, few: true } })).state).toBe(
      'verified',
    );
    const without = await selfTest({ ...sae, threshold: sae.threshold!.fill(0) }, on);
    expect(without).toMatchObject({
      state: 'wrong',
      reasons: [
        expect.stringMatching(/^L0 is .* on these activations/),
        expect.stringMatching(/threshold was lost/),
      ],
    });
  });

  it('refuses weights that cannot be right, with the reason', async () => {
    const folder = workspace.newFolder();
    const demo = await loadSae(early.path);
    const { D, F } = demo.config;
    // The bytes of [D,F] taken for [F,D]: what a reader does that transposes what should not be.
    const W_dec = demo.W_dec.map((_, i) => demo.W_dec[(i % F) * D + Math.floor(i / F)]!);
    await saveSae(folderWriter(folder), { ...demo, W_dec });
    await expect(loadSae(folder)).rejects.toThrow(
      new RegExp(
        `\\(TopK, D ${D}, F ${F}, K ${early.K}\\) is not used\\. Encoder and decoder rows .* \\(mean cosine -?0\\.0\\d\\d\\): one of the two is transposed`,
      ),
    );
    const { status, stderr } = await saekit(['eval', folder]);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/is not used\..*transposed/)]);
  }, 60_000);
});

describe('eval', () => {
  const notesOf = (folder: string): string =>
    (JSON.parse(readFileSync(join(folder, 'eval.json'), 'utf8')) as EvalResult).notes.join('\n');

  it('says that an SAE is as recorded', async () => {
    const folder = await spoiled((sae) => sae);
    const { status, stdout } = await saekit(['eval', folder, ...few]);
    expect(status).toBe(0);
    expect(notesOf(folder)).toMatch(
      /Self-test of the SAE .*: verified \(L0 .*, FVU .*\); near what was recorded/,
    );
    expect((JSON.parse(stdout) as EvalResult).notes.join()).toMatch(/verified/);
  }, 60_000);

  it('refuses one that is not, before it measures; --allow-wrong measures it and says so', async () => {
    const folder = await spoiled(louder);
    const before = notesOf(folder);
    const refused = await saekit(['eval', folder, ...few]);
    expect(refused.stderr).toMatch(/is not used\. FVU is .* was recorded: another hook.* --allow-wrong/s);
    expect([refused.status, notesOf(folder)]).toEqual([1, before]);
    expect((await saekit(['eval', folder, ...few, '--allow-wrong'])).status).toBe(0);
    expect(notesOf(folder)).toMatch(/Self-test of the SAE .*: wrong \(L0 .*\): FVU is/);
  }, 90_000);

  it('compares nothing on other text, but refuses what explains nothing', async () => {
    const given = ['--heldout', other];
    const folder = await spoiled((sae) => sae);
    expect((await saekit(['eval', folder, ...few, ...given])).status).toBe(0);
    expect(notesOf(folder)).toMatch(/measured \(L0 .*nothing was recorded to compare with/);
    const refused = await saekit(['eval', await spoiled(elsewhere), ...few, ...given]);
    expect([refused.status, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/It explains nothing of these/),
    ]);
  }, 90_000);
});

describe('an SAE of half the width of the hook', () => {
  it.each([['eval'], ['index']])(
    '%s refuses it, with --allow-wrong too, and writes nothing',
    async (command) => {
      const { config, b_enc, ...whole } = await loadSae(run);
      const D = config.D / 2;
      const half = (rows: Float32Array) => rows.filter((_, i) => i % config.D < D);
      const arrays = { W_enc: half(whole.W_enc), W_dec: half(whole.W_dec), b_dec: half(whole.b_dec), b_enc };
      const folder = workspace.newFolder();
      await saveSae(folderWriter(folder), { ...arrays, config: { ...config, D } } as Sae);
      const before = readdirSync(folder);
      const given = ['--model', workspace.model, '--data', other, '--allow-wrong'];
      const { status, stderr } = await saekit([command, folder, ...given]);
      expect([status, stderr]).toEqual([
        1,
        expect.stringMatching(new RegExp(`reads activations of width ${D}, but .* has width ${config.D}`)),
      ]);
      expect(readdirSync(folder)).toEqual(before);
    },
    60_000,
  );
});

describe('at another hook than the SAE was trained at', () => {
  const hookOf = (folder: string, file: string): string =>
    (JSON.parse(readFileSync(join(folder, file), 'utf8')) as EvalResult).hook;
  const there = ['--hook', 'hook_embed', '--allow-wrong'];

  it('eval compares nothing and leaves the eval.json of the run', async () => {
    const before = readFileSync(join(run, 'eval.json'), 'utf8');
    const { status, stdout, stderr } = await saekit(['eval', run, ...few, ...there]);
    expect([status, stderr]).toEqual([
      0,
      expect.stringMatching(/Not saved.*trained at blocks\..*hook_embed/),
    ]);
    const { hook, selfTest, notes } = JSON.parse(stdout) as EvalResult;
    expect([hook, selfTest?.state]).toEqual(['hook_embed', expect.stringMatching(/measured|wrong/)]);
    expect(notes.join()).not.toMatch(/as recorded|was recorded/);
    expect(readFileSync(join(run, 'eval.json'), 'utf8')).toBe(before);
  }, 60_000);

  it('index asks for a folder of its own and compares nothing', async () => {
    const args = ['index', run, '--max-tokens', '2000', '--json', ...there];
    const refused = await saekit(args);
    expect([refused.status, refused.stderr]).toEqual([2, expect.stringMatching(/--out/)]);
    const out = workspace.newFolder();
    const { status, stdout } = await saekit([...args, '--out', out]);
    expect([status, JSON.parse(stdout).selfTest.state]).toEqual([0, expect.stringMatching(/measured|wrong/)]);
  }, 60_000);

  it('push refuses an eval.json of there', async () => {
    const folder = workspace.newFolder();
    cpSync(run, folder, { recursive: true });
    const file = join(folder, 'eval.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace(/"hook": "[^"]*"/, '"hook": "hook_embed"'));
    expect(hookOf(folder, 'eval.json')).toBe('hook_embed');
    const { status, stderr } = await saekit(['push', folder, 'me/sae']);
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/eval\.json is not of the place .*hook_embed/),
    ]);
  });
});

describe('train --init-from', () => {
  const from = (folder: string, out: string): string[] => [...workspace.small(out), '--init-from', folder];

  it('refuses an SAE that is not of this hook', async () => {
    const bad = await saekit(from(await spoiled(elsewhere), workspace.newFolder()));
    expect([bad.status, bad.stderr]).toEqual([2, expect.stringMatching(/It explains nothing of these/)]);
  }, 60_000);

  it('says that the run reads another hook than it was trained at', async () => {
    const { stdout, stderr } = await saekit([...from(run, workspace.newFolder()), '--hook', 'hook_embed']);
    expect(stdout + stderr).toMatch(
      /It is of another place: it was trained at blocks\.\d\.hook_resid_post, this is hook_embed\./,
    );
  }, 60_000);

  it('says what is known of it', async () => {
    const out = workspace.newFolder();
    const { status, stdout } = await saekit(from(run, out));
    expect(stdout).toMatch(/SAE to start from, .*, is measured \(L0 .*, FVU .*\)/);
    expect([status, existsSync(join(out, 'sae_weights.safetensors'))]).toEqual([0, true]);
  }, 60_000);
});

describe('index', () => {
  const index = (folder: string, ...more: string[]): string[] => [
    ...['index', folder, '--max-tokens', '2000', '--out', workspace.newFolder(), '--json', ...more],
  ];
  it('looks at the first rows of its text, and keeps what it found with the tables', async () => {
    const { status, stdout } = await saekit(index(run));
    const manifest = tablesManifestSchema.loose().parse(JSON.parse(stdout));
    expect([status, manifest.selfTest]).toEqual([
      0,
      { state: 'verified', reasons: [], l0: expect.any(Number), fvu: expect.any(Number) },
    ]);
  }, 60_000);

  it('refuses an SAE that is not of this hook before it writes; --allow-wrong indexes it and says so', async () => {
    const folder = await spoiled(elsewhere);
    const args = index(folder);
    const refused = await saekit(args);
    expect([refused.status, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/is not used\. .*--allow-wrong/s),
    ]);
    expect(existsSync(args[args.indexOf('--out') + 1]!)).toBe(false);
    const { stdout } = await saekit([...args, '--allow-wrong']);
    expect(JSON.parse(stdout).selfTest).toMatchObject({
      state: 'wrong',
      reasons: [expect.any(String), expect.any(String)],
    });
  }, 60_000);
});

it('a layer of a cross-layer transcoder is indexed, and measured by what fires; eval and steering refuse it', async () => {
  const folder = workspace.newFolder();
  const { W_enc, b_dec, config } = await loadSae(run);
  const { D, F } = config;
  const f32 = (shape: readonly number[], data: Float32Array) => ({ dtype: 'F32' as const, shape, data });
  mkdirSync(folder);
  const write = (name: string, tensors: Parameters<typeof writeSafetensors>[0]): void =>
    writeFileSync(join(folder, name), joinChunks(writeSafetensors(tensors)));
  write('W_enc_0.safetensors', {
    W_enc_0: f32([F, D], W_enc),
    b_enc_0: f32([F], new Float32Array(F).fill(-2)),
    b_dec_0: f32([D], b_dec),
  });
  write('W_dec_0.safetensors', { W_dec_0: f32([F, 2, D], Float32Array.from([...W_enc, ...W_enc])) });
  writeFileSync(
    join(folder, 'config.yaml'),
    'model_kind: cross_layer_transcoder\nfeature_input_hook: hook_resid_post\nfeature_output_hook: hook_mlp_out\n',
  );
  const file = join(folder, 'W_enc_0.safetensors');
  const on = ['--model', workspace.model, '--data', workspace.corpus, '--json'];
  const out = workspace.newFolder();
  const { status, stdout } = await saekit(['index', file, ...on, '--max-tokens', '2000', '--out', out]);
  expect([status, JSON.parse(stdout).selfTest]).toEqual([
    0,
    { state: 'measured', reasons: [], l0: expect.any(Number) },
  ]);
  for (const args of [
    ['eval', file, ...on],
    ['generate', '--steer', `${file}:3=2`, '--model', workspace.model, '--prompt', 'a'],
  ])
    expect((await saekit(args)).stderr).toMatch(
      /cross-layer transcoder, which writes to 2 layers.* neither measured nor put into the model/,
    );
}, 60_000);

describe('what was found with activations is known without them', () => {
  const known = async (folder: string): Promise<unknown> => (await recordedTest(folder)).state;

  it('of few documents loosely', async () => {
    const folder = await spoiled((sae) => sae);
    const path = join(folder, 'eval.json');
    const evaluation = JSON.parse(readFileSync(path, 'utf8'));
    for (const [n, loosely] of [
      [1, true],
      [20, undefined],
    ] as const) {
      evaluation.candidates[0].fvu.n = n;
      writeFileSync(path, JSON.stringify(evaluation));
      expect((await recordedNumbers(folder))?.few).toBe(loosely);
    }
  });

  it('of a run by the evaluation that it ended with, of others by eval or index; never of a wrong one', async () => {
    expect(await recordedTest(run)).toMatchObject({ state: 'verified', by: 'training' });
    expect(await known(bare)).toBe('unverified');
    const folder = await spoiled((sae) => sae);
    rmSync(join(folder, 'eval.json'));
    expect((await saekit(['index', folder, '--max-tokens', '2000'])).status).toBe(0);
    expect(await recordedTest(folder)).toMatchObject({ state: 'measured', by: 'index' });
    const wrong = await spoiled(louder);
    expect((await saekit(['eval', wrong, ...few, '--allow-wrong'])).status).toBe(0);
    expect(await recordedTest(wrong)).toMatchObject({ state: 'wrong', by: 'eval' });
    // The weights changed after the evaluation: who has activations sees it.
    const { status, stderr } = await saekit(['index', await spoiled(louder), '--max-tokens', '2000']);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/FVU is .* was recorded/)]);
  }, 90_000);

  it('is nothing where other weights or settings lie there than were measured, and where it comes from is neither', async () => {
    const edited = async (change: (cfg: { k: number; metadata: object }) => object) => {
      const folder = await spoiled((sae) => sae);
      const path = join(folder, 'cfg.json');
      writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))));
      return folder;
    };
    const same = await edited((cfg) => ({ ...cfg, metadata: { ...cfg.metadata, model_name: 'elsewhere' } }));
    expect(await recordedTest(same)).toMatchObject({ state: 'verified', by: 'training' });
    const more = await edited((cfg) => ({ ...cfg, k: cfg.k + 1 }));
    for (const folder of [more, await spoiled(louder)]) {
      const { state, reasons } = await recordedTest(folder);
      expect([state, reasons.join()]).toEqual([
        'unverified',
        expect.stringMatching(/not those that eval\.json/),
      ]);
    }
    const { stdout } = await saekit(['inspect', more]);
    expect(stdout).toMatch(/self-test +unverified: Its weights or settings are not those that eval\.json/);
    // Who measures it knows again.
    expect((await saekit(['eval', more, ...few])).status).toBe(0);
    expect((await recordedTest(more)).state).not.toBe('unverified');
  }, 60_000);

  it('compares a published SAE with the L0 that the registry has of it', async () => {
    const registry = join(workspace.path, 'saes.yaml');
    const item = '  - id: layer_1\n    path: layer_1\n    l0: 71\n';
    writeFileSync(registry, `scope:\n  conversion_func: gemma_2\n  repo_id: a/b\n  saes:\n${item}`);
    vi.stubEnv('SAEKIT_SAE_REGISTRY', registry);
    expect(await recordedNumbers('saelens:scope/layer_1')).toEqual({ l0: 71 });
    expect(await recordedNumbers('saelens:scope/layer_2')).toBeUndefined();
    vi.unstubAllEnvs();
  });

  it('is in the answers of a server and on what is written with it', async () => {
    expect((await summarise('first', run)).selfTest).toMatchObject({ state: 'verified', by: 'training' });
    expect((await summarise('first', bare)).selfTest).toEqual({ state: 'unverified', reasons: [] });
    const { stdout } = await saekit([
      'generate',
      '--steer',
      `${run}:3=1`,
      '--prompt',
      'the',
      '--max-tokens',
      '2',
    ]);
    expect(stdout).toMatch(/SAE verified: measured by the training that made it \(L0 /);
  }, 60_000);
});

describe('without activations every output says unverified', () => {
  const steer = (folder: string): string[] => [
    ...[
      'generate',
      '--sae',
      folder,
      '--latent',
      '3',
      '--strength',
      '1',
      '--prompt',
      'the',
      '--max-tokens',
      '2',
    ],
  ];

  it.each<[string, () => string[]]>([
    ['inspect of a run', () => ['inspect', bare]],
    ['inspect of a run, JSON', () => ['inspect', bare, '--json']],
    ['inspect of an SAE', () => ['inspect', 'test/golden/sae/ours']],
    ['generate', () => steer(bare)],
    [
      'generate --steer',
      () => ['generate', '--steer', `${bare}:3=1`, '--prompt', 'the', '--max-tokens', '2'],
    ],
    ['generate, JSON', () => [...steer(bare), '--json']],
    ['convert', () => ['convert', bare, '--to', 'sparsify', workspace.newFolder()]],
    ['export', () => ['export', workspace.newFolder(), '--steer', `${bare}:3=1`]],
    ['export, JSON', () => ['export', workspace.newFolder(), '--json', '--steer', `${bare}:3=1`]],
    ['convert, JSON', () => ['convert', bare, '--to', 'sparsify', workspace.newFolder(), '--json']],
  ])(
    '%s',
    async (_, args) => {
      const { status, stdout } = await saekit(args());
      expect([status, stdout]).toEqual([0, expect.stringMatching(/unverified/)]);
    },
    60_000,
  );
});
