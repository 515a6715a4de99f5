/** What is in a folder or file: a run, an SAE, a model, a direction, activations, a corpus, packed rows. Decides by what is there, not by names. */
import { readFile, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, relative } from 'node:path';
import { z } from 'zod';
import { type Corpus, openCorpus, readTokenManifest, type TokenManifest } from '../data/index.ts';
import { readSafetensors } from '../formats/index.ts';
import { findGguf, modelArgument } from '../hub/index.ts';
import type { HubAccess } from '../hub/types.ts';
import { describeOnnx, type OnnxDescription, openModel } from '../models/index.ts';
import type { HookInfo, ModelInfo } from '../models/types.ts';
import { openFile } from '../platform/node.ts';
import { UsageError } from '../shared/errors.ts';
import { type EvalResult, evalResultSchema } from '../shared/eval.ts';
import { type FeatureCards, type FeatureLabel, featureCardsSchema } from '../shared/feature.ts';
import type { GridFile } from '../shared/grid.ts';
import { type FileKind, migrate, NewerFile } from '../shared/migrate.ts';
import type { MetricsLine, Run } from '../shared/run.ts';
import { readVector, type SteeringVector } from '../steer/index.ts';
import {
  lockOwner,
  NoActivations,
  readLabels,
  readRun,
  readRunMetrics,
  runCheckpoints,
} from '../store/index.ts';
import { hubAccess } from './hub.ts';
import {
  type ActivationsInspection,
  type HarvestInspection,
  inspectActivations,
  inspectHarvest,
} from './inspect-activations.ts';
import { inspectSae, isTranscoderFile, looksLikeSae, type SaeInspection } from './inspect-sae.ts';
import { GRID_FILE, readGrid } from './train-grid.ts';

export type RunInspection = {
  readonly kind: 'run';
  readonly run: Run;
  /** A process that is writing it now. */
  readonly writer: number | undefined;
  /** The host of that process, when it is another one: whether it lives is not known here. */
  readonly writerHost?: string;
  readonly metrics: readonly MetricsLine[];
  readonly checkpoints: readonly number[];
  readonly evaluation: EvalResult | undefined;
  readonly cards: FeatureCards | undefined;
  /** Of a finished one: what its weights say, and the self-test. */
  readonly sae?: Pick<SaeInspection, 'config' | 'statistics' | 'test'>;
};

export type Inspection =
  | RunInspection
  | {
      readonly kind: 'grid';
      readonly grid: GridFile;
      /** In the order of grid.json; undefined for one that was not begun. */
      readonly members: readonly (RunInspection | undefined)[];
    }
  | (SaeInspection & {
      readonly evaluation: EvalResult | undefined;
      readonly cards: FeatureCards | undefined;
    })
  | { readonly kind: 'model'; readonly info: ModelInfo; readonly hooks: readonly HookInfo[] }
  | {
      readonly kind: 'onnx';
      readonly file: OnnxDescription;
      /** When text can be run through it. */
      readonly info?: ModelInfo;
      /** Why it cannot. */
      readonly notText?: string;
    }
  | ({ readonly kind: 'harvest' } & HarvestInspection)
  | ({ readonly kind: 'activations' } & ActivationsInspection)
  | {
      readonly kind: 'vector';
      readonly hook: string;
      readonly D: number;
      readonly length: number;
      readonly metadata: SteeringVector['metadata'];
    }
  | { readonly kind: 'tokens'; readonly manifest: TokenManifest }
  | {
      readonly kind: 'corpus';
      readonly files: Corpus['files'];
      readonly train: number;
      readonly heldout: number;
      readonly split: string;
      readonly registers: Readonly<Record<string, number>>;
      readonly example: string;
    };

/** Documents looked at for the table of registers. */
const LOOK_AT = 2000;

/** With the progress of a GGUF file's conversion, and a signal. */
export type InspectOptions = HubAccess & {
  readonly textField?: string;
  /** Compare every byte of harvested activations with its checksum. */
  readonly verify?: boolean;
  /** Bytes compared. */
  readonly onVerify?: (done: number, total: number) => void;
  /** Of an SAE: activations of its hook, to measure it on. */
  readonly activations?: string;
};

/** @throws when there is nothing at the path, or nothing that is known (says what was looked for); when checksums differ */
export async function inspect(path: string, options: InspectOptions = {}): Promise<Inspection> {
  const found = await look(path, options);
  if (options.verify && found.kind !== 'harvest')
    throw new UsageError(
      `${path}: there are no checksums to compare with; only folders of saekit harvest have them. Leave --verify out.`,
    );
  if (options.activations !== undefined && found.kind !== 'sae' && !(found.kind === 'run' && found.sae))
    throw new UsageError(
      `${path} is no finished SAE, so there is nothing to measure on activations. Leave --activations out.`,
    );
  return found;
}

