import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startHub, type TestHub } from '../../test/fixtures/hub.ts';
import { goldenNumbers, golden as goldenPath } from '../../test/support/golden-saes.ts';
import { joinChunks, readSafetensors, writeSafetensors } from '../formats/index.ts';
import { fromBytes } from '../platform/memory.ts';
import '../platform/node.ts';
import {
  decode,
  dense,
  encode,
  type FormatName,
  type LatentRows,
  loadSae,
  openSae,
  readLatent,
  type Sae,
  saveSae,
} from '../sae/index.ts';
import { createRng } from '../shared/rng.ts';
import { folderWriter } from '../store/index.ts';
import { parseSaeId } from './sae.ts';

const golden = (path: string): Uint8Array =>
  readFileSync(fileURLToPath(new URL(`../../test/golden/sae/formats/${path}`, import.meta.url)));
let hub: TestHub;
let home = '';
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'saekit-hub-sae-'));
  const scope = {
    files: {
      'README.md': 'SAEs',
      'layer_1/width_16/average_l0_3/params.npz': golden(
        'gemma-scope/layer_1/width_16/average_l0_3/params.npz',
      ),
      'layer_2/width_16/average_l0_9/params.npz': golden(
        'gemma-scope/layer_1/width_16/average_l0_3/params.npz',
      ),
      'openai/resid_post_mlp/1.pt': golden('openai-topk/1.pt'),
    },
  };
  const old = Object.fromEntries(
    ['cfg.json', 'sae_weights.safetensors'].map((file) => [
      `blocks.1/${file}`,
      golden(`saelens-v3-relu/${file}`),
    ]),
  );
  const cfg = JSON.parse(new TextDecoder().decode(old['blocks.1/cfg.json'])) as object;
  const normed = JSON.stringify({ ...cfg, normalize_activations: 'expected_average_only_in' });
  // A name with a colon, as wandb writes them.
  old['scaled:v1/cfg.json'] = new TextEncoder().encode(normed);
  old['scaled:v1/sae_weights.safetensors'] = old['blocks.1/sae_weights.safetensors']!;
  hub = await startHub({ 'models/google/scope': scope, 'models/lab/gpt2': { files: old } });
  const registry = join(home, 'saes.yaml');
  writeFileSync(
    registry,
    `gpt2-res:
  config_overrides:
    model_from_pretrained_kwargs:
      center_writing_weights: true
  conversion_func: null
  model: gpt2-small
  repo_id: lab/gpt2
  saes:
  - id: one
    path: blocks.1
mlp-tm:
  conversion_func: null
  repo_id: lab/gpt2
  saes:
  - id: scaled
    norm_scaling_factor: 1.5
    path: scaled:v1
  - id: not
    norm_scaling_factor: 1.5
    path: blocks.1
`,
  );
  vi.stubEnv('SAEKIT_SAE_REGISTRY', registry);
  vi.stubEnv('HF_ENDPOINT', hub.url);
  vi.stubEnv('HF_HOME', home);
  vi.stubEnv('HF_HUB_OFFLINE', '');
  vi.stubEnv('HF_TOKEN', '');
});
afterAll(async () => {
  await hub.close();
  rmSync(home, { recursive: true });
});

test('a folder or a file within a repository is an SAE; only its own files are fetched', async () => {
  const sae = await loadSae('google/scope/layer_1/width_16/average_l0_3');
  expect(sae.config).toMatchObject({ architecture: 'jumprelu', D: 6, F: 16, metadata: { l0: 3 } });
  expect(hub.seen.filter(({ path }) => path.includes('layer_2/')).length).toBe(0);
  const other = await loadSae('google/scope/openai/resid_post_mlp/1.pt');
  expect(other.config).toMatchObject({
    architecture: 'topk',
    inputNorm: 'layer',
    metadata: { hook_name: 'blocks.1.hook_resid_post' },
  });
});

test('an SAE that is named in the registry is read with what the registry says of it', async () => {
  expect((await loadSae('lab/gpt2/blocks.1')).config.inputNorm).toBeUndefined();
  expect((await loadSae('saelens:gpt2-res/one')).config.inputNorm).toBe('centre');
  const ranged = await openSae('saelens:gpt2-res/one', { byRange: true });
  await ranged.close();
  expect(ranged.plan.config.inputNorm).toBe('centre');
});

