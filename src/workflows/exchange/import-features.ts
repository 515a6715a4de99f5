/**
 * Neuronpedia's exports -> labels.jsonl and features/cards.json of the SAE they are of.
 *
 *     explanations   one label per latent, marked as imported with its method and model; labels that are there stay, unless told otherwise
 *     features, activations   cards: density, raised and lowered tokens, the strongest passages
 *
 * Refused: an index beyond the SAE's latents, rows of several models or sources, names or a number of latents that do not fit (fits.ts).
 */
import { readdirSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { z } from 'zod';
import { readSaeConfig } from '../../sae/load.ts';
import { UsageError } from '../../shared/errors.ts';
import {
  type ImportFeaturesConfig,
  neuronpediaActivationSchema,
  neuronpediaExplanationSchema,
  neuronpediaFeatureSchema,
} from '../../shared/exchange.ts';
import { type FeatureCard, type FeatureCards, featureSchemaVersion } from '../../shared/feature.ts';
import { folderWriter, readLabels, writeLabels } from '../../store/index.ts';
import { jsonFile } from '../arrays.ts';
import { readResults } from '../inspect.ts';
import { requireCount, requireNames } from './fits.ts';

/** What is unpacked of one file at most: a gzip of zeros is no export. */
const MOST_BYTES = 2 ** 30;
const TOP = 10;
const expand = promisify(gunzip);

export type FeatureImportResult = {
  readonly labels: number;
  /** Labels that were there and stayed. */
  readonly kept: number;
  readonly cards: number;
};

type Feature = z.output<typeof neuronpediaFeatureSchema>;
type Activation = z.output<typeof neuronpediaActivationSchema>;
type Explanation = z.output<typeof neuronpediaExplanationSchema>;

const ownerOf = ({ modelId, layer }: Pick<Feature, 'modelId' | 'layer'>): string => `${modelId}/${layer}`;

/** @throws UsageError naming the file, line and field that do not fit, or what says that the export is of another SAE */
export async function importFeatures(
  { run, files, modelId, source, replace, partial }: ImportFeaturesConfig,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<FeatureImportResult> {
  const config = await readSaeConfig(run);
  const { F } = config;
  const features = new Map<number, Feature>();
  const activations = new Map<number, Activation[]>();
  const explanations = new Map<number, Explanation>();
  const indices = new Set<number>();
  let first: Pick<Feature, 'modelId' | 'layer'> | undefined;
  for (const file of files.flatMap(filesIn)) {
    for (const [i, line] of (await linesOf(file)).entries()) {
      signal?.throwIfAborted();
      if (line.trim() === '') continue;
      const here = `${file}, line ${i + 1}`;
      const row = parseLine(line, here);
      if (
        (modelId !== undefined && row.modelId !== modelId) ||
        (source !== undefined && row.layer !== source)
      )
        continue;
      first ??= row;
      if (ownerOf(first) !== ownerOf(row))
        throw new UsageError(
          `${here}: rows of ${ownerOf(first)} and of ${ownerOf(row)}. Choose one with --model-id and --source.`,
        );
      indices.add(row.index);
      if (row.index >= F)
        throw new UsageError(
          `${here}: index ${row.index}, but the SAE in ${run} has latents 0 to ${F - 1}: it is another SAE.`,
        );
      if ('description' in row) explanations.set(row.index, row);
      else if ('tokens' in row) activations.set(row.index, [...(activations.get(row.index) ?? []), row]);
      else features.set(row.index, row);
    }
  }
  if (first === undefined) throw new UsageError(`No rows were found in ${files.join(', ')}.`);
  const of = ownerOf(first);
  const hooks = new Set([...features.values()].flatMap(({ hookName }) => hookName ?? []));
  const exported = { modelId: first.modelId, source: first.layer, indices, hooks };
  const receiving = { run, F, metadata: config.metadata };
  requireNames(exported, receiving, modelId !== undefined);
  if (!partial) requireCount(exported, receiving);
  const known = await readLabels(run);
  const labels = [...explanations.values()].filter(({ description }) => description.trim() !== '');
  const fresh = labels.filter(({ index }) => replace || known.get(index)?.label === undefined);
  const cards = [...features.values()].map((feature) =>
    cardOf(feature, activations.get(feature.index) ?? []),
  );
  if (cards.length > 0) await writeCards(run, cards, of);
  await writeLabels(
    run,
    fresh.map(({ index, description, typeName, explanationModelName }) => {
      const { note } = known.get(index) ?? {};
      const by = [typeName, explanationModelName].filter((part) => part).join(', ');
      return {
        ...{ latent: index, label: description.trim(), origin: 'imported' as const },
        checked: `imported from Neuronpedia ${of}${by ? ` (${by})` : ''}`,
        ...(note === undefined ? {} : { note }),
      };
    }),
  );
  return { labels: fresh.length, kept: labels.length - fresh.length, cards: cards.length };
}

/** Cards made here stay: those of the same latents are replaced, the others follow. */
async function writeCards(run: string, cards: readonly FeatureCard[], of: string): Promise<void> {
  const { cards: before } = await readResults(run);
  const imported = new Set(cards.map(({ latent }) => latent));
  const note = `Imported from Neuronpedia ${of}: densities and passages are of its text.`;
  const all: FeatureCards = {
    schemaVersion: featureSchemaVersion,
    rows: before?.rows ?? 0,
    order: before?.order ?? 'random',
    notes: [...(before?.notes ?? []).filter((line) => line !== note), note],
    cards: [...cards, ...(before?.cards ?? []).filter(({ latent }) => !imported.has(latent))],
  };
  await folderWriter(join(run, 'features')).write('cards.json', ...jsonFile(all));
}

function cardOf(feature: Feature, rows: readonly Activation[]): FeatureCard {
  const { index, frac_nonzero, pos_str, pos_values, neg_str, neg_values } = feature;
  const effects = (names: readonly string[] | null | undefined, by: readonly number[] | null | undefined) =>
    (names ?? []).map((token, i) => ({ token, id: -1, effect: by?.[i] ?? 0 }));
  const shown = rows
    .map((row) => ({ row, peak: row.maxValueTokenIndex ?? row.values.indexOf(Math.max(...row.values)) }))
    .sort((a, b) => (b.row.values[b.peak] ?? 0) - (a.row.values[a.peak] ?? 0))
    .slice(0, TOP);
  const peaks = new Map<string, number>();
  for (const { row, peak } of shown) peaks.set(row.tokens[peak]!, (peaks.get(row.tokens[peak]!) ?? 0) + 1);
  const shares = [...peaks].map(([token, n]) => ({ token, share: n / shown.length }));
  return {
    latent: index,
    density: frac_nonzero ?? 0,
    guess:
      shares
        .slice(0, 3)
        .map(({ token }) => JSON.stringify(token.trim() || token))
        .join(', ') || 'no passages',
    entropy: shares.reduce((sum, { share }) => sum - share * Math.log(share), 0),
    passages: rows.length,
    registers: [],
    peakTokens: shares.sort((a, b) => b.share - a.share),
    examples: shown.map(({ row, peak }) => ({
      left: row.tokens.slice(0, peak),
      peak: row.tokens[peak]!,
      right: row.tokens.slice(peak + 1),
      activations: row.values,
      value: row.values[peak]!,
      kind: 'top',
      document: -1,
    })),
    raises: effects(pos_str, pos_values),
    lowers: effects(neg_str, neg_values),
  };
}

function filesIn(path: string): string[] {
  const info = statSync(path, { throwIfNoEntry: false });
  if (!info) throw new UsageError(`${path}: no such file or folder.`);
  if (info.isFile()) return [path];
  const found = readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.jsonl(\.gz)?$/.test(name) && /batch|features|activations|explanations/.test(name))
    .sort()
    .map((name) => join(path, name));
  if (found.length === 0) throw new UsageError(`${path}: no .jsonl or .jsonl.gz files of an export in it.`);
  return found;
}

async function linesOf(file: string): Promise<string[]> {
  const bytes = await readFile(file);
  const text = file.endsWith('.gz')
    ? await expand(bytes, { maxOutputLength: MOST_BYTES }).catch((error: Error) => {
        throw new UsageError(
          `${file}: no whole gzip file, or more than ${MOST_BYTES} bytes unpacked (${error.message}).`,
        );
      })
    : bytes;
  return text.toString('utf8').split('\n');
}

function parseLine(line: string, here: string): Feature | Activation | Explanation {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new UsageError(`${here}: no JSON. Expected a line of a Neuronpedia export.`);
  }
  const has = (name: string): boolean => typeof value === 'object' && value !== null && name in value;
  const schema = has('description')
    ? neuronpediaExplanationSchema
    : has('tokens')
      ? neuronpediaActivationSchema
      : neuronpediaFeatureSchema;
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UsageError(`${here}: ${issue!.path.join('.') || 'the line'}: ${issue!.message}`);
  }
  if ('tokens' in parsed.data && parsed.data.tokens.length !== parsed.data.values.length)
    throw new UsageError(
      `${here}: ${parsed.data.tokens.length} tokens, ${parsed.data.values.length} values; expected as many.`,
    );
  if ('tokens' in parsed.data && (parsed.data.maxValueTokenIndex ?? 0) >= parsed.data.tokens.length)
    throw new UsageError(
      `${here}: maxValueTokenIndex: ${parsed.data.maxValueTokenIndex}, expected a place in the ${parsed.data.tokens.length} tokens, from 0.`,
    );
  return parsed.data;
}
