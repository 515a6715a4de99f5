import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startHub, type TestHub } from '../../test/fixtures/hub.ts';
import '../platform/node.ts';
import {
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

test('a path without an SAE is answered with where there are some', async () => {
  await expect(loadSae('google/scope')).rejects.toThrow(
    /no SAE at its top that can be read here\. There are 3, at layer_1\/width_16\/average_l0_3, .*write the path behind the name/,
  );
  await expect(loadSae('google/scope/layer_1')).rejects.toThrow(/no SAE at layer_1 .*at layer_1\/width_16/);
});

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
