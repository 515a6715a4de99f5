/**
 * Qwen Scope (Qwen), layerN.sae.pt in a repository SAE-Res-MODEL-W32K-L0_K: TopK SAEs of the residual stream.
 *
 *     W_enc [F,D]   b_enc [F]   W_dec [D,F]   b_dec [D]          z = ReLU(TopK(W x + b_enc)),  xhat = z W_dec^T + b_dec
 *
 * K stands in the repository's name only.
 */
import {
  type Format,
  hasExactly,
  matrixShape,
  type Plan,
  refuseSquare,
  refuseValues,
  type SaeFiles,
  tensorsOf,
} from './format.ts';

const FILE = /^layer(\d+)\.sae\.pt$/;
/** A folder of that name, or one of the hub's cache; of several the innermost. */
const REPOSITORY = /^(?:models--.+--)?SAE-Res-(.+)-W(\d+)K-L0_(\d+)$/;

async function read({ folder, file, path, tensors: open }: SaeFiles): Promise<Plan> {
  const where = `${folder.name}/${file}`;
  const named = path.split('/').findLast((name) => REPOSITORY.test(name));
  const [, model, width, k] = REPOSITORY.exec(named ?? '') ?? [];
  if (model === undefined)
    throw new Error(
      `${where}: how many latents are active stands in the repository's name only, such as SAE-Res-Qwen3-1.7B-Base-W32K-L0_50: keep the file in a folder of that name.`,
    );
  const opened = await open(file!);
  refuseValues(opened, where);
  const tensors = tensorsOf(opened);
  const W_enc = tensors.take('W_enc');
  const [F, D] = matrixShape(W_enc, where);
  refuseSquare(D, F, '[F, D]', where);
  const arrays: Plan['arrays'] = {
    W_enc: { tensor: W_enc },
    b_enc: { tensor: tensors.take('b_enc') },
    W_dec: { tensor: tensors.take('W_dec'), transposed: true },
    b_dec: { tensor: tensors.take('b_dec') },
  };
  tensors.finish();
  return {
    config: {
      architecture: 'topk',
      ...{ D, F, K: Number(k), subtractDecoderBias: false },
      metadata: {
        model_name: `Qwen/${model}`,
        hook_name: `blocks.${FILE.exec(file!)![1]}.hook_resid_post`,
      },
    },
    arrays,
    notes:
      F === Number(width) * 1024
        ? []
        : [`The repository's name says ${width}K latents, and the file has ${F}: is K of this file ${k}?`],
  };
}

export const qwenScope: Format = {
  title: 'Qwen Scope',
  folders: [],
  matches: async ({ file = '', tensors: open }) =>
    FILE.test(file) && hasExactly(await open(file), 'W_enc', 'b_enc', 'W_dec', 'b_dec'),
  read,
};
