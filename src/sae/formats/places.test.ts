/** Where SAEs say that they read and write: by config, by a released path, or not at all; and what a folder's name must not change. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import '../../platform/node.ts';
import { folderWriter } from '../../store/index.ts';
import { loadSae, openSae } from '../load.ts';
import { saveSae } from '../save.ts';

const golden = fileURLToPath(new URL('../../../test/golden/sae/formats', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'saekit-places-'));
afterAll(() => rmSync(root, { recursive: true }));

/** Files of a golden case in a folder of another name; with other settings in its config. */
function copied(from: string, to: string, change?: [file: string, settings: object]): string {
  const folder = join(root, to);
  mkdirSync(dirname(folder), { recursive: true });
  cpSync(join(golden, from), folder, { recursive: true });
  if (change) {
    const path = join(folder, change[0]);
    const json = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...json, ...change[1] }));
  }
  return folder;
}
async function read(folder: string) {
  const { plan, close } = await openSae(folder);
  await close();
  const { hook_name, hook_name_out, l0, model_name } = plan.config.metadata;
  return { hook_name, hook_name_out, l0, model_name, Dout: plan.config.Dout, notes: plan.notes };
}

describe('Gemma Scope', () => {
  const npz = 'gemma-scope/layer_1/width_16/average_l0_3';
  const first = 'layer_7/width_16k/average_l0_71';
  test.each([
    [`gemma-scope-2b-pt-res/${first}`, 'blocks.7.hook_resid_post', undefined],
    [`models--google--gemma-scope-2b-pt-att/snapshots/0123abcd/${first}`, 'blocks.7.attn.hook_z', undefined],
    [`gemma-scope-2b-pt-transcoders/${first}`, 'blocks.7.ln2.hook_normalized', 'blocks.7.hook_mlp_out'],
    [`downloads/${first}`, undefined, undefined],
  ])('%s', async (path, hook_name, hook_name_out) => {
    expect(await read(copied(npz, path))).toMatchObject({ hook_name, hook_name_out, l0: 71 });
  });

  test('a folder above that is called embedding, transcoders or layer_3 changes nothing', async () => {
    const plain = await loadSae(join(golden, npz));
    for (const path of ['embedding/layer_3', 'transcoders/a', 'x-res/layer_4_mlp_out', 'clt/b']) {
      const { config, W_enc } = await loadSae(copied(npz, path));
      expect(W_enc).toEqual(plain.W_enc);
      expect(config).toEqual({ ...plain.config, metadata: {} });
    }
  });

  test('an SAE of embeddings has the root of the width folded in, once: what we wrote of it is read as it is', async () => {
    const plain = await loadSae(join(golden, npz));
    const folded = await loadSae(copied(npz, 'embedding/width_4k/average_l0_6'));
    const root6 = Math.sqrt(plain.config.D);
    expect(folded.W_enc).toEqual(plain.W_enc.map((w) => w / root6));
    expect(folded.config.metadata.hook_name).toBe('hook_embed');
    const again = join(root, 'ours/embedding/width_4k/average_l0_6');
    await saveSae(folderWriter(again), folded, { format: 'gemma-scope' });
    expect(await loadSae(again)).toEqual(folded);
  });
});

