// What `saekit convert` says of what it wrote: an SAE that lost a setting is another one, whatever the bits of its arrays.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import '../src/platform/node.ts';
import { joinChunks, writeSafetensors } from '../src/formats/index.ts';
import { BESIDE, WEIGHTS } from '../src/hub/sae.ts';
import type { Format } from '../src/sae/formats/format.ts';
import { formats, loadSae, type Sae, type SaeConfig, saveSae } from '../src/sae/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { folderWriter } from '../src/store/index.ts';
import { convertSae } from '../src/workflows/index.ts';
import { filled } from '../src/workflows/new-folder.ts';
import { saekit } from './fixtures/command-line.ts';

const root = mkdtempSync(join(tmpdir(), 'saekit-convert-'));
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;
const newFolder = (): string => join(root, String(count++));

const [D, F] = [6, 40];
const rng = createRng('convert');
const W = Float32Array.from({ length: F * D }, () => rng.normal());
const b_enc = Float32Array.from({ length: F }, () => 0.3 * rng.normal());
const arrays = { W_enc: W, b_enc, W_dec: W, b_dec: new Float32Array(D).fill(0.5) };

type Settings = { [A in SaeConfig as A['architecture']]: Omit<A, 'D' | 'F'> }[SaeConfig['architecture']];
async function written(config: Settings, more: Partial<Sae> = {}): Promise<string> {
  const folder = newFolder();
  await saveSae(folderWriter(folder), { ...arrays, ...more, config: { D, F, ...config } } as Sae, {
    format: 'onnx',
  });
  return folder;
}
const at = (hook_name: string) => ({ metadata: { hook_name, model_name: 'm' } });

describe('convert', () => {
  it.each<['sparsify' | 'dictionary-learning' | 'gemma-scope' | 'saelens', Settings]>([
    ['saelens', { architecture: 'topk', K: 4, flattened: true, ...at('blocks.1.attn.hook_z') }],
    ['sparsify', { architecture: 'topk', K: 4, flattened: true, ...at('blocks.1.attn.hook_z') }],
    ['dictionary-learning', { architecture: 'relu', flattened: true, ...at('blocks.1.attn.hook_z') }],
    [
      'gemma-scope',
      {
        ...{ architecture: 'jumprelu', subtractDecoderBias: false, flattened: true },
        ...at('blocks.1.attn.hook_z'),
      },
    ],
  ])('to %s keeps that hook_z is flattened, and everything else', async (to, config) => {
    const threshold = config.architecture === 'jumprelu' ? { threshold: new Float32Array(F).fill(0.4) } : {};
    const out = newFolder();
    const { changed, lost } = await convertSae(await written(config, threshold), out, { to });
    expect([changed, lost]).toEqual([[], []]);
    expect((await loadSae(out)).config).toEqual({ D, F, ...config });
  });

  it('names what the format has no place for', async () => {
    const folder = await written({
      ...{
        architecture: 'matryoshka',
        K: 3,
        threshold: 0.25,
        prefixes: [10, 40],
        subtractDecoderBias: false,
      },
      metadata: { hook_name: 'blocks.1.hook_resid_post', seed: 3 },
    });
    const out = newFolder();
    const { changed, lost } = await convertSae(folder, out, { to: 'gemma-scope' });
    expect(changed).toEqual([]);
    // Its one threshold is that of every latent now.
    expect((await loadSae(out)).threshold).toEqual(new Float32Array(F).fill(0.25));
    expect([...lost].sort()).toEqual(['K 3', 'architecture matryoshka -> jumprelu', 'prefixes [10,40]']);
    const shown = await saekit(['convert', folder, '--to', 'gemma-scope', newFolder()]);
    expect(shown.stdout).toMatch(/read again +every bit of the arrays is the same\n/);
    expect(shown.stdout).toMatch(
      /lost +the format has no place for architecture matryoshka -> jumprelu, K 3, /,
    );
  });

  it.each(['gemma-scope', 'dictionary-learning'])(
    'says of %s that the decoder bias is folded',
    async (to) => {
      const threshold = new Float32Array(F).fill(0.4);
      const config: Settings = { architecture: 'jumprelu', ...at('blocks.1.hook_resid_post') };
      const folder = await written(config, { threshold });
      const { changed, lost, notes } = await convertSae(folder, newFolder(), { to });
      expect([changed, lost, notes.length]).toEqual([[], [], 1]);
      const { stdout } = await saekit(['convert', folder, '--to', to, newFolder()]);
      expect(stdout).toMatch(/read again +every bit of the arrays is the same, and every setting/);
      expect(stdout).toMatch(/note +The format reads x itself: b_enc - W_enc b_dec is written as b_enc/);
    },
  );

  it('says that a K was rounded', async () => {
    const config: Settings = {
      architecture: 'batchtopk',
      K: 3.5,
      threshold: 0.5,
      ...at('blocks.1.hook_mlp_out'),
    };
    const { lost } = await convertSae(await written(config), newFolder(), { to: 'dictionary-learning' });
    expect(lost).toEqual(['K 3.5 -> 4']);
  });

  it('leaves nothing of what fails, in a new folder and in an empty one', async () => {
    const fewer = { W_enc: W.slice(0, D * D), W_dec: W.slice(0, D * D), b_enc: b_enc.slice(0, D) };
    const config = { architecture: 'relu', D, F: D, ...at('blocks.1.hook_resid_post') } as const;
    const folder = newFolder();
    await saveSae(folderWriter(folder), { ...arrays, ...fewer, config } as Sae, { format: 'onnx' });
    const out = newFolder();
    await expect(convertSae(folder, out, { to: 'gemma-scope' })).rejects.toThrow(
      /no place for ReLU, D 6, F 6: width and latents are the same/,
    );
    expect(existsSync(out)).toBe(false);
    const empty = newFolder();
    mkdirSync(empty);
    for (const place of [out, empty])
      await expect(
        filled(place, async () => {
          await folderWriter(place).write('a', [new Uint8Array(1)], 1);
          throw new Error('no');
        }),
      ).rejects.toThrow('no');
    expect([existsSync(out), readdirSync(empty)]).toEqual([false, []]);
  });

  it('says that nothing is lost where nothing is', async () => {
    const folder = await written({ architecture: 'topk', K: 4, ...at('blocks.1.hook_resid_post') });
    const { stdout } = await saekit(['convert', folder, '--to', 'sparsify', newFolder()]);
    expect(stdout).toMatch(/every bit of the arrays is the same, and every setting/);
    expect(stdout).not.toMatch(/lost/);
  });
});

