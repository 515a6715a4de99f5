/** What a terminal shows while an SAE trains: two lines of numbers and a few latents whose passages get sharper. */
import type { Snippet, TrainProgress } from '../../workflows/types.ts';
import { progressBar, sparkline } from './charts.ts';
import { concordanceRow } from './concordance.ts';
import { duration, grouped, oneIn, percent, short } from './numbers.ts';
import type { Style } from './style.ts';
import { padEnd, padStart } from './width.ts';

export type TrainingState = {
  readonly progress: TrainProgress;
  /** FVU of the steps so far, for the curve. */
  readonly fvu: readonly number[];
  readonly snippets: readonly Snippet[];
};

const rate = (progress: TrainProgress): string => `${grouped(progress.tokensPerSecond)} tokens/s`;

/** The live block of a terminal. */
export function trainingLines({ progress, fvu, snippets }: TrainingState, style: Style): string[] {
  const share = progress.step / progress.totalSteps;
  const dim = (text: string): string => style.format('dim', text);
  const bar = style.format('cyan', progressBar(share, Math.max(4, Math.min(40, style.columns - 52))));
  const head = `  ${bar} ${padStart(percent(share), 5)}  ${padStart(rate(progress), 15)}  ${duration(progress.secondsLeft)} left`;
  const figures = [
    `${dim('step')} ${padStart(grouped(progress.step), grouped(progress.totalSteps).length)}/${grouped(progress.totalSteps)}`,
    `${dim('FVU')} ${progress.fvu.toFixed(3)} ${sparkline(fvu, 12)}`,
    `${dim('L0')} ${progress.l0.toFixed(1)}`,
    `${dim('dead')} ${grouped(progress.dead)}`,
  ];
  const lines = [head, `  ${figures.join('   ')}`];
  if (snippets.length > 0)
    lines.push(
      '',
      dim('  latent   fires on  strongest passage in a fixed text'),
      ...snippets.map((snippet) => snippetLine(snippet, style)),
    );
  return lines;
}

/** A latent, how often it fires in the probe text, and its strongest passage. */
export function snippetLine(snippet: Snippet, style: Style): string {
  const label = `  ${padEnd(`#${snippet.latent}`, 6)} ${style.format('dim', padStart(oneIn(snippet.density), 10))}  `;
  const row = concordanceRow(snippet, {
    style,
    columns: Math.min(style.columns, 120) - 22,
    maximum: snippet.maximum,
    hue: snippet.latent,
  });
  return label + row;
}

/** One plain line, for a pipe or a log. */
export function trainingLine(progress: TrainProgress): string {
  return [
    `step ${progress.step}/${progress.totalSteps}`,
    `tokens ${short(progress.tokens)}`,
    rate(progress),
    `FVU ${progress.fvu.toFixed(4)}`,
    `L0 ${progress.l0.toFixed(1)}`,
    `dead ${progress.dead}`,
    `${duration(progress.secondsLeft)} left`,
  ].join('  ');
}

/** Where the time went: "data 3 %, model 41 %, SAE 56 %, in turns". */
export function stageLine({ stages, overlap }: TrainProgress): string {
  const total = stages.data + stages.model + stages.sae || 1;
  const part = (name: string, time: number): string => `${name} ${Math.round((100 * time) / total)} %`;
  return [part('data', stages.data), part('model', stages.model), part('SAE', stages.sae)]
    .concat(overlap ? 'overlapping' : 'in turns')
    .join(', ');
}
