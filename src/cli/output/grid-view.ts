/** What a person sees of a grid: the members before, while and after they train. */
import type { EvalResult } from '../../shared/eval.ts';
import { shellWord } from '../../shared/shell-word.ts';
import { type GridResult, type Inspection, joinMemory } from '../../workflows/index.ts';
import type { TrainPlan, TrainProgress } from '../../workflows/types.ts';
import type { Context } from '../context.ts';
import { invocation } from '../invocation.ts';
import { progressBar } from './charts.ts';
import { createLive } from './live.ts';
import { memoryPairs } from './memory.ts';
import { duration, grouped, percent } from './numbers.ts';
import { activeText, originLines } from './plan.ts';
import { stateText } from './state.ts';
import type { Style } from './style.ts';
import { pairs, table } from './table.ts';
import { padStart } from './width.ts';

const DRAW_MS = 150;
const LINE_MS = 5000;
/** Members shown while training; a terminal is not endless. */
const SHOWN = 16;

const nameOf = (folder: string): string => folder.split(/[\\/]/).at(-1) ?? folder;

/** What the members share, then one line each. */
export function gridPlanText(plans: readonly TrainPlan[], folder: string, style: Style): string {
  const [first] = plans as [TrainPlan];
  const { settings, config } = first;
  const hooks = new Set(plans.map((plan) => plan.settings.hook));
  const rows: [string, string][] = [
    ...originLines(first, '').filter(([name]) => name !== 'hook'),
    [
      'steps',
      `${grouped(settings.totalSteps)} of ${grouped(config.batchTokens)} tokens, the same ones for all; data seed ${settings.dataSeed}`,
    ],
    ...memoryPairs(joinMemory(plans)),
    ['folder', folder],
    ['SAEs', `${plans.length}${hooks.size > 1 ? ` at ${hooks.size} hooks` : ''}`],
  ];
  const members = table(
    [
      { title: '  ' },
      { title: 'hook' },
      { title: 'F', align: 'right' },
      { title: 'active', align: 'right' },
      { title: 'lr', align: 'right' },
      { title: 'seed', align: 'right' },
    ],
    plans.map((plan) => [
      `    ${nameOf(plan.folder)}`,
      plan.settings.hook,
      grouped(plan.config.latents),
      activeText(plan),
      plan.settings.lr.toPrecision(3),
      String(plan.config.seed),
    ]),
    style,
  );
  const head = pairs(
    rows.map(([name, value]) => [`  ${name}`, value]),
    style,
  );
  return `${head}\n${members}`;
}

export function createGridReport(
  { style, write, note, signal }: Context,
  names: readonly string[],
): { progress(progress: readonly TrainProgress[]): void; end(): void } {
  const live = createLive(write, style, signal);
  let printedAt = 0;
  return {
    progress(progress) {
      const [first] = progress;
      if (!first) return;
      const now = performance.now();
      const last = first.step >= first.totalSteps;
      if (now - printedAt < (style.terminal ? DRAW_MS : LINE_MS) && !last) return;
      printedAt = now;
      if (style.terminal) live.draw(gridLines(progress, names, style));
      else note(gridLine(progress));
    },
    end: () => live.keep(),
  };
}

function gridLines(progress: readonly TrainProgress[], names: readonly string[], style: Style): string[] {
  const [first] = progress as [TrainProgress];
  const share = first.step / first.totalSteps;
  const bar = style.format('cyan', progressBar(share, Math.max(4, Math.min(40, style.columns - 52))));
  const head = `  ${bar} ${padStart(percent(share), 5)}  ${grouped(first.tokensPerSecond)} tokens/s  ${duration(first.secondsLeft)} left`;
  const body = table(
    [
      { title: '  ' },
      { title: 'FVU', align: 'right' },
      { title: 'L0', align: 'right' },
      { title: 'dead', align: 'right' },
    ],
    progress
      .slice(0, SHOWN)
      .map(({ fvu, l0, dead }, i) => [`    ${names[i] ?? ''}`, fvu.toFixed(3), l0.toFixed(1), grouped(dead)]),
    style,
  );
  const more = progress.length > SHOWN ? [`    and ${progress.length - SHOWN} more`] : [];
  return [head, ...body.split('\n'), ...more];
}

function gridLine(progress: readonly TrainProgress[]): string {
  const [first] = progress as [TrainProgress];
  const fvu = progress.map((one) => one.fvu);
  return [
    `step ${first.step}/${first.totalSteps}`,
    `${grouped(first.tokensPerSecond)} tokens/s`,
    `FVU ${Math.min(...fvu).toFixed(4)} .. ${Math.max(...fvu).toFixed(4)} of ${progress.length} SAEs`,
    `${duration(first.secondsLeft)} left`,
  ].join('  ');
}

/** The figures of all members, side by side. */
export function gridResultText({ members, failed }: GridResult, style: Style): string {
  const rows = members.map(({ folder, progress, measured }) => [
    `  ${nameOf(folder)}`,
    ...figures(measured?.evaluation, progress),
  ]);
  const lost = failed.map(({ folder, message }) => `  ${nameOf(folder)}: ${message}`);
  return [table([{ title: '' }, ...FIGURES], rows, style), ...lost].join('\n');
}

/** The same of a folder, with what became of each. */
export function gridInspectionText(
  path: string,
  { grid, members }: Inspection & { kind: 'grid' },
  style: Style,
): string {
  const varied = Object.entries(grid.grid).map(([field, values]) => `${field} ${(values ?? []).join(', ')}`);
  const head = pairs(
    [
      ['grid', path],
      ['varied', varied.join('; ')],
    ],
    style,
  );
  const rows = grid.members.map(({ folder }, i) => {
    const member = members[i];
    if (!member) return [`  ${folder}`, 'not begun'];
    const last = member.metrics.at(-1);
    const progress = last && { fvu: Number(last.fvu), l0: Number(last.l0), dead: Number(last.dead) };
    return [
      `  ${folder}`,
      stateText(member),
      grouped(last?.step ?? 0),
      ...figures(member.evaluation, progress),
    ];
  });
  const body = table(
    [{ title: '' }, { title: 'state' }, { title: 'step', align: 'right' }, ...FIGURES],
    rows,
    style,
  );
  const open = members.some((member) => member?.run.status !== 'finished' && member?.writer === undefined);
  return `${head}\n\n${body}${open ? `\n\nGo on with it: ${invocation()} train --resume ${shellWord(path)}` : ''}`;
}

const FIGURES = [
  { title: 'FVU', align: 'right' },
  { title: 'delta CE', align: 'right' },
  { title: 'L0', align: 'right' },
  { title: 'dead', align: 'right' },
] as const;

/** On held-out text where it was measured, else of the last batch. */
function figures(
  evaluation: EvalResult | undefined,
  last: Pick<TrainProgress, 'fvu' | 'l0' | 'dead'> | undefined,
): string[] {
  const [sae] = evaluation?.candidates ?? [];
  const figure = (value: number | null | undefined, digits: number): string =>
    value === null || value === undefined ? '' : value.toFixed(digits);
  return [
    figure(sae?.fvu.value ?? last?.fvu, 4),
    figure(sae?.deltaCe.value, 4),
    figure(sae?.latents?.l0.value ?? last?.l0, 1),
    sae?.latents ? percent(sae.latents.deadShare.value ?? 0) : last ? grouped(last.dead) : '',
  ];
}