describe('Gemma Scope 2', () => {
  const resid = 'gemma-scope-2/resid_post/layer_1_width_16_l0_small';
  const affine = 'gemma-scope-2-transcoder/transcoder/layer_1_width_16_l0_small_affine';
  const layer = 'model.layers.5.';
  const norms = {
    hf_hook_point_in: `${layer}pre_feedforward_layernorm.output`,
    hf_hook_point_out: `${layer}post_feedforward_layernorm.output`,
  };

  test('config.json says what it is, whatever the folder is called', async () => {
    const path = copied(resid, 'two/a', [
      'config.json',
      { ...norms, type: 'transcoder', l0: 20, model_name: 'gemma-v3-1b-it' },
    ]);
    expect(await read(path)).toMatchObject({
      ...{ hook_name: 'blocks.5.mlp.hook_in', hook_name_out: 'blocks.5.hook_mlp_out' },
      ...{ l0: 20, Dout: 6, model_name: 'google/gemma-3-1b-it' },
    });
    const sae = copied(resid, 'two/b', [
      'config.json',
      { hf_hook_point_in: `${layer}self_attn.o_proj.input`, hf_hook_point_out: null },
    ]);
    expect(await read(sae)).toMatchObject({ hook_name: 'blocks.5.attn.hook_z', Dout: undefined, l0: 3 });
    expect((await loadSae(sae)).config.flattened).toBe(true);
  });

  test('without one the released path says it, and another path nothing', async () => {
    const path = copied(affine, 'transcoder_all/layer_9_width_16k_l0_big_affine');
    rmSync(join(path, 'config.json'));
    expect(await read(path)).toMatchObject({ hook_name: 'blocks.9.mlp.hook_in', Dout: 6, l0: undefined });
    const elsewhere = copied(affine, 'layer_9_transcoder');
    rmSync(join(elsewhere, 'config.json'));
    expect(await read(elsewhere)).toMatchObject({ hook_name: undefined, Dout: 6 });
  });

  test.each<[object, RegExp]>([
    [{ type: 'crosscoder' }, /config\.json: type is "crosscoder", expected "sae" or "transcoder"/],
    [{ type: 'transcoder' }, /type is "transcoder", but it reads blocks\.1\.hook_resid_post and gives/],
    [norms, /type is "sae", but it reads blocks\.5\.mlp\.hook_in and gives blocks\.5\.hook_mlp_out/],
    [{ architecture: 'topk' }, /architecture is "topk", expected "jump_relu"/],
    [{ affine_connection: true }, /affine_connection is true, and the file has no affine_skip_connection/],
    [{ hf_hook_point_in: 'model.layers.1.mlp' }, /hf_hook_point_in is "model\.layers\.1\.mlp", expected/],
    [{ width: 32 }, /width is 32, and the file has 16 latents/],
    [{ apply_b_dec_to_input: true }, /apply_b_dec_to_input is true, expected false/],
  ])('is refused: %j', async (change, why) => {
    const path = copied(resid, `bad/${JSON.stringify(change).replace(/\W+/g, '-')}`, ['config.json', change]);
    await expect(openSae(path)).rejects.toThrow(why);
  });
});

describe('dictionary_learning', () => {
  const from = 'dictionary-learning-AutoEncoder';
  const trainer = (settings: object) => {
    const path = join(golden, from, 'config.json');
    const json = JSON.parse(readFileSync(path, 'utf8')) as { trainer: object };
    return { trainer: { ...json.trainer, ...settings } };
  };
  const silent = { submodule_name: null, layer: null };
  test.each<[string, object, string | undefined]>([
    ['attn_out_layer3', silent, 'blocks.3.hook_attn_out'],
    ['attn_out_layer3', { submodule_name: null, layer: 3 }, 'blocks.3.hook_attn_out'],
    ['resid_post_layer_8/trainer_0', silent, 'blocks.8.hook_resid_post'],
    ['any', { submodule_name: 'resid_post_layer_8', layer: 8 }, 'blocks.8.hook_resid_post'],
    ['mlp_out_layer2', { submodule_name: 'attn_out', layer: 3 }, 'blocks.3.hook_attn_out'],
    // A layer alone is no place, an inner place no output, and two layers are none.
    ['plain', { submodule_name: null, layer: 3 }, undefined],
    ['layer_3', silent, undefined],
    ['mlp_in_layer_3', silent, undefined],
    ['attn_out_layer3/x', { submodule_name: null, layer: 4 }, undefined],
  ])('%s, %j', async (folder, settings, hook_name) => {
    const path = copied(from, `dl-${JSON.stringify(settings).length}/${folder}`, [
      'config.json',
      trainer(settings),
    ]);
    const found = await read(path);
    expect(found.hook_name).toBe(hook_name);
    expect(found.notes.join()).toMatch(hook_name === undefined ? /Which hook it reads is not said/ : /^$/);
  });
});