describe('published in a form of its own, read by its name in the registry', () => {
  /** The files that lie beside what is opened, under a folder of the repository. */
  const filesOf = (name: string, under = ''): Record<string, Uint8Array> => {
    const from = /\.\w+$/.test(goldenPath(name)) ? dirname(goldenPath(name)) : goldenPath(name);
    return Object.fromEntries(
      readdirSync(from)
        .filter((file) => file !== 'numbers.json')
        .map((file) => [under + file, new Uint8Array(readFileSync(join(from, file)))]),
    );
  };
  const qresearch = 'DeepSeek-R1-Distill-Llama-8B-SAE-l19';
  const llama = 'Llama-3.1-8B-Instruct-SAE-l19';
  const cases: [golden: string, conversion: string, repo: string, path: string, metadata: object][] = [
    [
      ...(['qwen-scope', 'qwen_scope', 'Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_3', 'layer1.sae.pt'] as const),
      { model_name: 'Qwen/Qwen3-1.7B-Base', hook_name: 'blocks.1.hook_resid_post' },
    ],
    [
      ...(['goodfire', 'goodfire', `Goodfire/${llama}`, `${llama}.pth`] as const),
      { model_name: 'meta-llama/Llama-3.1-8B-Instruct', hook_name: 'blocks.19.hook_resid_post' },
    ],
    [
      ...(['goodfire-qresearch', 'deepseek_r1', `qresearch/${qresearch}`, `${qresearch}.pt`] as const),
      { model_name: 'deepseek-ai/DeepSeek-R1-Distill-Llama-8B', hook_name: 'blocks.19.hook_resid_post' },
    ],
    [
      ...([
        'attention-out',
        'connor_rob_hook_z',
        'ckkissane/attn-saes',
        'gpt2-small_L1_Hcat_z_v9.pt',
      ] as const),
      { model_name: 'gpt2-small', hook_name: 'blocks.1.attn.hook_z' },
    ],
    [
      ...(['circuit-tracer-relu', 'mwhanna_transcoder', 'mwhanna/qwen3-14b-transcoders-lowl0'] as const),
      ...([
        'layer_1.safetensors',
        { model_name: 'Qwen/Qwen3-14B', hook_name_out: 'blocks.1.hook_mlp_out' },
      ] as const),
    ],
    [
      ...(['temporal', 'temporal', 'canrager/temporalSAEs', 'gemma-2-2B/layer_1/temporal'] as const),
      { model_name: 'lab/tiny', hook_name: 'blocks.1.hook_resid_post' },
    ],
    [
      ...(['circuit-tracer-clt-relu', 'mntss_clt_layer_transcoder', 'mntss/clt-tiny', '1'] as const),
      { model_name: 'lab/tiny-model', hook_name: 'blocks.1.hook_resid_mid' },
    ],
    [
      ...(['llamascopium-2025', 'llama_scope_r1_distill', 'fnlp/Llama-Scope-R1-Distill', 'a/L1R'] as const),
      { hook_name: 'blocks.1.hook_resid_post' },
    ],
  ];
  test.each(cases)('%s', async (name, conversion, repo, path, metadata) => {
    const under = path.includes('/') ? `${path}/` : '';
    const files = filesOf(name, under);
    // As published: these two say less than they may.
    if (conversion === 'mwhanna_transcoder') delete files['config.yaml'];
    for (const file of Object.keys(files).filter(
      (one) => name === 'llamascopium-2025' && /safetensors$/.test(one),
    ))
      files[file] = await withoutTensor(
        files[file]!,
        'dataset_average_activation_norm.blocks.1.hook_resid_post',
      );
    const own = await startHub({ [`models/${repo}`]: { files } });
    const registry = join(home, `${conversion}.yaml`);
    writeFileSync(
      registry,
      `release:\n${name === 'temporal' ? '  config_overrides:\n    model_name: lab/tiny\n    hook_name: blocks.1.hook_resid_post\n' : ''}  conversion_func: ${conversion}\n  repo_id: ${repo}\n  saes:\n  - id: one\n    path: ${path}\n    norm_scaling_factor: ${name === 'llamascopium-2025' ? 1.7 : 'null'}\n`,
    );
    vi.stubEnv('HF_ENDPOINT', own.url);
    vi.stubEnv('SAEKIT_SAE_REGISTRY', registry);
    try {
      const sae = await loadSae('saelens:release/one');
      expect(sae.config.metadata).toMatchObject(metadata);
      const { x, z, xhat, sequences } = goldenNumbers(name);
      const rows = Float32Array.from(x);
      const code = await encode(sae, rows, sequences ? { sequences } : {});
      const far = (a: ArrayLike<number>, b: readonly number[]) =>
        b.reduce((most, value, i) => Math.max(most, Math.abs(a[i]! - value)), 0);
      expect(far(dense(code, sae.config.F), z)).toBeLessThan(2e-5);
      expect(far(decode(sae, code, { x: rows }), xhat)).toBeLessThan(2e-5);
    } finally {
      await own.close();
      vi.stubEnv('HF_ENDPOINT', hub.url);
      vi.stubEnv('SAEKIT_SAE_REGISTRY', join(home, 'saes.yaml'));
    }
  });
});

