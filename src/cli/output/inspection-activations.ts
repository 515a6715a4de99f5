import { basename, relative } from 'node:path';
import { shortHash } from '../../shared/model-hash.ts';
import { shellWord } from '../../shared/shell-word.ts';
import type { Inspection } from '../../workflows/index.ts';
import { invocation } from '../invocation.ts';
import { bytes, grouped, stored } from './numbers.ts';
import type { Style } from './style.ts';
import { pairs, table } from './table.ts';

type Harvest = Inspection & { kind: 'harvest' };
type Activations = Inspection & { kind: 'activations' };

const figure = (value: number): string => value.toPrecision(4);

/** Every setting is the same in all folders of one harvest but for those of the table. */
export function harvestText(path: string, { folders, writer, verified }: Harvest, style: Style): string {
  const { origin, saekit } = folders[0]!.manifest;
  const severalHooks = folders.some(({ manifest }) => manifest.origin.hook !== origin.hook);
  const stopped = folders.filter(({ manifest }) => !manifest.finished);
  const state =
    writer !== undefined
      ? `process ${writer} is writing it`
      : stopped.length > 0
        ? `stopped before it was finished${stopped.length < folders.length ? ` (${stopped.map(({ folder }) => relative(path, folder) || basename(path)).join(', ')})` : ''}; the command that began it goes on`
        : 'finished';
  const left = [
    ...(origin.excludeSpecial ? ['special tokens'] : []),
    ...(origin.excludeFirst > 0 ? [`the first ${origin.excludeFirst} positions`] : []),
    ...(origin.roles ? [`other roles than ${origin.roles.join(', ')}`] : []),
  ];
  const rows: [string, string][] = [
    ['activations', `${path}, by saekit ${saekit}`],
    ['state', state],
    ['hook', severalHooks ? '' : origin.hook],
    ['model', `${origin.model.name}${stored(origin.model)}, hash ${shortHash(origin.model.hash)}`],
    ['text', origin.data.map((file) => file.path).join(', ')],
    ['split', origin.split],
    ['context', `${origin.contextLength}${left.length > 0 ? `, without ${left.join(', ')}` : ''}`],
    ['seed', String(folders.at(-1)!.manifest.origin.seed).replace('/heldout', '')],
    [
      'checksums',
      verified
        ? `${grouped(verified.files)} files, ${bytes(verified.bytes)}: all as they were written`
        : `not compared; ${invocation()} inspect ${shellWord(path)} --verify does`,
    ],
  ];
  const lines = folders.map(({ folder, manifest: { origin: own, rows: count, shards, statistics } }) => [
    relative(path, folder) || '.',
    ...(severalHooks ? [own.hook] : []),
    own.part === 'train' ? 'training' : 'held out',
    grouped(count),
    String(own.D),
    own.dtype,
    `${shards.length}, ${bytes(shards.reduce((sum, shard) => sum + shard.bytes, 0))}`,
    statistics ? figure(statistics.meanNorm) : '',
    statistics ? figure(statistics.largest) : '',
  ]);
  const head = [
    { title: 'folder' },
    ...(severalHooks ? [{ title: 'hook' }] : []),
    { title: 'part' },
    { title: 'rows', align: 'right' as const },
    { title: 'D', align: 'right' as const },
    { title: 'dtype' },
    { title: 'files' },
    { title: 'mean |x|', align: 'right' as const },
    { title: 'largest', align: 'right' as const },
  ];
  return `${pairs(
    rows.filter(([, value]) => value !== ''),
    style,
  )}\n\n${table(head, lines, style)}`;
}

export function activationsText(
  path: string,
  { format, D, rows, meta, tokens, sample }: Activations,
  style: Style,
): string {
  const bad = sample.notFinite > 0 ? `; ${grouped(sample.notFinite)} of them not finite` : '';
  const lines: [string, string][] = [
    ['activations', path],
    ['format', format],
    ['rows', `${grouped(rows)} of width ${D}, ${tokens ? 'with' : 'without'} token ids`],
    ...Object.entries(meta).map(([name, value]): [string, string] => [name, String(value)]),
    [
      'sample',
      `${grouped(sample.rows)} rows${bad}: mean |x| ${figure(sample.meanNorm)}, largest ${figure(sample.largest)}`,
    ],
  ];
  return pairs(lines, style);
}
