/** What `saekit inspect file.onnx` prints. */

import type { OnnxTensor } from '../../models/index.ts';
import { shortHash } from '../../shared/model-hash.ts';
import type { Inspection } from '../../workflows/index.ts';
import { grouped } from './numbers.ts';
import type { Style } from './style.ts';
import { pairs, table } from './table.ts';
import { wrap } from './wrap.ts';

const shape = ({ dims }: OnnxTensor): string => (dims ? `[${dims.join(',')}]` : '');

function tensorTable(tensors: readonly OnnxTensor[], style: Style): string {
  const columns = [{ title: 'tensor' }, { title: 'op' }, { title: 'type' }, { title: 'shape' }];
  return table(
    columns,
    tensors.map((one) => [one.name, one.op, one.type ?? '', shape(one)]),
    style,
  );
}

/** How often each operator makes a tensor, most first. */
function operators(tensors: readonly OnnxTensor[]): string {
  const counts = new Map<string, number>();
  for (const { op } of tensors) counts.set(op, (counts.get(op) ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 8);
  return sorted.map(([op, count]) => `${grouped(count)} ${op}`).join(', ');
}

/** Inputs or outputs; those of a cache, two per layer, are counted. */
function list(values: readonly OnnxTensor[], show: (one: OnnxTensor) => string): string {
  const cache = values.filter(({ name }) => /^(past|present)/.test(name));
  const others = values.filter((one) => !cache.includes(one)).map(show);
  return [...others, ...(cache.length > 0 ? [`${cache.length} of a cache`] : [])].join('; ');
}

/** @param all every tensor, too */
export function onnxText(found: Inspection & { kind: 'onnx' }, style: Style, all: boolean): string {
  const { file, info } = found;
  const rows: [string, string][] = [
    ['ONNX', file.name],
    [
      'from',
      [file.producer, file.opset === undefined ? '' : `opset ${file.opset}`].filter(Boolean).join(', '),
    ],
    ['inputs', list(file.inputs, (one) => `${one.name} ${one.type} ${shape(one)}`)],
    ['outputs', list(file.outputs, (one) => `${one.name} ${shape(one)}`.trim())],
    ['tensors', `${grouped(file.tensors.length)}: ${operators(file.tensors)}, …`],
    ...(info
      ? ([
          [
            'reads',
            `text: ${info.layers} layers, D ${info.D}, ${grouped(info.V)} tokens${info.encoder ? ', no next token' : ''}`,
          ],
          ['hash', shortHash(info.hash)],
        ] as [string, string][])
      : []),
    ...(found.notText === undefined ? [] : ([['no text', found.notText]] as [string, string][])),
    ...(file.notRun === undefined
      ? []
      : ([['shapes', `not measured: ${file.notRun.split('\n')[0]}`]] as [string, string][])),
  ];
  const head = pairs(
    rows.map(([name, value]) => [
      name,
      wrap(value, Math.max(40, style.columns - 10)).join(`\n${' '.repeat(9)}`),
    ]),
    style,
  );
  const hooks =
    file.hooks.length === 0
      ? 'No residual stream was found: no chain of sums that everything goes through. Any tensor can be read by its own name.'
      : table(
          [{ title: 'hook' }, { title: 'tensor' }, { title: 'op' }, { title: 'shape' }],
          file.hooks.map((one) => [one.hook, one.name, one.op, shape(one)]),
          style,
        );
  const rest = all
    ? tensorTable(file.tensors, style)
    : style.format(
        'dim',
        'Any other tensor is a hook by its own name: --tensors lists them, B sequences, T positions, N = B T rows.',
      );
  return `${head}\n\n${hooks}\n\n${rest}`;
}
