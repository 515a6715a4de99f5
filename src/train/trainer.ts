import { outputWidth } from '../sae/check.ts';
import type { StreamedArray } from '../store/types.ts';
import { rankCount, trainerBudget } from './budget.ts';
import { crewOnThisThread, crewOnWorkers } from './crew.ts';
import { exportWeights } from './export.ts';
import { randomStart } from './init.ts';
import { parametersOf } from './init-from.ts';
import { startTranscoder } from './init-transcoder.ts';
import type { RankArray } from './rank.ts';
import { createState } from './state.ts';
import type { Scales } from './step.ts';
import type { StepMetrics, Trainer, TrainerConfig } from './types.ts';
import { variantOf } from './variants/index.ts';

/** The loss was not a finite number; the weights are as they were before that step. */
export class TrainingDiverged extends Error {
  override readonly name = 'TrainingDiverged';
  readonly step: number;
  constructor(step: number, cause: string) {
    super(`Training stopped at step ${step}: ${cause} The state before this step is kept.`);
    this.step = step;
  }
}

/**
 * Opens a trainer: latents dealt to worker threads (or to the calling thread, `workers: 0`), bit-identical either way.
 * Throws when the sizes do not fit together.
 *
 * @example
 * const trainer = await createTrainer(config);
 * await trainer.initialize(sample);
 * for (const x of batches) console.log((await trainer.train(x)).fvu);
 * const sae = await trainer.exportSae();
 * await trainer.close();
 */
export async function createTrainer(config: TrainerConfig): Promise<Trainer> {
  check(config);
  const ranks = rankCount(config);
  const crew = config.workers === 0 ? await crewOnThisThread(config) : crewOnWorkers(config, ranks);
  const arrays = createState(crew, await crew.describe());
  const { D, F, B } = config;
  const { parameters, transcodes } = variantOf(config);
  let step = 0;
  let scales: Scales | undefined;
  let closed: Promise<void> | undefined;

  const scalars = (): Float64Array => {
    if (!scales) throw new Error('There is no state before initialize(sample).');
    const { inputScale, mseScale, outputScale } = scales;
    return Float64Array.of(step, inputScale, mseScale, ...(transcodes ? [outputScale] : []));
  };

  return {
    config,
    get step() {
      return step;
    },
    budget: trainerBudget(config, ranks),
    async initialize(sample, from, { y } = {}) {
      if (from) {
        const { scales: found, arrays: given } = parametersOf(config, sample, from, y);
        for (const [name, values] of Object.entries(given)) await arrays.write(name, values);
        scales = found;
      } else if (transcodes) {
        scales = await startTranscoder(config, sample, y!, arrays);
      } else {
        const start = await randomStart(config, sample, (rows, first) =>
          arrays.write('W_dec', rows, first * D),
        );
        await crew.scale('W_enc', 'W_dec', start.encoderScale);
        await arrays.write('b_enc', new Float32Array(F));
        for (const [name, { start: value }] of Object.entries(parameters))
          await arrays.write(name, new Float32Array(F).fill(value(config)));
        await arrays.write('b_dec', start.b_dec);
        scales = start.scales;
      }
      if (config.freeze === 'soft') await crew.scale('W_start', 'W_dec', 1);
    },
    async train(x, { y, tokens } = {}) {
      if (!scales) throw new Error('Call initialize(sample) or restore(state) before the first step.');
      if (x.length !== B * D)
        throw new Error(`A step takes ${B} rows of width ${D} (${B * D} numbers); it was given ${x.length}.`);
      if (y?.length !== (transcodes ? B * outputWidth(config) : undefined))
        throw new Error(
          transcodes
            ? `A transcoder learns from rows y [${B},${config.Dout}] beside x; it was given ${y ? `${y.length} numbers` : 'none'}.`
            : 'Rows y are for transcoders; this SAE gives back what it reads.',
        );
      checkTokens(config, tokens);
      const { finite, ...metrics } = await crew.step(x, { y, tokens }, step, scales);
      if (!finite) throw new TrainingDiverged(step, cause(x, D));
      step++;
      return metrics satisfies StepMetrics;
    },
    exportSae: (metadata = {}) =>
      exportWeights(config, arrays, step, scales ?? { inputScale: 1, outputScale: 1 }, metadata),
    firingCounts: async () => (await arrays.read('fired')) as Float64Array,
    streamState() {
      const values = scalars();
      const one: StreamedArray = {
        type: 'F64',
        length: values.length,
        async *pieces() {
          yield values;
        },
      };
      return new Map([...arrays.streamed(), ['scalars', one]]);
    },
    async state() {
      const whole = new Map<string, RankArray>();
      for (const name of arrays.streamed().keys()) whole.set(name, await arrays.read(name));
      return whole.set('scalars', scalars());
    },
    async restore(state) {
      const saved = state.get('scalars');
      if (!saved)
        throw new Error('This training state has no array `scalars` (step, input scale, loss scale).');
      const values: number[] = [];
      for await (const piece of 'pieces' in saved ? saved.pieces() : [saved]) values.push(...piece);
      step = values[0]!;
      scales = { inputScale: values[1]!, mseScale: values[2]!, outputScale: values[3] ?? values[1]! };
      for (const [name, array] of state) if (name !== 'scalars') await arrays.load(name, array);
    },
    close: () => (closed ??= crew.close()),
  };
}

