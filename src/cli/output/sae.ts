/** What a terminal shows of an SAE. */
import { describeSae, selfTestText } from '../../sae/index.ts';
import type { Converted, SaeInspection } from '../../workflows/index.ts';
import { grouped } from './numbers.ts';
import type { Style } from './style.ts';
import { pairs } from './table.ts';

const numbers = (range: readonly number[]): string => range.map((value) => value.toPrecision(3)).join(' … ');

/** What weights and, where there were some, activations say. */
export function saeRows({
  statistics,
  test,
}: Pick<SaeInspection, 'statistics' | 'test'>): [string, string][] {
  const { encoderNorm, decoderNorm, encoderBias, threshold, nearDuplicates } = statistics;
  const examples = nearDuplicates.examples.map(([f, g]) => `${f} and ${g}`).join(', ');
  return [
    ['self-test', selfTestText(test)],
    ['encoder norms', `${numbers(encoderNorm)} (least, median, largest)`],
    ['decoder norms', numbers(decoderNorm)],
    ['encoder biases', numbers(encoderBias)],
    ...(threshold ? [['thresholds', numbers(threshold)] as [string, string]] : []),
    ['density', densityText(test)],
    [
      'near duplicates',
      `${nearDuplicates.found} of ${nearDuplicates.of} latents have a decoder row of cosine > 0.95 with another${examples === '' ? '' : `: ${examples}`}`,
    ],
  ];
}

function densityText({ density }: SaeInspection['test']): string {
  if (!density) return 'not known without activations: --activations PATH measures it';
  const one = (share: number): string => (share === 0 ? 'none' : `1 in ${grouped(Math.round(1 / share))}`);
  const { rows, median, most, never } = density;
  return `the median latent fires on ${one(median)} of ${grouped(rows)} rows, one on ${one(most)}, ${grouped(never)} on none`;
}

const ends = (values: readonly unknown[]): string =>
  (values.length > 3 ? [values[0], `… (${values.length})`, values.at(-1)] : values).join(', ');

export function saeText(path: string, found: SaeInspection, style: Style): string {
  const { config, format, notes } = found;
  const origin = Object.entries(config.metadata)
    .map(([name, value]) => [name, Array.isArray(value) ? ends(value) : value] as const)
    .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
    .map(([name, value]): [string, string] => [name, String(value)]);
  return pairs(
    [
      ['SAE', path],
      ['kind', describeSae(config)],
      ['format', format],
      ...notes.map((note): [string, string] => ['note', note]),
      ...origin,
      ...saeRows(found),
    ],
    style,
  );
}

export function convertedText(
  out: string,
  { from, to, sae, notes, test, changed, lost }: Converted,
  style: Style,
): string {
  return pairs(
    [
      ['written', out],
      ['kind', describeSae(sae)],
      ['from, to', `${from} -> ${to}`],
      [
        'read again',
        `${changed.length === 0 ? 'every bit of the arrays is the same' : `other bits in ${changed.join(', ')}`}${lost.length === 0 ? ', and every setting' : ''}`,
      ],
      ...(lost.length === 0 ? [] : [['lost', `the format has no place for ${lost.join(', ')}`] as const]),
      ['self-test', selfTestText(test)],
      ...notes.map((note): [string, string] => ['note', note]),
    ],
    style,
  );
}
