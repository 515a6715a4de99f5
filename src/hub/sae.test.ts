import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startHub, type TestHub } from '../../test/fixtures/hub.ts';
import '../platform/node.ts';
import { loadSae } from '../sae/index.ts';
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
  hub = await startHub({ 'models/google/scope': scope });
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

test('a path without an SAE is answered with where there are some', async () => {
  await expect(loadSae('google/scope')).rejects.toThrow(
    /no SAE at its top that can be read here\. There are 3, at layer_1\/width_16\/average_l0_3, .*write the path behind the name/,
  );
  await expect(loadSae('google/scope/layer_1')).rejects.toThrow(/no SAE at layer_1 .*at layer_1\/width_16/);
});

test('names, revisions and paths', () => {
  expect(parseSaeId('a/b@v1/c/d.pt')).toEqual({ type: 'model', name: 'a/b', revision: 'v1', path: 'c/d.pt' });
  expect(parseSaeId('a/b')).toEqual({ type: 'model', name: 'a/b', revision: 'main' });
  expect(parseSaeId('a/../b')).toBeUndefined();
  expect(parseSaeId('./a/b')).toBeUndefined();
});
