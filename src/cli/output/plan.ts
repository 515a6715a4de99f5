import type { TrainPlan } from '../../workflows/types.ts';
import { bytes, grouped, short } from './numbers.ts';
import type { Style } from './style.ts';
import { pairs } from './table.ts';

/** What training will do and hold, printed before anything large is allocated. */
export function planText(plan: TrainPlan, style: Style): string {
  const { config, settings, budget, folder } = plan;
  const given = (name: keyof typeof config): string => (config[name] === undefined ? '' : ' (given)');
  const total = Object.values(budget).reduce((sum, part) => sum + part, 0);
  const parts = Object.entries(budget).map(([name, part]) => `${name} ${bytes(part)}`);
  const rows: [string, string][] = [
    ...originLines(plan, given('hook')),
    ['SAE', [`TopK, F ${grouped(config.latents)}, K ${config.k}`, ...extras(config)].join(', ')],
    [
      'steps',
      `${grouped(settings.totalSteps)} of ${grouped(config.batchTokens)} tokens, ${plan.model ? `context ${settings.contextLength}, ` : ''}seed ${config.seed}`,
    ],
    [
      'rate',
      `${settings.lr.toPrecision(3)}${given('lr')}, recipe ${config.recipe}, warm-up ${settings.warmupSteps} steps, decay over the last ${settings.decaySteps}`,
    ],
    [
      'dead',
      `after ${grouped(settings.deadWindowTokens)} silent tokens; AuxK ${settings.auxk}${given('auxk')}`,
    ],
    ['threads', `${settings.workers} for ${config.shards} shards`],
    ['memory', `${bytes(total)} beyond the model and Node's own 90 MB:`],
    ...chunks(parts, 2).map((line): [string, string] => ['', line.join(', ')]),
    ['folder', folder],
  ];
  return pairs(
    rows.map(([name, value]) => [`  ${name}`, value]),
    style,
  );
}

/** Where the rows come from. */
export function originLines(
  { model, activations, settings, D }: TrainPlan,
  given: string,
): [string, string][] {
  if (activations)
    return [
      ['rows', `${activations.name}: ${activations.format}, ${grouped(activations.rows)} rows, D ${D}`],
      ...(settings.hook === activations.name
        ? []
        : [['hook', `${settings.hook}${given}`] as [string, string]]),
    ];
  if (!model) return [];
  return [
    [
      'model',
      `${model.name}: ${model.family}, ${model.layers} layers, D ${model.D}, ${short(model.parameters)} parameters`,
    ],
    ['hook', `${settings.hook}${D === model.D ? '' : `, ${D} wide`}${given}`],
  ];
}

const extras = ({ freeze, multiTopk, ema, initFrom }: TrainPlan['config']): string[] => [
  ...(freeze === 'none' ? [] : [`frozen: ${freeze}`]),
  ...(multiTopk ? ['Multi-TopK'] : []),
  ...(ema > 0 ? [`average of weights ${ema}`] : []),
  ...(initFrom === undefined ? [] : [`from ${initFrom}`]),
];

const chunks = (list: readonly string[], size: number): string[][] =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));

/** The same in three lines, for the demo. */
export function briefPlan({ config, settings, budget, folder }: TrainPlan, style: Style): string {
  const total = Object.values(budget).reduce((sum, part) => sum + part, 0);
  const rows: [string, string][] = [
    [
      'SAE',
      `TopK, F ${grouped(config.latents)}, K ${config.k} at ${settings.hook}, lr ${settings.lr.toPrecision(3)}, AuxK ${settings.auxk}`,
    ],
    [
      'memory',
      `${bytes(total)} beyond the model and Node, weights and Adam ${bytes(Object.values(budget)[0] ?? 0)} of it`,
    ],
    ['folder', folder],
  ];
  return pairs(
    rows.map(([name, value]) => [`  ${name}`, value]),
    style,
  );
}
