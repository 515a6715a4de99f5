/** What `saekit plan` prints: one table per question, units in every column, what does not fit last. */
import type { Estimate } from '../../workflows/index.ts';
import { memoryTable } from './memory.ts';
import { bytes, duration, grouped, percent, short } from './numbers.ts';
import { kindText, originLines } from './plan.ts';
import type { Style } from './style.ts';
import { pairs, table } from './table.ts';
import { wrap } from './wrap.ts';

export function estimateText(estimate: Estimate, style: Style): string {
  const { plans, problems, advice } = estimate;
  const [first] = plans as [(typeof plans)[0]];
  const { config, settings } = first;
  const head = pairs(
    [
      ...originLines(first, '').map(([name, value]): [string, string] => [`  ${name}`, value]),
      [
        '  SAE',
        `${plans.length === 1 ? '' : `${plans.length} on the same rows, `}${kindText(plans)}, AuxK ${settings.auxk}`,
      ],
      [
        '  steps',
        `${grouped(settings.totalSteps)} of ${grouped(config.batchTokens)} tokens, ${settings.workers} threads${settings.overlap ? ', the model runs ahead of the SAE' : ''}`,
      ],
    ],
    style,
  );
  const parts = [
    head,
    `${heading('memory', style)}\n${memoryTable(estimate.memory, style)}`,
    `${heading('work and time', style)}\n${timeTable(estimate, style)}`,
    `${heading('disk', style)}\n${diskText(estimate)}`,
    ...(problems.length > 0
      ? [
          `${style.format(['bold', 'red'], 'does not fit')}\n${problems.map((line) => `  ${line}`).join('\n')}`,
        ]
      : []),
    `${heading('advice', style)}\n${wrapped(advice, style)}`,
  ];
  return parts.join('\n\n');
}

const wrapped = (text: string, style: Style): string =>
  wrap(text, Math.min(100, style.columns) - 2)
    .map((line) => `  ${line}`)
    .join('\n');

const heading = (text: string, style: Style): string => style.format('bold', text);

/** 1.2 GFLOP, 3.4 TFLOP */
function operations(count: number): string {
  for (const [size, unit] of [
    [1e18, 'E'],
    [1e15, 'P'],
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
  ] as const)
    if (count >= size) return `${(count / size).toPrecision(3)} ${unit}`;
  return short(count);
}

const milliseconds = (ms: number): string =>
  ms >= 10_000 ? duration(ms / 1000) : ms >= 100 ? grouped(ms) : ms.toPrecision(2);

function timeTable({ time, work, plans }: Estimate, style: Style): string {
  const { totalSteps } = plans[0]!.settings;
  const { encoder, sparse, adam, auxk, model } = work.perStep;
  const sae = encoder + sparse + adam + time.auxkShare * auxk;
  const flops: Readonly<Record<string, number>> = { model, SAE: sae };
  const all = time.stages.reduce((sum, { seconds }) => sum + seconds, 0);
  const row = (
    name: string,
    each: number | undefined,
    ms: number | undefined,
    seconds: number,
    share: number,
  ) => [
    `  ${name}`,
    each ? operations(each) : '',
    ms === undefined ? '' : milliseconds(ms),
    each ? operations(each * totalSteps) : '',
    duration(seconds),
    percent(share),
  ];
  // What happens once is only worth a line where it takes a thousandth.
  const shown = time.stages.filter(({ perStep, seconds }) => perStep !== undefined || seconds > all / 1000);
  const rows = shown.flatMap(({ name, perStep, seconds }) => [
    row(name, flops[name], perStep, seconds, seconds / all),
    ...(name === 'SAE'
      ? [
          ['    encoder product', operations(encoder), '', operations(encoder * totalSteps)],
          ['    decode, gradients', operations(sparse), '', operations(sparse * totalSteps)],
          ['    Adam', operations(adam), '', operations(adam * totalSteps)],
          ...(auxk > 0 ? [['    AuxK at its busiest', operations(auxk), '', '']] : []),
        ]
      : []),
  ]);
  const body = table(
    [
      { title: '' },
      { title: 'FLOP a step', align: 'right' },
      { title: 'ms a step', align: 'right' },
      { title: 'FLOP in all', align: 'right' },
      { title: 'in all', align: 'right' },
      { title: 'share', align: 'right' },
    ],
    [
      ...rows,
      [
        '  total',
        operations(model + sae),
        '',
        operations((model + sae) * totalSteps),
        duration(time.seconds),
      ],
    ],
    style,
  );
  const notes = [
    `${time.tokensPerSecond < 10 ? time.tokensPerSecond.toPrecision(2) : grouped(time.tokensPerSecond)} tokens/s on this machine${time.evaluationSeconds > 0 ? `; the evaluation after it about ${duration(time.evaluationSeconds)}` : ''}`,
    ...auxkNote(time),
    ...(time.scaled.length > 0
      ? [
          `scaled up from a smaller ${time.scaled.join(' and ')}: the real one does not fit, or would take long only to start`,
        ]
      : []),
  ];
  return [body, ...notes.map((note) => style.format('dim', `  ${note}`))].join('\n');
}

/** How much slower a step is while latents are dead, where that is worth a line. */
function auxkNote({ trainers, auxkShare }: Estimate['time']): string[] {
  const [plain, busy] = trainers.reduce(([a, b], one) => [a + one.plain, b + one.withAuxk], [0, 0]);
  if (busy < 1.1 * plain) return [];
  const counted =
    auxkShare > 0 ? `counted in ${percent(auxkShare)} of the steps` : 'not counted: few will be';
  return [
    `while many latents are dead, SAE ${milliseconds(busy)} instead of ${milliseconds(plain)} ms a step (${counted})`,
  ];
}

function diskText({ disk, plans }: Estimate): string {
  const free = disk.free === undefined ? '' : `, ${bytes(disk.free)} free`;
  return `  ${bytes(disk.atEnd)} at the end (the last two checkpoints, the SAE${plans.length > 1 ? ' of each' : ''}), ${bytes(disk.peak)} at most${free}`;
}