async function look(path: string, { textField = 'text', ...options }: InspectOptions): Promise<Inspection> {
  const { signal } = options;
  signal?.throwIfAborted();
  const stop = signal ? { signal } : {};
  if (path.startsWith('npm:')) {
    const found = await modelArgument(path, stop);
    if (found.kind === 'onnx') return await inspectOnnx(path, stop);
    if ('path' in found) return await look(found.path, { textField, ...options });
  }
  const info = await stat(path).catch(() => undefined);
  // Before the message that there is no such file: this one knows where else GGUF files lie.
  if (path.startsWith('ollama:') || path.endsWith('.gguf')) return await inspectModel(path, options);
  if (
    !info?.isDirectory() &&
    (looksLikeSae(path, info?.isDirectory()) || (info && (await isTranscoderFile(path))))
  )
    return { ...(await inspectSae(path, options)), evaluation: undefined, cards: undefined };
  if (!info && !path.includes('#')) throw new Error(`${path}: no such file or folder.`);
  if (info?.isFile() && path.endsWith('.safetensors')) {
    const vector = await inspectVector(path);
    if (vector) return vector;
  }
  const has = (file: string): Promise<boolean> =>
    stat(join(path, file)).then(
      () => true,
      () => false,
    );
  if (info?.isDirectory()) {
    if (await has('run.json')) {
      const run = await inspectRun(path);
      if (run.run.status !== 'finished' || !looksLikeSae(path, true)) return run;
      const { config, statistics, test } = await inspectSae(path, options);
      return { ...run, sae: { config, statistics, test } };
    }
    if (await has(GRID_FILE)) {
      const grid = await readGrid(path);
      const members = grid.members.map(({ folder }) => join(path, folder));
      const begun = (member: string) =>
        has(join(relative(path, member), 'run.json')).then((is) => (is ? inspectRun(member) : undefined));
      return { kind: 'grid', grid, members: await Promise.all(members.map(begun)) };
    }
    if (looksLikeSae(path, true))
      return { ...(await inspectSae(path, options)), ...(await readResults(path)) };
    if ((await has('config.json')) || (await findGguf(path)) !== undefined)
      return await inspectModel(path, options);
    const manifest = await readTokenManifest(path);
    if (manifest) return { kind: 'tokens', manifest };
    const harvested = await inspectHarvest(path, options);
    if (harvested) return { kind: 'harvest', ...harvested };
  }
  if (info?.isFile() && path.endsWith('.onnx')) return await inspectOnnx(path, stop);
  const found = await inspectActivations(path, options.signal);
  if (!(found instanceof Error)) return { kind: 'activations', ...found };
  try {
    return await inspectCorpus(path, textField, stop);
  } catch (error) {
    throw found instanceof NoActivations ? error : found;
  }
}

/** A direction of `saekit vector`; undefined for a file of other tensors. */
async function inspectVector(path: string): Promise<Inspection | undefined> {
  const source = await openFile(path);
  try {
    const file = await readSafetensors(source, path);
    if (!file.tensors.has('vector') || file.metadata.hook === undefined) return undefined;
    const { vector, hook, metadata } = await readVector(source, path);
    return { kind: 'vector', hook, D: vector.length, length: Math.hypot(...vector), metadata };
  } finally {
    await source.close?.();
  }
}

async function inspectOnnx(path: string, stop: { readonly signal?: AbortSignal }): Promise<Inspection> {
  const file = await describeOnnx(path, stop);
  if (file.notText !== undefined) return { kind: 'onnx', file, notText: file.notText };
  const model = await openModel(path, stop);
  await model.close();
  return { kind: 'onnx', file, info: model.info };
}

async function inspectModel(path: string, access: HubAccess): Promise<Inspection> {
  const model = await openModel(path, hubAccess(access));
  await model.close();
  return { kind: 'model', info: model.info, hooks: model.hooks };
}

async function inspectRun(path: string): Promise<RunInspection> {
  const owner = await lockOwner(path);
  return {
    kind: 'run',
    run: await readRun(path),
    writer: owner?.pid,
    ...(owner && owner.host !== hostname() ? { writerHost: owner.host } : {}),
    metrics: await readRunMetrics(path),
    checkpoints: await runCheckpoints(path),
    ...(await readResults(path)),
  };
}

/** What `saekit eval` left in a folder. */
export async function readResults(path: string) {
  const cards = await readChecked('cards', join(path, 'features', 'cards.json'), featureCardsSchema);
  return {
    evaluation: await readEvaluation(path),
    cards: cards && labelled(cards, await readLabels(path)),
  };
}

/** The same without the cards, which are the larger part. */
export const readEvaluation = (path: string): Promise<EvalResult | undefined> =>
  readChecked('eval', join(path, 'eval.json'), evalResultSchema);

const labelled = (cards: FeatureCards, labels: ReadonlyMap<number, FeatureLabel>): FeatureCards => ({
  ...cards,
  cards: cards.cards.map((card) => {
    const label = labels.get(card.latent)?.label;
    return label === undefined ? card : { ...card, label };
  }),
});

async function readChecked<T>(kind: FileKind, file: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    return schema.parse(migrate(kind, JSON.parse(text), file));
  } catch (error) {
    if (error instanceof NewerFile) throw error;
    const [issue] = error instanceof z.ZodError ? error.issues : [];
    const reason = issue
      ? `${issue.path.join('.') || 'the whole'}: ${issue.message}`
      : (error as Error).message;
    throw new Error(`${file} cannot be read (${reason}). Make it again with saekit eval.`);
  }
}

async function inspectCorpus(
  path: string,
  textField: string,
  stop: { readonly signal?: AbortSignal },
): Promise<Inspection> {
  const corpus = await openCorpus({ data: [path], textField, ...stop });
  try {
    const registers: Record<string, number> = {};
    let example = '';
    const count = Math.min(LOOK_AT, corpus.train.count);
    for (let i = 0; i < count; i++) {
      stop.signal?.throwIfAborted();
      // Spread over the corpus: files are often sorted.
      const document = await corpus.train.get(Math.floor((i * corpus.train.count) / count));
      if (document.register !== undefined)
        registers[document.register] = (registers[document.register] ?? 0) + 1;
      if (i === 0) example = document.text.slice(0, 200);
    }
    const { files, train, heldout, split } = corpus;
    return { kind: 'corpus', files, train: train.count, heldout: heldout.count, split, registers, example };
  } finally {
    await corpus.close();
  }
}
