/**
 * The memory of a training run, by purpose, before anything large is allocated.
 *
 *     peak = what is held all the time + the largest of { training, saving, evaluation }
 *
 * Arrays of ours are counted exactly: their sizes follow from the config. What Node and the engine take beside them is a constant that was
 * measured (Linux x64, Node 20, ONNX Runtime 1.30, resident set, 2 cores) and is named below; `test/memory.slow.test.ts` holds the sum
 * to what `saekit train` really reaches, within a tenth.
 */
import { WIDEST_PCA } from '../../eval/index.ts';
import type { ModelCost } from '../../models/types.ts';
import { rankCount, type TrainerConfig, trainerBudget } from '../../train/index.ts';

/** The shuffle buffer and rows on their way go before the SAE is copied out, the trainer before it is measured. */
export type Phase = 'training' | 'saving' | 'evaluation';

export type MemoryLine = {
  readonly name: string;
  readonly bytes: number;
  readonly phases: readonly Phase[];
  /** What several SAEs on the same rows have together: once for all of them, once per hook, or each its own. */
  readonly shared: 'run' | 'hook' | 'no';
};

const ALWAYS: readonly Phase[] = ['training', 'saving', 'evaluation'];
const WITH_TRAINER: readonly Phase[] = ['training', 'saving'];

/** Pages of the engine's library that are touched, its environment and thread pools. */
const ENGINE = 24e6;
/** Growth of the JavaScript heap while text is opened and read, and the index of the documents; buffers of stored rows that are read. */
const READING = 30e6;
/** What the garbage collector has not come to yet: outputs of the model, mostly. */
const GARBAGE = 20e6;
/** A worker thread: its JavaScript heap, and the engine's session for the encoder product. */
const WORKER = 18e6;
/** Per latent: counters of single tokens; passages, firings and label scores of the feature index (some ten labels that it fires on). */
const COUNTERS = 104;
const INDEX = 600 + 2600;
/** Logits, splices and reconstructions of the evaluation that wait for the garbage collector. */
const EVALUATION_GARBAGE = 110e6;

export type MemoryInput = {
  readonly trainer: TrainerConfig;
  /** Resident set of this process at the time of planning: Node, code, the model's tokenizer. */
  readonly process: number;
  /** Rows in the shuffle buffer; of stored ones, in both of its halves. */
  readonly shuffleRows: number;
  /** R and T of a model run, and what the model takes; undefined for stored activations. */
  readonly model: { readonly R: number; readonly T: number; readonly cost: ModelCost } | undefined;
  /** Batches that the scales are taken from before the first step. */
  readonly firstBatches: number;
  readonly fromSae: boolean;
  /** Latents are shown while training. */
  readonly snippets: boolean;
  readonly evaluation: boolean;
};

export function memoryLines(input: MemoryInput): MemoryLine[] {
  const { trainer, model, shuffleRows, firstBatches } = input;
  const { D, Dout, F, B, vocabulary = 0 } = trainer;
  const ranks = rankCount(trainer);
  const row = 4 * (D + (Dout ?? 0));
  const sae = 4 * (F * (D + (Dout ?? D)) + vocabulary * (Dout ?? D));
  const run = model ? model.R * model.T : 0;
  const line = (
    name: string,
    bytes: number,
    phases: readonly Phase[] = ALWAYS,
    shared: MemoryLine['shared'] = 'no',
  ): MemoryLine => ({ name, bytes, phases, shared });
  const lines = [
    ...Object.entries(trainerBudget(trainer, ranks)).map(([name, bytes]) => line(name, bytes, WITH_TRAINER)),
    line('worker threads', trainer.workers > 0 ? ranks * WORKER : 0, WITH_TRAINER),
    line('shuffle buffer', shuffleRows * row, ['training'], 'hook'),
    // First batches, the batch; of a model also the queue of at least B rows, and its output.
    line('rows in flight', ((firstBatches + 1) * B + (model ? B + 2 * run : 0)) * row, ['training'], 'hook'),
    line('SAE to start from', input.fromSae ? 1.5 * sae : 0, WITH_TRAINER),
    line('latents shown', input.snippets ? sae : 0, ['training'], 'run'),
    line('SAE copied out', sae, ['saving'], 'run'),
    line('finished SAE', sae, ['evaluation']),
    line('model up to the hook', model ? weightsAnd(model.cost.before) : 0, ALWAYS, 'run'),
    line('engine', ENGINE, ALWAYS, 'run'),
    line('Node, code, tokenizer', input.process, ALWAYS, 'run'),
    line('reading and garbage', READING + GARBAGE, ALWAYS, 'run'),
    line('evaluation', input.evaluation ? evaluationBytes(input) : 0, ['evaluation'], 'run'),
  ];
  return lines.filter(({ bytes }) => bytes > 0);
}

/** An encoder has no head: it is evaluated without losses, and runs no further than the hook. */
export const predicts = ({ head }: ModelCost): boolean => head.weightBytes > 0;

const weightsAnd = ({ weightBytes, innerBytes }: ModelCost['before']): number => weightBytes + innerBytes;

/** The rest of the model with its head, counters and index of the latents, the covariance and what its eigenvalues need. */
function evaluationBytes({ trainer: { D, Dout = 0, F }, model }: MemoryInput): number {
  const pca = D + Dout <= WIDEST_PCA ? 8 * 6 * (D + Dout) ** 2 : 0;
  const own = COUNTERS * F + pca + EVALUATION_GARBAGE;
  if (!model || !predicts(model.cost)) return own + (model ? INDEX * F : 0);
  const { after, head } = model.cost;
  const splices = 12 * 4 * model.R * model.T * D;
  return own + INDEX * F + splices + weightsAnd(after) + weightsAnd(head);
}

/** Of several SAEs that train on the same rows. */
export function joinMemory(
  plans: readonly {
    readonly settings: { readonly hook: string };
    readonly memory: readonly MemoryLine[];
  }[],
): MemoryLine[] {
  const sums = new Map<string, MemoryLine>();
  const hooks = new Set<string>();
  for (const { settings, memory } of plans) {
    const first = !hooks.has(settings.hook);
    hooks.add(settings.hook);
    for (const line of memory) {
      const before = sums.get(line.name)?.bytes ?? 0;
      const bytes =
        line.shared === 'run'
          ? Math.max(before, line.bytes)
          : before + (line.shared === 'no' || first ? line.bytes : 0);
      sums.set(line.name, { ...line, bytes });
    }
  }
  return [...sums.values()];
}

/** Bytes held in a phase. */
export const phaseBytes = (lines: readonly MemoryLine[], phase: Phase): number =>
  lines.reduce((sum, { phases, bytes }) => sum + (phases.includes(phase) ? bytes : 0), 0);

/** The most that is held at any time, and when. */
export function peakMemory(lines: readonly MemoryLine[]): { readonly bytes: number; readonly phase: Phase } {
  const each = ALWAYS.map((phase) => ({ phase, bytes: phaseBytes(lines, phase) }));
  return each.reduce((a, b) => (b.bytes > a.bytes ? b : a));
}
