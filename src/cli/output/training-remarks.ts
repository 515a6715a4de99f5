/** What a finished run has to say for itself: an L0 that was missed, text that came again, nothing held out. */
import type { TrainResult } from '../../workflows/index.ts';
import { grouped } from './numbers.ts';

/** Of the L0 asked for: what docs/training.md says is held. */
const L0_TOLERANCE = 0.03;

/** Kinds whose K is the mean of a batch in training, and what a threshold makes of it afterwards. */
const ON_AVERAGE: ReadonlySet<string> = new Set([
  'batch-topk',
  'matryoshka',
  'transcoder',
  'skip-transcoder',
]);

/** A sentence each, for the end of training. */
export function trainingRemarks(
  { plan, status, progress, measured }: TrainResult,
  stopped: boolean,
): string[] {
  if (status !== 'finished') return [];
  const { config, settings } = plan;
  if (stopped)
    return measured || config.evalTokens === 0
      ? []
      : ['Stopped before it was measured; the SAE is finished. `saekit eval` measures it.'];
  const [what, were] = plan.activations ? ['rows', 'were'] : ['text', 'was'];
  const remarks: string[] = [];
  if (progress && progress.epochs > 1)
    remarks.push(`The same ${what} ${were} read ${grouped(progress.epochs)} times over.`);
  if (!measured && config.evalTokens > 0)
    remarks.push(
      `No ${what} ${were} held out, so nothing was measured. Give more ${what}, or some with --heldout.`,
    );
  const l0 = measured?.evaluation.candidates.find(({ kind }) => kind === 'sae')?.latents?.l0.value;
  const asked = settings.l0 > 0 ? settings.l0 : ON_AVERAGE.has(config.variant) ? config.k : 0;
  const off = (found: number): boolean => Math.abs(found - asked) > L0_TOLERANCE * asked;
  if (asked > 0 && typeof l0 === 'number' && off(l0)) {
    const last = progress?.l0 ?? l0;
    const cause = off(last)
      ? `the controller had not brought it there after ${grouped(settings.totalSteps)} steps (${last.toFixed(1)} in the last batch). More --tokens help`
      : `in the last batch of training it was ${last.toFixed(1)}`;
    remarks.push(`L0 is ${l0.toFixed(1)} on held-out text, ${asked} was asked: ${cause}.`);
  }
  return remarks;
}
