import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { parseRegistry, readRegistry, resolveSaeName, searchRegistry } from './sae-registry.ts';

/** As the registry is written: keys in any order, items by their id. */
const text = `gemma-scope-2b-pt-res:
  conversion_func: gemma_2
  model: gemma-2-2b
  repo_id: google/gemma-scope-2b-pt-res
  saes:
  - id: layer_20/width_16k/average_l0_71
    l0: 71
    path: layer_20/width_16k/average_l0_71
gpt2-small-res-jb:
  config_overrides:
    dataset_path: somebody/text
    model_from_pretrained_kwargs:
      center_writing_weights: true
  conversion_func: null
  links:
    model: https://example.org/x
  model: gpt2-small
  repo_id: jbloom/GPT2-Small-SAEs-Reformatted
  saes:
  - id: blocks.8.hook_resid_pre
    neuronpedia: gpt2-small/8-res-jb
    path: 'blocks.8.hook_resid_pre'
    variance_explained: 0.9
somebody-else:
  conversion_func: somebody
  repo_id: a/b
  saes:
  - id: layer0
    path: layer_0/own
clt:
  conversion_func: mntss_clt_layer_transcoder
  repo_id: a/e
  saes:
  - id: layer_0
    path: 0
scaled:
  conversion_func: null
  repo_id: a/c
  saes:
  - id: one
    path: one
    norm_scaling_factor: 1.5
changed:
  conversion_func: sparsify
  repo_id: a/d
  saes:
  - id: one
    path: one
  config_overrides:
    normalize_activations: layer_norm
`;
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saekit-registry-'));
  writeFileSync(join(folder, 'saes.yaml'), text);
  vi.stubEnv('SAEKIT_SAE_REGISTRY', join(folder, 'saes.yaml'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('releases, their repositories and their SAEs are read, and nothing of the links beside them', () => {
  expect(
    parseRegistry(text).map(({ release, id, repo, path, model, l0, neuronpedia }) => [
      release,
      id,
      repo,
      path,
      model,
      l0,
      neuronpedia,
    ]),
  ).toEqual([
    [
      'gemma-scope-2b-pt-res',
      'layer_20/width_16k/average_l0_71',
      'google/gemma-scope-2b-pt-res',
      'layer_20/width_16k/average_l0_71',
      'gemma-2-2b',
      71,
      undefined,
    ],
    [
      'gpt2-small-res-jb',
      'blocks.8.hook_resid_pre',
      'jbloom/GPT2-Small-SAEs-Reformatted',
      'blocks.8.hook_resid_pre',
      'gpt2-small',
      undefined,
      'gpt2-small/8-res-jb',
    ],
    ['somebody-else', 'layer0', 'a/b', 'layer_0/own', '', undefined, undefined],
    ['clt', 'layer_0', 'a/e', '0', '', undefined, undefined],
    ['scaled', 'one', 'a/c', 'one', '', undefined, undefined],
    ['changed', 'one', 'a/d', 'one', '', undefined, undefined],
  ]);
});

test('names are resolved, or refused with the nearest or with the reason', async () => {
  const location = 'google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71';
  expect(await resolveSaeName('saelens:gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71')).toEqual({
    location,
  });
  // Of the 13,857 of sae-lens 6.54 every one has the config_overrides that PyYAML finds.
  expect(await resolveSaeName('neuronpedia:gpt2-small/8-res-jb')).toEqual({
    location: 'jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre',
    overrides: {
      dataset_path: 'somebody/text',
      model_from_pretrained_kwargs: { center_writing_weights: true },
    },
  });
  expect(await resolveSaeName('org/name')).toEqual({ location: 'org/name' });
  await expect(resolveSaeName('saelens:changed/one')).rejects.toThrow(
    /the registry changes its normalize_activations, which is known for SAELens's own format only/,
  );
  await expect(resolveSaeName('neuronpedia:gpt2-small/8-res-jp')).rejects.toThrow(
    /not in the registry of 6 SAEs\. Nearest: gpt2-small\/8-res-jb/,
  );
  await expect(resolveSaeName('saelens:somebody-else/layer0')).rejects.toThrow(
    /SAELens reads it with somebody, a form that is not read here/,
  );
  expect(await resolveSaeName('saelens:clt/layer_0')).toEqual({ location: 'a/e/W_enc_0.safetensors' });
  expect(await resolveSaeName('saelens:scaled/one')).toEqual({
    location: 'a/c/one',
    overrides: { norm_scaling_factor: 1.5 },
  });
});

test('a search finds what has every word', async () => {
  const found = searchRegistry(await readRegistry(), ['GPT2', '8']);
  expect(found.map(({ release }) => release)).toEqual(['gpt2-small-res-jb']);
});
