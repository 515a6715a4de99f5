/**
 * Goodfire's SAEs of Llama 3, and qresearch's of DeepSeek-R1-Distill, which follow them: MODEL-SAE-lN.pt (or .pth), a state dict.
 *
 *     encoder_linear.weight [F,D]   encoder_linear.bias [F]   decoder_linear.weight [D,F]   decoder_linear.bias [D]
 *     encoder.weight, …             qresearch
 *     z = ReLU(W x + b);  xhat = z W_dec^T + b_dec              of the residual stream after layer N
 */
import { type Format, matrixShape, type Plan, refuseValues, type SaeFiles, tensorsOf } from './format.ts';

const FILE = /^(.+)-SAE-l(\d+)\.pth?$/;
/** Its tensors are those of a class of dictionary_learning, which has a config.json beside. */
const QRESEARCH = /^DeepSeek-R1-.+-SAE-l\d+\.pth?$/;
const OWNERS: readonly (readonly [model: RegExp, owner: string])[] = [
  [/^Llama-/, 'meta-llama'],
  [/^DeepSeek-/, 'deepseek-ai'],
];

async function read({ folder, file, tensors: open }: SaeFiles): Promise<Plan> {
  const where = `${folder.name}/${file}`;
  const opened = await open(file!);
  refuseValues(opened, where);
  const tensors = tensorsOf(opened);
  const [encoder, decoder] = tensors.has('encoder_linear.weight')
    ? ['encoder_linear', 'decoder_linear']
    : ['encoder', 'decoder'];
  const W_enc = tensors.take(`${encoder}.weight`);
  // A linear module's weight is [out,in], so a square one is no riddle.
  const [F, D] = matrixShape(W_enc, where);
  const arrays: Plan['arrays'] = {
    W_enc: { tensor: W_enc },
    b_enc: { tensor: tensors.take(`${encoder}.bias`) },
    W_dec: { tensor: tensors.take(`${decoder}.weight`), transposed: true },
    b_dec: { tensor: tensors.take(`${decoder}.bias`) },
  };
  tensors.finish();
  const [, model, layer] = FILE.exec(file!) ?? [];
  const owner = OWNERS.find(([pattern]) => pattern.test(model ?? ''))?.[1];
  return {
    config: {
      architecture: 'relu',
      ...{ D, F, subtractDecoderBias: false },
      metadata:
        model === undefined
          ? {}
          : {
              model_name: owner === undefined ? model : `${owner}/${model}`,
              hook_name: `blocks.${layer}.hook_resid_post`,
            },
    },
    arrays,
    notes:
      model === undefined
        ? ['Model and layer stand in the name of the released file only (MODEL-SAE-lN.pt): name the hook.']
        : [],
  };
}

export const goodfire: Format = {
  title: 'Goodfire',
  folders: [],
  async matches({ folder, file = '', tensors: open }) {
    if (!/\.pth?$/.test(file)) return false;
    const { tensors } = await open(file);
    if (tensors.has('encoder_linear.weight')) return true;
    return QRESEARCH.test(file) && tensors.has('decoder.bias') && !(await folder.has('config.json'));
  },
  read,
};
