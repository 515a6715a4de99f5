/** Every figure: who is ours, who may be the baseline, what is asked. One line per figure; the contenders are shared. */

export type Target = { readonly at: 'most' | 'least'; readonly value: number };

export type Figure = {
  readonly name: string;
  readonly says: string;
  readonly ours: string;
  /** The fastest of these is the baseline. */
  readonly baseline: readonly string[];
  /** `ours/baseline` for times over a limit, `baseline/ours` for how many times faster. */
  readonly ratio: 'ours/baseline' | 'baseline/ours';
  /** Without one the figure is only reported. */
  readonly target?: Target;
};

const products = ['ort.tile256', 'ort.tile512', 'ort.tile1024', 'ort.workers', 'openblas', 'numpy'];

export const figures: readonly Figure[] = [
  {
    name: 'train.topk.step',
    says: 'TopK step, no dead latents, over the fastest 2BDF product',
    ours: 'ours.step',
    baseline: products,
    ratio: 'ours/baseline',
    target: { at: 'most', value: 1.6 },
  },
  {
    name: 'train.topk.step_dead',
    says: 'TopK step with 20 % dead latents and AuxK, over the fastest 2BDF product',
    ours: 'ours.step_dead',
    baseline: products,
    ratio: 'ours/baseline',
    target: { at: 'most', value: 2.3 },
  },
  {
    name: 'train.penalised.step',
    says: 'JumpReLU step held at L0 64, over the fastest 2BDF product',
    ours: 'ours.step_penalised',
    baseline: products,
    ratio: 'ours/baseline',
    target: { at: 'most', value: 2 },
  },
  {
    name: 'train.topk.vs_torch_dense',
    says: 'times faster than the step in dense PyTorch',
    ours: 'ours.step',
    baseline: ['torch_dense'],
    ratio: 'baseline/ours',
    target: { at: 'least', value: 3 },
  },
  {
    name: 'train.topk.vs_torch_sparse',
    says: 'times faster than the step in sparse PyTorch: embedding_bag, index_add, fused Adam, the best of eager and compile',
    ours: 'ours.step',
    baseline: ['torch_sparse'],
    ratio: 'baseline/ours',
    target: { at: 'least', value: 1.5 },
  },
  {
    name: 'train.topk.vs_torch_best',
    says: 'times faster than the fastest step that we could write in PyTorch: five implementations',
    ours: 'ours.step',
    baseline: ['torch_sparse', 'torch_other'],
    ratio: 'baseline/ours',
  },
  {
    name: 'train.topk.vs_saelens',
    says: "times faster than sae-lens's own trainer at its defaults",
    ours: 'ours.step',
    baseline: ['sae_lens_trainer'],
    ratio: 'baseline/ours',
  },
  {
    name: 'train.stored',
    says: 'speed of training on rows from disk, of that on the same rows in memory',
    ours: 'ours.stored',
    baseline: ['ours.memory'],
    ratio: 'baseline/ours',
    target: { at: 'least', value: 0.8 },
  },
  {
    name: 'encode.f32',
    says: 'rate of encoding 4,096 rows with a TopK SAE of 67 million parameters (D 2048, F 16384, K 64), of that of its row-tiled product',
    ours: 'ours.encode',
    baseline: ['ort.encode_product'],
    ratio: 'baseline/ours',
    target: { at: 'least', value: 0.9 },
  },
  {
    name: 'encode.screen_int8',
    says: 'times faster with int8 screening, same codes, SAE and rows with the same directions',
    ours: 'ours.encode_screened',
    baseline: ['ours.encode'],
    ratio: 'baseline/ours',
    target: { at: 'least', value: 1.8 },
  },
  {
    name: 'encode.screen_int8_untrained',
    says: 'the same with random weights, where the K largest hardly stand out: the worst case',
    ours: 'ours.encode_screened_untrained',
    baseline: ['ours.encode'],
    ratio: 'baseline/ours',
  },
  {
    name: 'run.wall',
    says: 'wall time of a run over its model and SAE stages, in turns',
    ours: 'ours.wall',
    baseline: ['ours.stages'],
    ratio: 'ours/baseline',
    target: { at: 'most', value: 1.1 },
  },
  {
    name: 'run.grid',
    says: 'model stage of a grid of six SAEs over that of one',
    ours: 'ours.model_of_six',
    baseline: ['ours.model_of_one'],
    ratio: 'ours/baseline',
    target: { at: 'most', value: 1.1 },
  },
  {
    name: 'harvest.vs_torch',
    says: 'times faster than transformers at the last layer of the same model',
    ours: 'ours.full_depth',
    baseline: ['torch_harvest'],
    ratio: 'baseline/ours',
    target: { at: 'least', value: 1 },
  },
  {
    name: 'harvest.early_exit',
    says: 'times faster when the hook is at half depth',
    ours: 'ours.half_depth',
    baseline: ['ours.full_depth'],
    ratio: 'baseline/ours',
    target: { at: 'least', value: 1.8 },
  },
  {
    name: 'model.prefill',
    says: 'times faster than transformers with 8 prompts of 512 tokens, a random model of the shape of SmolLM2-135M, f32',
    ours: 'ours.prefill',
    baseline: ['torch_prefill'],
    ratio: 'baseline/ours',
    target: { at: 'least', value: 1.2 },
  },
  {
    name: 'model.decode',
    says: 'speed of greedy decoding behind 512 tokens, of that of llama.cpp (node-llama-cpp) on the same weights in f32',
    ours: 'ours.decode',
    baseline: ['llama_f32'],
    ratio: 'baseline/ours',
    target: { at: 'least', value: 0.8 },
  },
  {
    name: 'model.decode_f16',
    says: 'the same beside llama.cpp on weights in f16: half the bytes to read',
    ours: 'ours.decode',
    baseline: ['llama_f16'],
    ratio: 'baseline/ours',
  },
  ...[1, 8].flatMap((streams) =>
    [1, 8, 64].map(
      (features): Figure => ({
        name: `steer.decode.${features}x${streams}`,
        says: `speed of decoding ${streams === 1 ? 'one text' : `${streams} texts at once`} with ${features} clamped ${features === 1 ? 'feature' : 'features'} of JumpReLU SAEs at up to 8 layers, of that without steering`,
        ours: `ours.steered_${features}x${streams}`,
        baseline: [`ours.unsteered_${streams}`],
        ratio: 'baseline/ours',
        target: { at: 'least', value: 0.95 },
      }),
    ),
  ),
  {
    name: 'steer.decode.topk',
    says: 'the same with 8 features of one TopK SAE of 16,384 latents, where every token takes the whole encoder product, one text',
    ours: 'ours.steered_topk',
    baseline: ['ours.unsteered_1'],
    ratio: 'baseline/ours',
  },
];

/**
 * Figures named in `only` (names or their beginnings, with commas between them); all without it. Throws when one of them
 * names none.
 */
export function chosen(only: string | undefined): readonly Figure[] {
  if (only === undefined) return figures;
  const asked = only.split(',');
  const named = (figure: Figure, part: string) => figure.name === part || figure.name.startsWith(`${part}.`);
  const unknown = asked.find((part) => !figures.some((figure) => named(figure, part)));
  if (unknown !== undefined)
    throw new Error(
      `No figure is called ${unknown}. There are: ${figures.map(({ name }) => name).join(', ')}`,
    );
  return figures.filter((figure) => asked.some((part) => named(figure, part)));
}

export const holds = (ratio: number, { at, value }: Target) =>
  at === 'most' ? ratio <= value : ratio >= value;

export const targetText = ({ at, value }: Target) => `${at === 'most' ? '<=' : '>='} ${value}`;
