import { formatEvalTable } from '../../eval/index.ts';
import { describeSae, type SaeConfig } from '../../sae/index.ts';
import type { FeatureCards } from '../../shared/feature.ts';
import { shortHash } from '../../shared/model-hash.ts';
import type { Run } from '../../shared/run.ts';
import { shellWord } from '../../shared/shell-word.ts';
import type { Inspection } from '../../workflows/index.ts';
import { invocation } from '../invocation.ts';
import { cardText } from './card.ts';
import { sparkline } from './charts.ts';
import { gridInspectionText } from './grid-view.ts';
import { activationsText, harvestText } from './inspection-activations.ts';
import { bytes, grouped, short, stored } from './numbers.ts';
import { onnxText } from './onnx.ts';
import { saeRows, saeText } from './sae.ts';
import { stateText } from './state.ts';
import type { Style } from './style.ts';
import { pairs, table } from './table.ts';

export type InspectionOptions = {
  readonly style: Style;
  readonly features: number;
  /** Of an ONNX file, list every tensor. */
  readonly tensors?: boolean;
};

/** What `saekit inspect` prints. */
export function inspectionText(
  path: string,
  found: Inspection,
  { style, features, tensors = false }: InspectionOptions,
): string {
  switch (found.kind) {
    case 'run':
      // A run that is not finished has no SAE to measure yet.
      return (
        runText(path, found, style) +
        (found.run.status === 'finished' ? resultsText(path, found, { style, features }) : '')
      );
    case 'grid':
      return gridInspectionText(path, found, style);
    case 'sae':
      return (
        saeText(path, found, style) +
        (isMeasured(found.config) ? resultsText(path, found, { style, features }) : '')
      );
    case 'model':
      return modelText(path, found, style);
    case 'onnx':
      return onnxText(found, style, tensors);
    case 'harvest':
      return harvestText(path, found, style);
    case 'activations':
      return activationsText(path, found, style);
    case 'vector':
      return vectorText(path, found, style);
    case 'tokens':
      return tokensText(path, found, style);
    case 'corpus':
      return corpusText(path, found, style);
  }
}

function runText(path: string, found: Inspection & { kind: 'run' }, style: Style): string {
  const { run, writer, metrics, checkpoints } = found;
  const { resolved, config, provenance } = run;
  const state = stateText(found);
  const series = (name: string): number[] =>
    metrics.map((line) => Number(line[name])).filter(Number.isFinite);
  const figure = (name: string, digits: number): string => {
    const values = series(name);
    const last = values.at(-1);
    if (last === undefined) return '';
    const varies = values.some((value) => Math.abs(value - last) > 1e-6);
    return `${last.toFixed(digits)}${varies ? `  ${sparkline(values, 24)}` : ''}`;
  };
  const rows: [string, string][] = [
    ['run', path],
    [
      'state',
      `${state}, step ${grouped(Math.max(run.step, metrics.at(-1)?.step ?? 0))} of ${grouped(Number(resolved.totalSteps))}, begun ${run.started.replace('T', ' ').slice(0, 16)}`,
    ],
    ...originRows(run),
    ['hook', String(resolved.hook)],
    [
      'SAE',
      `${found.sae ? describeSae(found.sae.config) : `${config.variant}, F ${grouped(config.latents)}`}, ${grouped(config.tokens)} tokens`,
    ],
    ...(found.sae ? saeRows(found.sae) : []),
    ['text', provenance.data.map((file) => file.path).join(', ')],
    ['FVU', figure('fvu', 4)],
    ['L0', figure('l0', 1)],
    ['dead', figure('dead', 0)],
    [
      'saved',
      checkpoints.length === 0
        ? 'no checkpoint'
        : `checkpoints of steps ${checkpoints.map(grouped).join(', ')}`,
    ],
  ];
  const next =
    run.status !== 'finished' && writer === undefined
      ? `\n\nGo on with it: ${invocation()} train --resume ${shellWord(path)}`
      : '';
  return (
    pairs(
      rows.filter(([, value]) => value !== ''),
      style,
    ) + next
  );
}

function originRows({ provenance: { model, activations } }: Run): [string, string][] {
  return [
    ...(model
      ? [
          [
            'model',
            `${model.name}, ${model.family}, ${short(model.parameters)} parameters${stored(model)}`,
          ] as [string, string],
        ]
      : []),
    ...(activations
      ? [
          ['rows', `${activations.path}: ${activations.format}, ${grouped(activations.rows)} rows`] as [
            string,
            string,
          ],
        ]
      : []),
  ];
}

/** Whether `saekit eval` takes it: what it gives for a row is compared with one place. */
const isMeasured = ({ architecture, places }: SaeConfig): boolean =>
  architecture !== 'temporal' && places === undefined;

