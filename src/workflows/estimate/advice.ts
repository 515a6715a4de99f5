/** What would not fit, with the flag that makes it fit; and one sentence on what takes the time and what would change it. */
import type { TrainPlan } from '../types.ts';
import type { Estimate } from './estimate.ts';
import type { MemoryLine } from './memory.ts';

/** One WebAssembly memory ends at 4 GiB. */
const RANK_BYTES = 4 * 2 ** 30;
/** From here on a stage is worth a word. */
const MOST = 0.4;

type Parts = Omit<Estimate, 'problems' | 'advice'>;

const gigabytes = (bytes: number): string =>
  bytes >= 1e12
    ? `${(bytes / 1e12).toFixed(1)} TB`
    : bytes >= 1e9
      ? `${(bytes / 1e9).toFixed(1)} GB`
      : `${Math.round(bytes / 1e6)} MB`;

/** Empty when everything fits. */
export function problemsOf({ plans, memory, disk }: Parts): string[] {
  const { peak, phase, available, perRank, lines } = memory;
  const problems: string[] = [];
  if (peak > available) {
    const held = lines.filter((line) => line.phases.includes(phase));
    const most = held.reduce((a, b) => (b.bytes > a.bytes ? b : a));
    problems.push(
      `Memory: ${gigabytes(peak)} at most, ${gigabytes(available)} are available. Most of it is ${most.name} (${gigabytes(most.bytes)}): ${remedy(most, peak - available, plans)}`,
    );
  }
  if (perRank.bytes > RANK_BYTES)
    problems.push(
      `Threads: each of ${perRank.ranks} would hold ${gigabytes(perRank.bytes)}, and a WebAssembly memory ends at 4.3 GB. It takes ${powerOfTwo((perRank.bytes * perRank.ranks) / RANK_BYTES)} or more: --workers and --shards.`,
    );
  if (disk.free !== undefined && disk.peak > disk.free)
    problems.push(
      `Disk: ${gigabytes(disk.peak)} at most, ${gigabytes(disk.free)} are free. Name a folder on another disk with --out.`,
    );
  return problems;
}

const powerOfTwo = (least: number): number => 2 ** Math.ceil(Math.log2(least));

/** The flag that takes `excess` bytes off a line, with a value where one does it. */
function remedy({ name, bytes }: MemoryLine, excess: number, plans: readonly TrainPlan[]): string {
  const { settings, trainer, config } = plans[0]!;
  const share = Math.max(0, 1 - excess / bytes);
  const lowered = (value: number, step: number): number => Math.floor((value * share) / step) * step;
  const several = plans.length > 1 ? 'train fewer SAEs at a time, or ' : '';
  if (name === 'shuffle buffer')
    return suggest(
      '--shuffle-tokens',
      lowered(settings.shuffleTokens, 1024),
      'read rows on a larger machine.',
    );
  if (name === 'model up to the hook')
    return 'harvest on a larger machine (saekit harvest) and train on --activations, or take a hook of an earlier layer.';
  if (name === 'evaluation') return 'use --eval-tokens 0, and measure on a larger machine (saekit eval).';
  if (['batch buffers', 'AuxK buffers', 'between workers', 'rows in flight'].includes(name))
    return several + suggest('--batch-tokens', lowered(config.batchTokens, 256), 'use fewer --latents.');
  return several + suggest('--latents', lowered(trainer.F, trainer.shards), 'this machine is too small.');
}

const suggest = (flag: string, value: number, otherwise: string): string =>
  value > 0 ? `use ${flag} ${value}.` : otherwise;

/** One sentence. */
export function adviceOf({ plans, time, work }: Parts): string {
  const { stages } = time;
  if (time.evaluationSeconds > time.seconds)
    return 'The evaluation takes longer than the training: --eval-tokens makes it shorter.';
  const all = stages.reduce((sum, { seconds }) => sum + seconds, 0);
  const largest = stages.reduce((a, b) => (b.seconds > a.seconds ? b : a));
  const share = largest.seconds / all;
  const what = `${Math.round(100 * share)} % of the time`;
  if (share < MOST) return 'No stage stands out.';
  if (largest.name === 'model')
    return plans.length > 1 || plans[0]!.settings.overlap
      ? `The model takes ${what}; a hook of an earlier layer is cheaper.`
      : `The model takes ${what}: more SAEs cost little beside it (--grid), and kept rows spare it the next time (saekit harvest).`;
  if (largest.name === 'data')
    return plans[0]!.activations
      ? `Reading the rows takes ${what}: put them on a faster disk, or harvest them as --dtype int8.`
      : `Reading text takes ${what}: tokenize it once (saekit tokenize).`;
  if (largest.name === 'checkpoints')
    return `Checkpoints take ${what}: save less often (--checkpoint-every-tokens).`;
  if (largest.name !== 'SAE') return `${largest.name} takes ${what}: a longer run makes little of it.`;
  const { encoder, sparse, adam } = work.perStep;
  return encoder >= sparse + adam
    ? `The SAE takes ${what}, most of it the encoder product, which grows with --latents; Adam shrinks beside it with a larger --batch-tokens.`
    : `The SAE takes ${what}, little of it the encoder product: a larger --batch-tokens, or more --latents, use the machine better.`;
}
