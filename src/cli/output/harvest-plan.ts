import { type HarvestPlan, modelMemoryText } from '../../workflows/index.ts';
import { bytes, grouped } from './numbers.ts';
import type { Style } from './style.ts';
import { pairs } from './table.ts';

/** What a harvest will read and write, printed before it starts. */
export function harvestPlanText(plan: HarvestPlan, style: Style): string {
  const { hooks, dtype, tokens, heldoutTokens, contextLength, folder } = plan;
  const perRow = hooks.reduce((sum, { bytesPerRow }) => sum + bytesPerRow, 0);
  const rows: [string, string][] = [
    ...hooks.map(({ hook, D }, i): [string, string] => [i === 0 ? 'hooks' : '', `${hook}, ${D} wide`]),
    [
      'rows',
      `${grouped(tokens)} for training and ${grouped(heldoutTokens)} held out, ${grouped(perRow)} bytes each (${dtype}), context ${contextLength}`,
    ],
    [
      'disk',
      `${bytes(plan.bytes)} needed${plan.storedRows > 0 ? ` beyond what is there` : ''}${plan.free === undefined ? '' : `, ${bytes(plan.free)} free`}; ${bytes(plan.buffer)} of memory for files that are not full`,
    ],
    ['memory', modelMemoryText(plan.modelMemory)],
    ['folder', folder],
  ];
  return pairs(
    rows.map(([name, value]) => [`  ${name}`, value]),
    style,
  );
}