describe('sparsify', () => {
  test.each<[string, boolean, object]>([
    ['layers.1', false, { hook_name: 'blocks.1.hook_resid_post', hook_name_out: undefined }],
    ['layers.1', true, { hook_name: 'blocks.1.hook_resid_pre', hook_name_out: 'blocks.1.hook_resid_post' }],
    ['h.1.mlp', false, { hook_name: 'blocks.1.hook_mlp_out', hook_name_out: undefined }],
    ['layers.1.mlp', true, { hook_name: 'blocks.1.mlp.hook_in', hook_name_out: 'blocks.1.hook_mlp_out' }],
    ['layers.1.self_attn', false, { hook_name: undefined, hook_name_out: undefined }],
  ])('%s, transcode: %s', async (module, transcode, places) => {
    const path = copied('sparsify-topk/layers.1', `${transcode}/${module}`, ['cfg.json', { transcode }]);
    expect(await read(path)).toMatchObject({ ...places, Dout: transcode ? 6 : undefined });
  });
});

describe('files that are named themselves', () => {
  const file = 'layer_1.safetensors';
  const transcoder = (to: string, yaml?: string): string => {
    const folder = copied('circuit-tracer-relu', `${to}/files`);
    if (yaml === undefined) rmSync(join(folder, 'config.yaml'));
    else writeFileSync(join(folder, 'config.yaml'), yaml);
    return join(folder, file);
  };
  const hooks = 'feature_input_hook: mlp.hook_in\nfeature_output_hook: mlp.hook_out\n';

  test('circuit-tracer: config.yaml says the hooks, and a published repository is known without one', async () => {
    const places = { hook_name: 'blocks.1.mlp.hook_in', hook_name_out: 'blocks.1.hook_mlp_out' };
    expect(await read(join(golden, 'circuit-tracer-relu', file))).toMatchObject({
      ...{ ...places, model_name: 'lab/tiny-model', Dout: 6 },
    });
    const folder = copied(
      'circuit-tracer-relu',
      'models--mwhanna--qwen3-0.6b-transcoders-lowl0/snapshots/0123',
    );
    rmSync(join(folder, 'config.yaml'));
    expect(await read(join(folder, file))).toMatchObject({ ...places, model_name: 'Qwen/Qwen3-0.6B' });
    const quoted = transcoder(
      'quoted',
      "# hooks\r\nmodel_name:   'a #b'\r\nscan: null\r\nfeature_input_hook: hook_resid_mid # before the MLP\r\nlist:\r\n- feature_input_hook: no\r\n  model_kind: no\r\nfeature_output_hook: hook_mlp_out\r\n",
    );
    expect(await read(quoted)).toMatchObject({
      ...{ hook_name: 'blocks.1.hook_resid_mid', hook_name_out: 'blocks.1.hook_mlp_out', model_name: 'a #b' },
    });
  });

  // What the MLP gives is added as it is, but in Gemma, where a norm comes between.
  test.each([
    ['Qwen/Qwen3-4B', 'blocks.1.hook_mlp_out'],
    ['google/gemma-2-2b', 'blocks.1.mlp.hook_out'],
  ])('circuit-tracer: mlp.hook_out of %s', async (model, hook_name_out) => {
    expect(await read(transcoder(model, `model_name: ${model}\n${hooks}`))).toMatchObject({ hook_name_out });
  });

  test.each<[string, string | undefined, RegExp]>([
    [
      'nothing beside',
      undefined,
      /nothing says that this is a transcoder and where it reads: expected config\.yaml/,
    ],
    ['no hooks', 'model_name: a\nfeature_output_hook: null\n', /nothing says that this is a transcoder/],
    ['TopK', `${hooks}activation: topk\n`, /activation is "topk", which may change what the SAE computes/],
    ['K', `${hooks}k: 128\n`, /k is "128", which may change/],
    ['JumpReLU', `${hooks}activation_function: jump_relu\n`, /activation_function is "jump_relu", which may/],
    ['layers', `${hooks}model_kind: cross_layer_transcoder\n`, /expected "transcoder_set"/],
  ])('circuit-tracer: refused with %s', async (name, yaml, why) => {
    await expect(openSae(transcoder(name, yaml))).rejects.toThrow(why);
  });

  const scope = 'SAE-Res-Qwen3-1.7B-Base-W32K-L0_3';
  test('Qwen Scope: K is that of the innermost folder, from wherever it is opened', async () => {
    const at = (to: string): string => join(copied(`qwen-scope/${scope}`, to), 'layer1.sae.pt');
    const kOf = async (path: string) => ((await loadSae(path)).config as { K: number }).K;
    expect(await kOf(at(`SAE-Res-Qwen3-8B-Base-W64K-L0_9/SAE-Res-compare/${scope}`))).toBe(3);
    expect(await kOf(at(`models--Qwen--${scope}/snapshots/0123`))).toBe(3);
    await expect(openSae(at('qwen'))).rejects.toThrow(
      /how many latents are active stands in the repository's name only/,
    );
    const before = process.cwd();
    process.chdir(join(golden, 'qwen-scope', scope));
    try {
      expect(await kOf('layer1.sae.pt')).toBe(3);
    } finally {
      process.chdir(before);
    }
    expect((await read(join(golden, 'qwen-scope', scope, 'layer1.sae.pt'))).notes.join()).toMatch(
      /says 32K latents, and the file has 16/,
    );
  });

  test('a class of dictionary_learning under such a name is what it was', async () => {
    for (const to of ['pythia-SAE-l5.pt', 'DeepSeek-R1-x-SAE-l5.pt', 'layer3.sae.pt', 'foo.pt']) {
      for (const cls of ['AutoEncoder', 'AutoEncoderNew', 'JumpReluAutoEncoder']) {
        const folder = copied(`dictionary-learning-${cls}`, `named-${cls}-${to}`);
        cpSync(join(folder, 'ae.pt'), join(folder, to));
        writeFileSync(join(folder, 'foo_cfg.json'), '{"lr": 1}');
        const opened = await openSae(join(folder, to));
        await opened.close();
        expect([to, cls, opened.format]).toEqual([to, cls, 'dictionary-learning']);
      }
    }
  });

  test('Goodfire under another name has no hook', async () => {
    const name = 'Llama-3.1-8B-Instruct-SAE-l19';
    const folder = copied(`goodfire/${name}`, 'goodfire');
    cpSync(join(folder, `${name}.pth`), join(folder, 'mine.pt'));
    expect(await read(join(folder, 'mine.pt'))).toMatchObject({
      hook_name: undefined,
      notes: [expect.stringMatching(/name the hook/)],
    });
  });

  test('an attention SAE without its config is told what is missing, and with another activation refused', async () => {
    const folder = copied('attention-out', 'attention');
    const [pt, cfg] = ['gpt2-small_L1_Hcat_z_v9.pt', 'gpt2-small_L1_Hcat_z_v9_cfg.json'].map((one) =>
      join(folder, one),
    );
    const json = JSON.parse(readFileSync(cfg!, 'utf8')) as object;
    writeFileSync(cfg!, JSON.stringify({ ...json, activation: 'topk' }));
    await expect(openSae(pt!)).rejects.toThrow(
      /activation is "topk", which may change what the SAE computes/,
    );
    rmSync(cfg!);
    await expect(openSae(pt!)).rejects.toThrow(/NAME_cfg\.json beside NAME\.pt, which is missing/);
  });

  test('Llamascopium of 2025 without the norm of its data set is refused, not taken as unscaled', async () => {
    const folder = copied('llamascopium-2025', 'r1');
    const path = join(folder, 'sae_weights.safetensors');
    const bytes = readFileSync(path);
    // The same length under a name that nothing here has: only the norm is missed before it.
    const at = bytes.indexOf('dataset_average_activation_norm');
    bytes.write('somebodys_average_activation_no', at, 'latin1');
    writeFileSync(path, bytes);
    await expect(openSae(folder)).rejects.toThrow(
      /no dataset_average_activation_norm\.blocks\.1\.hook_resid_post, which .* name the SAE as saelens:llama_scope_r1_distill/,
    );
  });
});
