/** What a terminal shows of an SAE. */
import { describeSae, selfTestText } from '../../sae/index.ts';
import type { Converted, SaeInspection } from '../../workflows/index.ts';
import type { Style } from './style.ts';
import { pairs } from './table.ts';

const numbers = (range: readonly number[]): string => range.map((value) => value.toPrecision(3)).join(' … ');

export function saeText(path: string, found: SaeInspection, style: Style): string {
  const { config, format, notes, statistics, test } = found;
  const { encoderNorm, decoderNorm, encoderBias, threshold, nearDuplicates } = statistics;
  const origin = Object.entries(config.metadata)
    .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
    .map(([name, value]): [string, string] => [name, String(value)]);
  const examples = nearDuplicates.examples.map(([f, g]) => `${f} and ${g}`).join(', ');
  return pairs(
    [
      ['SAE', path],
      ['kind', describeSae(config)],
      ['format', format],
      ['self-test', selfTestText(test)],
      ...notes.map((note): [string, string] => ['note', note]),
      ...origin,
      ['encoder norms', `${numbers(encoderNorm)} (least, median, largest)`],
      ['decoder norms', numbers(decoderNorm)],
      ['encoder biases', numbers(encoderBias)],
      ...(threshold ? [['thresholds', numbers(threshold)] as [string, string]] : []),
      [
        'near duplicates',
        `${nearDuplicates.found} of ${nearDuplicates.of} latents have a decoder row of cosine > 0.95 with another${examples === '' ? '' : `: ${examples}`}`,
      ],
    ],
    style,
  );
}

export function convertedText(
  out: string,
  { from, to, sae, notes, test, changed }: Converted,
  style: Style,
): string {
  return pairs(
    [
      ['written', out],
      ['kind', describeSae(sae)],
      ['from, to', `${from} -> ${to}`],
      ['read again', changed.length === 0 ? 'every bit is the same' : `other bits in ${changed.join(', ')}`],
      ['self-test', selfTestText(test)],
      ...notes.map((note): [string, string] => ['note', note]),
    ],
    style,
  );
}