function resultsText(
  path: string,
  { evaluation, cards }: Pick<Inspection & { kind: 'sae' }, 'evaluation' | 'cards'>,
  { style, features }: InspectionOptions,
): string {
  const parts: string[] = [];
  parts.push(
    evaluation ? formatEvalTable(evaluation) : `Not measured yet: ${invocation()} eval ${shellWord(path)}`,
  );
  if (cards && features > 0) parts.push(featuresText(cards, style, features));
  return `\n\n${parts.join('\n\n')}`;
}

/** The first cards of a file, one under another. */
export function featuresText({ cards, rows, order }: FeatureCards, style: Style, count: number): string {
  const columns = Math.min(style.columns, 120);
  const head = style.format(
    'dim',
    `${Math.min(count, cards.length)} of ${cards.length} feature cards, ${order === 'interesting' ? 'most interesting first' : 'a random sample'}, from ${grouped(rows)} held-out tokens`,
  );
  return [head, ...cards.slice(0, count).map((card) => cardText(card, { style, columns, rows: 5 }))].join(
    '\n\n',
  );
}

function modelText(path: string, { info, hooks }: Inspection & { kind: 'model' }, style: Style): string {
  const rows: [string, string][] = [
    ['model', path],
    ['family', info.family],
    ...(info.quantization === undefined ? [] : [['weights', info.quantization] as [string, string]]),
    [
      'shape',
      `${info.layers} layers, D ${info.D}, ${info.heads} heads${info.kvHeads === info.heads ? '' : ` (${info.kvHeads} for keys and values)`}, ${short(info.parameters)} parameters`,
    ],
    ['text', `${grouped(info.V)} tokens, context ${grouped(info.contextLength)}`],
    ['hash', shortHash(info.hash)],
  ];
  const hookRows = hooks.map(({ name, dims, width }) => [
    name,
    `[${dims.join(',')}]`,
    width > 0 ? String(width) : '',
  ]);
  const hookTable = table(
    [{ title: 'hook' }, { title: 'shape' }, { title: 'width', align: 'right' }],
    hookRows,
    style,
  );
  return `${pairs(rows, style)}\n\n${hookTable}`;
}

function vectorText(
  path: string,
  { hook, D, length, metadata }: Inspection & { kind: 'vector' },
  style: Style,
): string {
  const { model = 'not said', model_hash, method, tokens, positive, negative } = metadata;
  const rows: [string, string][] = [
    ['direction', path],
    ['model', `${model}${model_hash === undefined ? '' : `, hash ${shortHash(model_hash)}`}`],
    ['hook', hook],
    ['width', grouped(D)],
    ['length', length.toPrecision(3)],
    ...(method === undefined
      ? []
      : [
          ['made by', `${method} of ${positive} against ${negative} texts, tokens: ${tokens}`] as [
            string,
            string,
          ],
        ]),
  ];
  return `${pairs(rows, style)}\n\nSteer with it: ${invocation()} generate --steer ${shellWord(`${path}=1`)} --prompt "…"`;
}

function tokensText(path: string, { manifest }: Inspection & { kind: 'tokens' }, style: Style): string {
  const { contextLength, bosTokenId, tokenizer, seed, roles, split, sources, train, heldout } = manifest;
  const part = ({ documents, rows, tokens }: typeof train): string =>
    `${grouped(documents)} documents, ${grouped(rows)} rows, ${grouped(tokens)} tokens`;
  const rows: [string, string][] = [
    ['packed rows', path],
    ['tokenizer', `${tokenizer.model}, sha256 ${tokenizer.sha256.slice(0, 12)}…`],
    ['row', `${grouped(contextLength)} positions, ${bosTokenId === null ? 'no BOS' : `BOS ${bosTokenId}`}`],
    ['training', part(train)],
    ['held out', `${part(heldout)} (${split})`],
    ...(roles ? [['roles', roles.join(', ')] as [string, string]] : []),
    ['seed', seed],
    ['text', sources.map((source) => source.path).join(', ')],
  ];
  return pairs(rows, style);
}

function corpusText(path: string, found: Inspection & { kind: 'corpus' }, style: Style): string {
  const size = found.files.reduce((sum, file) => sum + file.bytes, 0);
  const registers = Object.entries(found.registers).sort(([, a], [, b]) => b - a);
  const seen = registers.reduce((sum, [, count]) => sum + count, 0);
  const rows: [string, string][] = [
    ['corpus', path],
    ['files', `${grouped(found.files.length)}, ${bytes(size)}`],
    [
      'documents',
      `${grouped(found.train)} for training, ${grouped(found.heldout)} held out (${found.split})`,
    ],
    ['begins', found.example.replace(/\s+/g, ' ').slice(0, 70)],
  ];
  const head = pairs(rows, style);
  if (registers.length === 0) return head;
  const registerRows = registers.map(([name, count]) => [name, `${((100 * count) / seen).toFixed(1)} %`]);
  return `${head}\n\n${table([{ title: 'register' }, { title: 'share', align: 'right' }], registerRows, style)}`;
}
