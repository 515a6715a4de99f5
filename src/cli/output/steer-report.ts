/** The report in a terminal: per latent a line for every strength, the latent beside the matched ones and what needs no strength, and the tests. */
import { selfTestText } from '../../sae/index.ts';
import type { SteeredFeature, SteerMeasureName, SteerPoint, SteerReport } from '../../shared/steer-report.ts';
import { oneIn } from './numbers.ts';
import type { Style } from './style.ts';
import { table } from './table.ts';

const COLUMNS = ['checker', 'judge', 'classifier', 'target', 'loss', 'repetition', 'kl'] as const;

const number = (value: number | null | undefined): string =>
  value === null || value === undefined ? '' : value.toFixed(Math.abs(value) < 0.01 ? 4 : 2);

export function steerReportText({ features, selfTest }: SteerReport, style: Style): string {
  const known = selfTest ? [style.format('dim', `SAE ${selfTestText(selfTest)}`)] : [];
  return [...known, ...features.map((feature) => featureText(feature, style))].join('\n\n');
}

function featureText(feature: SteeredFeature, style: Style): string {
  const { latent, concept, chosenBy, density, points, unsteered, tests } = feature;
  const shown = COLUMNS.filter((name) => points[0]?.measures[name]);
  const cells = ({ measures }: SteerPoint, name: SteerMeasureName): string => number(measures[name]?.value);
  const rows = [...unsteered, ...points].map((point) => [
    point.arm + (point.who.length > 1 ? ` (${point.who.length})` : ''),
    point.strength === 0 ? '' : String(point.strength),
    ...shown.map((name) => cells(point, name)),
  ]);
  const by = chosenBy.includes('given') ? '' : `, chosen by ${chosenBy.join(' and ')}`;
  const found = tests.map(
    ({ measure, value, controls, p, adjusted }) =>
      `${measure} ${number(value)} against ${number(controls.reduce((a, b) => a + b, 0) / controls.length)} of ${controls.length} matched latents: p ${number(p)}, adjusted ${number(adjusted)}`,
  );
  return [
    `${style.format('bold', `#${latent} ${concept}`)}  ${style.format('dim', `fires on ${oneIn(density)}${by}`)}`,
    table(
      [{ title: '' }, ...['strength', ...shown].map((title) => ({ title, align: 'right' as const }))],
      rows,
      style,
    ),
    ...found,
  ].join('\n');
}
