import { type Estimate, type MemoryLine, type Phase, peakMemory } from '../../workflows/index.ts';
import { bytes, grouped } from './numbers.ts';
import type { Style } from './style.ts';
import { table } from './table.ts';

/** When the peak comes. */
const WHEN: Readonly<Record<Phase, string>> = {
  training: 'while it trains',
  saving: 'when the SAE is saved',
  evaluation: 'in the evaluation at the end',
};

/** 1,020 MB: a peak is compared with what a machine has, to more than two digits. Beyond 100 GB in GB. */
const megabytes = (count: number): string =>
  count < 1e11 ? `${grouped(count / 1e6)} MB` : `${grouped(count / 1e9)} GB`;

/** The peak and what it is made of, for a list of pairs. */
export function memoryPairs(lines: readonly MemoryLine[]): [string, string][] {
  const peak = peakMemory(lines);
  const held = lines
    .filter(({ phases }) => phases.includes(peak.phase))
    .map(({ name, bytes: size }) => `${name} ${bytes(size)}`);
  return [
    ['memory', `${megabytes(peak.bytes)} at most, ${WHEN[peak.phase]}:`],
    ...chunks(held, 3).map((line): [string, string] => ['', line.join(', ')]),
  ];
}

const chunks = (list: readonly string[], size: number): string[][] =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));

const PHASES: readonly Phase[] = ['training', 'saving', 'evaluation'];

/** Bytes by purpose and phase; the largest sum is the peak. */
export function memoryTable(
  { lines, peak, phase, available, perRank }: Estimate['memory'],
  style: Style,
): string {
  const cell = (line: MemoryLine, when: Phase): string =>
    line.phases.includes(when) ? megabytes(line.bytes) : '';
  const sums = PHASES.map((when) =>
    lines.reduce((sum, line) => sum + (line.phases.includes(when) ? line.bytes : 0), 0),
  );
  const body = table(
    [{ title: '' }, ...PHASES.map((title) => ({ title, align: 'right' as const }))],
    [
      ...lines.map((line) => [`  ${line.name}`, ...PHASES.map((when) => cell(line, when))]),
      ['  resident set', ...sums.map(megabytes)],
    ],
    style,
  );
  const notes = [
    `peak ${megabytes(peak)} ${WHEN[phase]}; ${megabytes(available)} available`,
    ...(perRank.ranks > 1
      ? [`each of ${perRank.ranks} threads holds ${megabytes(perRank.bytes)} of latents and their batch`]
      : []),
  ];
  return [body, ...notes.map((note) => style.format('dim', `  ${note}`))].join('\n');
}
