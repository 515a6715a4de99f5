/**
 * The attention SAEs of GPT-2 (Kissane, Krzyzanowski et al. 2024), NAME.pt with NAME_cfg.json: ReLU of hook_z, all heads in one row.
 *
 *     W_enc [D,F]   b_enc [F]   W_dec [F,D]   b_dec [D]          z = ReLU((x - b_dec) W_enc + b_enc),  xhat = z W_dec + b_dec
 *     cfg: act_size D, dict_size F, act_name blocks.N.attn.hook_z, model_name; the rest is of training
 */
import {
  type Format,
  hasExactly,
  type Plan,
  refuseComputing,
  refuseSquare,
  refuseValues,
  type SaeFiles,
  settings,
  tensorsOf,
} from './format.ts';

const configOf = (file: string): string => file.replace(/\.pt$/, '_cfg.json');

async function read(files: SaeFiles): Promise<Plan> {
  const { folder } = files;
  const file = files.file!;
  const where = `${folder.name}/${configOf(file)}`;
  const json = (await files.json(configOf(file)))!;
  refuseComputing(json, where, /^relu$/i);
  const cfg = settings(json, where);
  const [D, F, hook] = [cfg.count('act_size'), cfg.count('dict_size'), cfg.text('act_name')];
  refuseSquare(D, F, '[D, F]', `${folder.name}/${file}`);
  const opened = await files.tensors(file);
  refuseValues(opened, `${folder.name}/${file}`);
  const tensors = tensorsOf(opened);
  const arrays: Plan['arrays'] = {
    W_enc: { tensor: tensors.take('W_enc'), transposed: true },
    b_enc: { tensor: tensors.take('b_enc') },
    W_dec: { tensor: tensors.take('W_dec') },
    b_dec: { tensor: tensors.take('b_dec') },
  };
  tensors.finish();
  return {
    config: {
      architecture: 'relu',
      ...{ D, F },
      ...(hook.endsWith('hook_z') ? { flattened: true } : {}),
      metadata: {
        model_name: cfg.has('model_name') ? cfg.text('model_name') : 'gpt2-small',
        hook_name: hook,
      },
    },
    arrays,
    notes: [
      'Whether it was trained on a model whose value biases TransformerLens had folded away is not said; hook_z here has them. Give --activations to see whether it fits.',
    ],
  };
}

export const attentionOut: Format = {
  title: 'Kissane et al.',
  folders: [],
  matches: async ({ folder, file = '', tensors: open }) =>
    file.endsWith('.pt') &&
    (await folder.has(configOf(file))) &&
    hasExactly(await open(file), 'W_enc', 'b_enc', 'W_dec', 'b_dec'),
  read,
};