test("an input scale of the registry is folded into SAELens's own files where cfg.json asks for one", async () => {
  const plain = await loadSae('lab/gpt2/blocks.1');
  const scaled = await loadSae('saelens:mlp-tm/scaled');
  expect(scaled.W_enc).toEqual(plain.W_enc.map((w) => w * 1.5));
  expect(scaled.W_dec).toEqual(plain.W_dec.map((w) => w / 1.5));
  expect(scaled.b_dec).toEqual(plain.b_dec.map((b) => b / 1.5));
  expect(scaled.b_enc).toEqual(plain.b_enc);
  // SAELens leaves it out, too, where cfg.json says that nothing is scaled.
  expect((await loadSae('saelens:mlp-tm/not')).W_enc).toEqual(plain.W_enc);
});

test('a path without an SAE is answered with where there are some', async () => {
  await expect(loadSae('google/scope')).rejects.toThrow(
    /no SAE at its top that can be read here\. There are 3, at layer_1\/width_16\/average_l0_3, .*write the path behind the name/,
  );
  await expect(loadSae('google/scope/layer_1')).rejects.toThrow(/no SAE at layer_1 .*at layer_1\/width_16/);
});

async function withoutTensor(bytes: Uint8Array, name: string): Promise<Uint8Array> {
  const file = await readSafetensors(fromBytes(bytes), 'file');
  expect([...file.tensors.keys()]).toContain(name);
  const kept = [...file.tensors].filter(([key]) => key !== name);
  const tensors = await Promise.all(
    kept.map(async ([key, { shape }]) => {
      const data = (await file.read(key)) as Float32Array;
      return [key, { dtype: 'F32' as const, shape, data }] as const;
    }),
  );
  return joinChunks(writeSafetensors(Object.fromEntries(tensors)));
}

type Side = keyof LatentRows;
const [D, F] = [128, 4096];

/** An SAE of 4 MB in a format, as a repository. */
async function large(format: FormatName): Promise<{ sae: Sae; files: Record<string, Uint8Array> }> {
  const rng = createRng('large');
  const normal = (n: number) => Float32Array.from({ length: n }, () => rng.normal());
  const sae: Sae = {
    config:
      format === 'sparsify'
        ? { architecture: 'topk', K: 8, D, F, metadata: {} }
        : { architecture: 'relu', D, F, subtractDecoderBias: false, metadata: {} },
    ...{ W_enc: normal(F * D), b_enc: normal(F), W_dec: normal(F * D), b_dec: normal(D) },
  };
  const folder = mkdtempSync(join(tmpdir(), 'saekit-large-'));
  await saveSae(folderWriter(folder), sae, { format });
  const files = Object.fromEntries(
    readdirSync(folder).map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]),
  );
  rmSync(folder, { recursive: true });
  return { sae, files };
}

test.each<[FormatName, near: Side[], far: Side | undefined]>([
  ['saelens', ['W_dec'], 'W_enc'],
  ['gemma-scope', ['W_dec'], 'W_enc'],
  ['dictionary-learning', ['W_enc'], 'W_dec'],
  ['sparsify', ['W_enc', 'W_dec'], undefined],
])(
  'of a large %s file one latent costs kilobytes on the side that is contiguous, one download on the other',
  async (format, near, far) => {
    const { sae, files } = await large(format);
    const size = Math.max(...Object.values(files).map(({ length }) => length));
    const own = await startHub({ [`models/lab/${format}`]: { files } });
    vi.stubEnv('HF_ENDPOINT', own.url);
    try {
      const bytes = (): number => own.seen.reduce((sum, one) => sum + one.bytes, 0);
      const opened = await openSae(`lab/${format}`, { byRange: true });
      const check = async (latent: number, sides: Side[]): Promise<void> => {
        const rows = await readLatent(opened, latent, sides);
        for (const side of sides)
          expect(rows[side]).toEqual(sae[side].subarray(latent * D, (latent + 1) * D));
      };
      await check(3001, near);
      // Headers, and a window of 64 KB for each row.
      expect(bytes()).toBeLessThan(size / 8);
      if (far) {
        await check(3001, [far]);
        const after = bytes();
        expect(after).toBeGreaterThan(size);
        await check(17, [far]);
        expect(bytes()).toBe(after);
      }
      await opened.close();
    } finally {
      await own.close();
      vi.stubEnv('HF_ENDPOINT', hub.url);
    }
  },
);

test('names, revisions and paths', () => {
  expect(parseSaeId('a/b@v1/c/d.pt')).toEqual({ type: 'model', name: 'a/b', revision: 'v1', path: 'c/d.pt' });
  expect(parseSaeId('a/b')).toEqual({ type: 'model', name: 'a/b', revision: 'main' });
  expect(parseSaeId('a/../b')).toBeUndefined();
  expect(parseSaeId('./a/b')).toBeUndefined();
});
