import { peakMemory } from '../../workflows/index.ts';
import type { TrainPlan } from '../../workflows/types.ts';
import { memoryPairs } from './memory.ts';
import { bytes, grouped, short, stored } from './numbers.ts';
import type { Style } from './style.ts';
import { pairs } from './table.ts';

/** What training will do and hold, printed before anything large is allocated. */
export function planText(plan: TrainPlan, style: Style): string {
  const { config, settings, memory, folder } = plan;
  const given = (name: keyof typeof config): string => (config[name] === undefined ? '' : ' (given)');
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
    ...memoryPairs(memory),
    ['folder', folder],
  ];
  return pairs(
    rows.map(([name, value]) => [`  ${name}`, value]),
    style,
  );
}

/** Where the rows come from. */
export function originLines(
  { model, activations, settings, D, Dout }: TrainPlan,
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
      `${model.name}: ${model.family}, ${model.layers} layers, D ${model.D}, ${short(model.parameters)} parameters${stored(model)}`,
    ],
    ['hook', `${settings.hook}${D === model.D ? '' : `, ${D} wide`}${given}`],
    ...(settings.outputHook === undefined
      ? []
      : [['gives', `${settings.outputHook}${Dout === model.D ? '' : `, ${Dout} wide`}`] as [string, string]]),
  ];
}

const extras = ({ freeze, multiTopk, ema, signed, tokenBias, initFrom }: TrainPlan['config']): string[] => [
  ...(freeze === 'none' ? [] : [`frozen: ${freeze}`]),
  ...(multiTopk ? ['Multi-TopK'] : []),
  ...(ema > 0 ? [`average of weights ${ema}`] : []),
  ...(signed ? ['signed codes'] : []),
  ...(tokenBias ? ['a bias for every token'] : []),
  ...(initFrom === undefined ? [] : [`from ${initFrom}`]),
];

/** The same in three lines, for the demo. */
export function briefPlan({ config, settings, memory, folder }: TrainPlan, style: Style): string {
  const rows: [string, string][] = [
    [
      'SAE',
      `TopK, F ${grouped(config.latents)}, K ${config.k} at ${settings.hook}, lr ${settings.lr.toPrecision(3)}, AuxK ${settings.auxk}`,
    ],
    ['memory', `${bytes(peakMemory(memory).bytes)} at most`],
    ['folder', folder],
  ];
  return pairs(
    rows.map(([name, value]) => [`  ${name}`, value]),
    style,
  );
}