describe('inspect shows an SAE of every format', () => {
  const golden = 'test/golden/sae/formats';
  it.each([
    ['a folder of ONNX', async () => await written({ architecture: 'topk', K: 4, metadata: {} }), 'ONNX'],
    [
      'safetensors of Gemma Scope',
      `${golden}/gemma-scope-2/resid_post/layer_1_width_16_l0_small/params.safetensors`,
      'Gemma Scope',
    ],
    ['safetensors of sparsify', `${golden}/sparsify-topk/layers.1/sae.safetensors`, 'sparsify'],
    ['safetensors of SAELens', `${golden}/saelens-standard/sae_weights.safetensors`, 'SAELens'],
    ['safetensors of Llamascopium', `${golden}/llamascopium-topk/sae_weights.safetensors`, 'Llamascopium'],
    [
      'a transcoder of circuit-tracer',
      `${golden}/circuit-tracer-jumprelu-skip/layer_1.safetensors`,
      'circuit-tracer',
    ],
    [
      'a layer of a cross-layer transcoder',
      `${golden}/circuit-tracer-clt-relu/W_enc_1.safetensors`,
      'circuit-tracer',
    ],
    [
      'a layer of a crosscoder',
      `${golden}/gemma-scope-2-crosscoder/crosscoder/layer_3_5_8_9_width_16_l0_small/params_layer_1.safetensors`,
      'Gemma Scope',
    ],
    ['a folder of Llama Scope', `${golden}/llama-scope`, 'Llama Scope'],
  ])('%s', async (_, place, title) => {
    const path = typeof place === 'string' ? place : await place();
    expect(existsSync(path)).toBe(true);
    const { status, stdout } = await saekit(['inspect', path, '--json']);
    expect([status, JSON.parse(stdout)]).toEqual([
      0,
      expect.objectContaining({ kind: 'sae', format: title }),
    ]);
  });

  it('takes tensors for activations where nothing says that they are an SAE', async () => {
    const folder = await written({ architecture: 'topk', K: 4, metadata: {} });
    rmSync(join(folder, 'sae.json'));
    const { status, stderr } = await saekit(['inspect', join(folder, 'weights.safetensors')]);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/could be the activations/)]);
    const rows = join(folder, 'layer_1.safetensors');
    const data = new Float32Array(12);
    writeFileSync(rows, joinChunks(writeSafetensors({ x: { dtype: 'F32', shape: [3, 4], data } })));
    const found = await saekit(['inspect', rows, '--json']);
    expect(JSON.parse(found.stdout)).toMatchObject({ kind: 'activations' });
    // A transcoder that is not read says why, and is not asked which of its matrices are activations.
    const square = { dtype: 'F32' as const, shape: [2, 2], data: new Float32Array(4) };
    writeFileSync(rows, joinChunks(writeSafetensors({ W_enc: square, W_dec: square, k: square })));
    const refused = await saekit(['inspect', rows]);
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringMatching(/no b_enc; the file has/)]);
  });
});

it('the hub brings every file that a format is known by', () => {
  const files = Object.values(formats).flatMap(({ folders }: Format) => folders.flat());
  expect(files.length).toBeGreaterThan(8);
  expect(files.filter((file) => ![...WEIGHTS, ...BESIDE].includes(file))).toEqual([]);
});
