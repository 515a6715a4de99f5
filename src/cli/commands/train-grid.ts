/** `saekit train --grid`: several SAEs on the same rows. */
import { basename, join } from 'node:path';
import type { TrainConfig } from '../../shared/config.ts';
import { Interrupted, UsageError } from '../../shared/errors.ts';
import { type Grid, gridSchema } from '../../shared/grid.ts';
import { didYouMean } from '../../shared/nearest.ts';
import { shellWord } from '../../shared/shell-word.ts';
import { type GridOptions, type GridResult, resumeGrid, trainGrid } from '../../workflows/index.ts';
import type { Context } from '../context.ts';
import { parseConfig, parseItem } from '../flags.ts';
import { invocation } from '../invocation.ts';
import { createCounter } from '../output/counter.ts';
import { createDownloads } from '../output/downloads.ts';
import { createGridReport, gridPlanText, gridResultText } from '../output/grid-view.ts';
import { duration, grouped } from '../output/numbers.ts';
import { trainingRemarks } from '../output/training-remarks.ts';
import { stageLine } from '../output/training-view.ts';

/**
 * `latents=2048,4096` and `seed=0,1` as a grid.
 *
 * @throws UsageError for what is no field of a grid (nearest names), is given twice, or no value of it
 */
export function parseGrid(given: readonly string[]): Grid {
  const names = Object.keys(gridSchema.shape);
  const raw: Record<string, unknown[]> = {};
  for (const text of given) {
    const [, flag, values] = /^([A-Za-z][A-Za-z\d-]*)=(.+)$/.exec(text) ?? [];
    if (flag === undefined || values === undefined)
      throw new UsageError(`--grid: found "${text}", expected FIELD=VALUE,VALUE such as latents=2048,4096.`);
    const name = flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
    if (!names.includes(name))
      throw new UsageError(
        `--grid: "${flag}" cannot vary.${didYouMean(name, names)} These can: ${names.join(', ')}.`,
      );
    if (name in raw)
      throw new UsageError(
        `--grid: "${flag}" is given twice. Put all its values behind one, such as ${flag}=${raw[name]!.join(',')},${values}.`,
      );
    raw[name] = values.split(',').map((value) => parseItem(gridSchema, name, value));
  }
  return parseConfig(gridSchema, raw);
}

export type GridFlags = {
  readonly folder: string;
  /** Of a grid that is continued. */
  readonly workers?: number | undefined;
  readonly logTo?: NonNullable<GridOptions['logTo']>;
};

/** A new grid, or the rest of one. */
export async function trainGridCommand(
  what: { readonly config: TrainConfig; readonly grid: Grid } | 'resume',
  flags: GridFlags,
  context: Context,
): Promise<void> {
  const { style, note, signal } = context;
  const downloads = createDownloads(context);
  const filling = createCounter(context, 'first activations');
  let counter: ReturnType<typeof createCounter> | undefined;
  let measured = -1;
  let report: ReturnType<typeof createGridReport> | undefined;
  const ended = (): void => {
    filling.end();
    report?.end();
    counter?.end();
  };
  const options: Parameters<typeof resumeGrid>[0] = {
    ...flags,
    ...downloads.access,
    signal,
    onPlans: (plans) => {
      note(gridPlanText(plans, flags.folder, style));
      report = createGridReport(
        context,
        plans.map(({ folder }) => folder.split(/[\\/]/).at(-1) ?? folder),
      );
    },
    onCorpus: ({ train, heldout }) =>
      note(
        `  ${style.format('dim', 'text'.padEnd(6))}  ${grouped(train.count)} documents for training, ${grouped(heldout.count)} held out\n`,
      ),
    onFill: filling.update,
    onProgress: (progress) => {
      filling.end();
      report?.progress(progress);
    },
    onEvaluate: (member, done, total) => {
      report?.end();
      if (member !== measured) {
        counter?.end();
        counter = createCounter(context, `SAE ${member + 1}: held-out tokens`);
        measured = member;
      }
      counter?.update(done, total);
    },
  };
  let result: GridResult;
  try {
    result = what === 'resume' ? await resumeGrid(options) : await trainGrid(what.config, what.grid, options);
  } finally {
    downloads.end();
    ended();
  }
  conclude(result, context);
}

function conclude(result: GridResult, { style, note, print, json, signal }: Context): void {
  const { folder, status, members, failed, seconds } = result;
  const [first] = members;
  if (first?.progress)
    note(
      style.format(
        'dim',
        `  ${grouped(first.progress.tokens)} tokens for ${members.length} SAEs in ${duration(seconds)}: ${stageLine(first.progress)}`,
      ),
    );
  if (status === 'interrupted')
    throw new Interrupted(
      `${first?.step === 0 ? 'Stopped before the first step, so there is no state yet; begin' : `Stopped at step ${first?.step} of ${first?.plan.settings.totalSteps}. The state of all ${members.length} is saved; go on`} with: ${invocation()} train --resume ${shellWord(folder)}`,
    );
  note(`\n${gridResultText(result, style)}`);
  for (const member of members)
    for (const remark of trainingRemarks(member, signal.aborted))
      note(`\n${basename(member.folder)}: ${remark}`);
  note(`\nSaved in ${folder}. Compare them: ${invocation()} inspect ${shellWord(folder)}`);
  if (json)
    print(
      JSON.stringify({
        folder,
        status,
        seconds,
        members: members.map(({ folder: path, step, progress, measured }) => ({
          folder: path,
          step,
          progress,
          evaluation: measured?.evaluation,
        })),
        failed,
      }),
    );
  if (failed.length > 0)
    throw new Error(
      `${failed.length} of ${failed.length + members.length} SAEs stopped early; go on with one: ${invocation()} train --resume ${shellWord(join(folder, failed[0]!.folder.split(/[\\/]/).at(-1)!))}`,
    );
}
