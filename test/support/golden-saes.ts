// The SAEs of test/golden/sae/formats: what is opened of each, the format that it must be taken for, and the numbers of its own program.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FormatName } from '../../src/sae/index.ts';

export const goldenSaes = fileURLToPath(new URL('../golden/sae/formats', import.meta.url));
const [goodfire, qresearch] = ['Llama-3.1-8B-Instruct-SAE-l19', 'DeepSeek-R1-Distill-Llama-8B-SAE-l19'];

const byFamily: readonly (readonly [prefix: string, inside: string, format: FormatName])[] = [
  ['saelens-', '', 'saelens'],
  ['dictionary-learning-', '', 'dictionary-learning'],
  ['llamascopium-', '', 'llamascopium'],
  ['openai-', '1.pt', 'openai'],
  ['sparsify-', 'layers.1', 'sparsify'],
  ['gemma-scope-2-clt', 'clt/width_16_l0_small_affine/params_layer_1.safetensors', 'gemma-scope'],
  [
    'gemma-scope-2-crosscoder',
    'crosscoder/layer_3_5_8_9_width_16_l0_small/params_layer_1.safetensors',
    'gemma-scope',
  ],
  ['gemma-scope-2-transcoder', 'transcoder/layer_1_width_16_l0_small_affine', 'gemma-scope'],
  ['gemma-scope-2', 'resid_post/layer_1_width_16_l0_small', 'gemma-scope'],
  ['gemma-scope', 'layer_1/width_16/average_l0_3', 'gemma-scope'],
  ['llama-scope', '', 'llama-scope'],
  ['qwen-scope', 'SAE-Res-Qwen3-1.7B-Base-W32K-L0_3/layer1.sae.pt', 'qwen-scope'],
  ['goodfire-qresearch', `${qresearch}/${qresearch}.pt`, 'goodfire'],
  ['goodfire', `${goodfire}/${goodfire}.pth`, 'goodfire'],
  ['attention-out', 'gpt2-small_L1_Hcat_z_v9.pt', 'attention-out'],
  ['circuit-tracer-clt-', 'W_enc_1.safetensors', 'circuit-tracer'],
  ['circuit-tracer-', 'layer_1.safetensors', 'circuit-tracer'],
  ['temporal', 'gemma-2-2B/layer_1/temporal', 'temporal'],
];

/** Layers of cross-layer transcoders and crosscoders, which are read, not written. */
export const isCrossLayer = (name: string): boolean => /-clt|-crosscoder/.test(name);

/** Every case. @throws for one that is not placed here */
export const goldenNames: readonly string[] = readdirSync(goldenSaes).sort();
const placed = (name: string) => {
  const found = byFamily.find(([prefix]) => name.startsWith(prefix));
  if (!found) throw new Error(`${name}: what is opened of it is not said in test/support/golden-saes.ts`);
  return found;
};
export const formatOfGolden = (name: string): FormatName => placed(name)[2];
/** The folder or file of a case, in `root`. */
export const golden = (name: string, root = join(goldenSaes, name)): string => join(root, placed(name)[1]);
/** x [B,D], z [B,F] dense and xhat [B,Dout] of the program that the format is of; of temporal SAEs how long the sequences are. */
export const goldenNumbers = (
  name: string,
): { B: number; x: number[]; z: number[]; xhat: number[]; sequences?: number[] } =>
  JSON.parse(readFileSync(join(goldenSaes, name, 'numbers.json'), 'utf8'));
