/**
 * Qwen Scope (Qwen), layerN.sae.pt in a repository SAE-Res-MODEL-W32K-L0_K: TopK SAEs of the residual stream.
 *
 *     W_enc [F,D]   b_enc [F]   W_dec [D,F]   b_dec [D]          z = ReLU(TopK(W x + b_enc)),  xhat = z W_dec^T + b_dec
 *
 * K stands in the repository's name only.
 */
import { type Format, matrixShape, type Plan, refuseSquare, type SaeFiles, tensorsOf } from './format.ts';

const FILE = /^layer(\d+)\.sae\.pt$/;
const REPOSITORY = /SAE-Res-(.+?)-W\d+K-L0_(\d+)/;

async function read({ folder, file, path, tensors: open }: SaeFiles): Promise<Plan> {
  const where = `${folder.name}/${file}`;
  const [, model, k] = REPOSITORY.exec(path) ?? [];
  if (model === undefined)
    throw new Error(
      `${where}: how many latents are active stands in the repository's name only, such as SAE-Res-Qwen3-1.7B-Base-W32K-L0_50: keep the file in a folder of that name.`,
    );
  const tensors = tensorsOf(await open(file!));
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
    notes: [],
  };
}

export const qwenScope: Format = {
  title: 'Qwen Scope',
  folders: [],
  matches: async ({ file = '' }) => FILE.test(file),
  read,
};
