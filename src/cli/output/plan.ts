import type { TrainPlan } from '../../workflows/types.ts';
import { bytes, grouped, short } from './numbers.ts';
import type { Style } from './style.ts';
import { pairs } from './table.ts';

/** What training will do and hold, printed before anything large is allocated. */
export function planText({ config, settings, model, D, budget, folder }: TrainPlan, style: Style): string {
  const given = (name: keyof typeof config): string => (config[name] === undefined ? '' : ' (given)');
  const rows: [string, string][] = [
    [
      'model',
      `${model.name}: ${model.family}, ${model.layers} layers, D ${model.D}, ${short(model.parameters)} parameters`,
    ],
    ['hook', `${settings.hook}${D === model.D ? '' : `, ${D} wide`}${given('hook')}`],
    [
      'SAE',
      `TopK, F ${grouped(config.latents)}, K ${config.k}${config.freeze === 'none' ? '' : `, frozen: ${config.freeze}`}`,
    ],
    [
      'steps',
      `${grouped(settings.totalSteps)} of ${grouped(config.batchTokens)} tokens, context ${settings.contextLength}, seed ${config.seed}`,
    ],
    [
      'rate',
      `${settings.lr.toPrecision(3)}${given('lr')}, warm-up ${settings.warmupSteps} steps, decay over the last ${settings.decaySteps}`,
    ],
    [
      'dead',
      `silent for ${grouped(settings.deadWindowTokens)} tokens; AuxK ${settings.auxk} x ${config.auxkCoefficient.toPrecision(3)}`,
    ],
    ['threads', `${settings.workers} for ${config.shards} shards`],
    [
      'memory',
      `${bytes(budget.total)} beyond the model: weights and Adam ${bytes(budget.state)}, batches ${bytes(budget.batch)}, shuffle ${bytes(budget.shuffle)}, the rest ${bytes(budget.rest)}`,
    ],
    ['folder', folder],
  ];
  return pairs(
    rows.map(([name, value]) => [`  ${name}`, value]),
    style,
  );
}