function checkTokens({ B, vocabulary: V }: TrainerConfig, tokens: Int32Array | undefined): void {
  if (V === undefined) {
    if (tokens) throw new Error('Tokens are for SAEs with a token bias; this one has none (vocabulary).');
  } else if (tokens?.length !== B || tokens.some((id) => id < 0 || id >= V))
    throw new Error(
      `A token bias takes the ${B} token ids of a step, each below ${V}; it was given ${tokens ? `${tokens.length}, such as ${tokens.find((id) => id < 0 || id >= V)}` : 'none'}.`,
    );
}

/** Why a loss may have stopped being finite, from what the batch shows. */
function cause(x: Float32Array, D: number): string {
  const bad = x.findIndex((v) => !Number.isFinite(v));
  return bad >= 0
    ? `row ${Math.floor(bad / D)} of the batch holds ${x[bad]} at position ${bad % D}. The model overflowed there (float16 weights do) or the data is damaged.`
    : 'the loss is not finite although every activation is. The learning rate is probably too high.';
}

function check(config: TrainerConfig): void {
  const { F, K, B, Dout, shards, auxk, deadSteps, ema = 0 } = config;
  if ((Dout !== undefined) !== (variantOf(config).transcodes === true))
    throw new Error(
      `Dout, the width of what a transcoder gives, is ${Dout}; this is ${config.variant ?? 'topk'}. Give it for transcoders and only for them.`,
    );
  const whole = { F, K, B, shards };
  for (const [name, value] of Object.entries(whole))
    if (!Number.isInteger(value) || value < 1)
      throw new Error(`${name} must be a positive whole number, got ${value}.`);
  if (K > F)
    throw new Error(
      `K = ${K} active latents are asked for, but there are only F = ${F}. Use a K of at most ${F}.`,
    );
  if (config.signed && (config.variant ?? 'topk') !== 'topk')
    throw new Error(`Signed codes are of topk; this is ${config.variant}.`);
  if (!Number.isInteger(Math.log2(shards)))
    throw new Error(`The number of shards must be a power of two, got ${shards}.`);
  if (F % shards !== 0)
    throw new Error(
      `F = ${F} latents cannot be dealt evenly to ${shards} shards. Use a multiple of ${shards} latents, or fewer shards.`,
    );
  if (!(ema >= 0 && ema < 1))
    throw new Error(`The decay of the moving average is ${ema}; it must be at least 0 and below 1.`);
  if (auxk > 0 && deadSteps < 1)
    throw new Error(`A dead window of ${deadSteps} steps leaves no latent alive; use at least 1.`);
}
