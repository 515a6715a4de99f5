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
    ['SAE', [kindText([plan]), ...extras(plan)].join(', ')],
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
      `after ${grouped(settings.deadWindowTokens)} silent tokens; ${settings.resampleSteps > 0 ? `starts anew every ${grouped(settings.resampleSteps)} steps` : `AuxK ${settings.auxk}${given('auxk')}`}`,
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

/** How many latents are active, and who says so. */
export const activeText = ({ config, settings: { l0 }, trainer: { sparsity } }: TrainPlan): string =>
  sparsity === undefined
    ? `K ${config.k}`
    : l0 > 0
      ? `L0 ${l0}`
      : `coefficient ${config.sparsityCoefficient}`;

/** Kind and sizes of one SAE, or of several: each value once. */
export function kindText(plans: readonly TrainPlan[]): string {
  const each = (of: (plan: TrainPlan) => string): string => [...new Set(plans.map(of))].join(', ');
  return `${each(({ config }) => config.variant)}, F ${each(({ config }) => grouped(config.latents))}, ${each(activeText)}`;
}

const extras = ({
  config: { freeze, multiTopk, ema, signed, tokenBias, initFrom, penaltyPower },
  trainer: { prefixes },
}: TrainPlan): string[] => [
  ...(prefixes ? [`prefixes ${prefixes.map(grouped).join(' ')}`] : []),
  ...(penaltyPower < 1 ? [`p falls to ${penaltyPower}`] : []),
  ...(freeze === 'none' ? [] : [`frozen: ${freeze}`]),
  ...(multiTopk ? ['Multi-TopK'] : []),
  ...(ema > 0 ? [`average of weights ${ema}`] : []),
  ...(signed ? ['signed codes'] : []),
  ...(tokenBias ? ['a bias for every token'] : []),
  ...(initFrom === undefined ? [] : [`from ${initFrom}`]),
];

/** The same in three lines, for the demo. */
export function briefPlan(plan: TrainPlan, style: Style): string {
  const { settings, memory, folder } = plan;
  const rows: [string, string][] = [
    [
      'SAE',
      `${kindText([plan])} at ${settings.hook}, lr ${settings.lr.toPrecision(3)}, AuxK ${settings.auxk}`,
    ],
    ['memory', `${bytes(peakMemory(memory).bytes)} at most`],
    ['folder', folder],
  ];
  return pairs(
    rows.map(([name, value]) => [`  ${name}`, value]),
    style,
  );
}
