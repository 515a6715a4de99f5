/**
 * Feature tables -> dashboards of other programs.
 *
 *     neuronpedia     OUT/features/batch-N.jsonl.gz, activations/…, explanations/…: rows as in its public exports, 1,024 latents a batch
 *     openai-viewer   OUT/atoms/LATENT.json: density, E[a], E[a²], histogram, `top` and `random` passages (openai/sparse_autoencoder, sae-viewer)
 */

import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { HubAccess } from '../../hub/types.ts';
import { UsageError } from '../../shared/errors.ts';
import type { ExportFeaturesConfig } from '../../shared/exchange.ts';
import { HISTOGRAM_BINS } from '../../shared/feature-tables.ts';
import { folderWriter, type LatentRow, readLabels } from '../../store/index.ts';
import { withResources } from '../resources.ts';
import { type Exported, openExported, type Passage } from './passages.ts';

const BATCH = 1024;
const compress = promisify(gzip);

export type FeatureExportResult = {
  readonly folder: string;
  readonly latents: number;
  readonly passages: number;
};

type Place = { readonly modelId: string; readonly layer: string };
type Options = HubAccess & { readonly onProgress?: (done: number, total: number) => void };

/** @throws UsageError when OUT exists, the run has no feature tables, or a latent is not in them */
export async function exportFeatures(
  config: ExportFeaturesConfig,
  options: Options = {},
): Promise<FeatureExportResult> {
  const { run, out, to } = config;
  if (existsSync(out)) throw new UsageError(`${out} exists already. Name a folder that does not.`);
  const building = `${out}.tmp-${process.pid}`;
  return await withResources(async (own) => {
    const exported = await openExported(run, own, options);
    const { fired, latent } = await exported.tables.columns(['fired', 'latent']);
    const chosen = config.latents ?? latent.filter((_, row) => fired[row]! > 0);
    const place: Place = {
      modelId: config.modelId ?? basename(exported.modelName),
      layer: config.source ?? exported.hook,
    };
    try {
      await mkdir(building, { recursive: true });
      const write = to === 'neuronpedia' ? writeNeuronpedia : writeViewer;
      const passages = await write(exported, chosen, { building, place, run, ...options });
      await rename(building, out);
      return { folder: out, latents: chosen.length, passages };
    } catch (error) {
      await rm(building, { recursive: true, force: true });
      throw error;
    }
  });
}

type Writing = Options & { readonly building: string; readonly place: Place; readonly run: string };

const binsOf = (row: LatentRow): { heights: number[]; values: number[] } => ({
  heights: [...row.histogram],
  // Their bars are named by their middle.
  values: Array.from(row.histogram, (_, bin) => ((bin + 0.5) * row.max) / HISTOGRAM_BINS),
});

/** The i-th tenth of (0, max], and the share of activations in it: of the histogram, which has a whole number of bins in each. */
function intervalOf({ histogram, fired, max }: LatentRow, i: number) {
  const bins = HISTOGRAM_BINS / 10;
  const inside = Array.from(histogram.slice(i * bins, (i + 1) * bins)).reduce((sum, n) => sum + n, 0);
  return { binMin: (i * max) / 10, binMax: ((i + 1) * max) / 10, binContains: inside / fired };
}

async function writeNeuronpedia(
  { tables, names, hook, passages }: Exported,
  latents: readonly number[],
  { building, place, run, signal, onProgress }: Writing,
): Promise<number> {
  const labels = await readLabels(run);
  let written = 0;
  for (let from = 0; from < latents.length; from += BATCH) {
    const rows: Record<'features' | 'activations' | 'explanations', unknown[]> = {
      features: [],
      activations: [],
      explanations: [],
    };
    for (const latent of latents.slice(from, from + BATCH)) {
      signal?.throwIfAborted();
      const row = await tables.latent(latent);
      const here = { ...place, index: String(latent) };
      const histogram = binsOf(row);
      rows.features.push({
        ...here,
        ...{ hookName: hook, maxActApprox: row.max, frac_nonzero: row.density },
        ...{ pos_str: names([...row.raises]), pos_values: [...row.raises_by] },
        ...{ neg_str: names([...row.lowers]), neg_values: [...row.lowers_by] },
        freq_hist_data_bar_heights: histogram.heights,
        freq_hist_data_bar_values: histogram.values,
        topkCosSimIndices: [...row.neighbours],
        topkCosSimValues: [...row.neighbour_cosines],
      });
      // Their dashboards part passages by intervals of activation, and have no other parts.
      const shown = (await passages(row)).filter(({ kind }) => kind !== 'near_miss' && kind !== 'decile');
      for (const { tokens, values, value, peak, document, kind, rank } of shown)
        rows.activations.push({
          ...{
            ...here,
            tokens,
            values,
            maxValue: value,
            maxValueTokenIndex: peak,
            minValue: Math.min(...values),
          },
          ...{
            dataIndex: String(document),
            qualifyingTokenIndex: peak,
            ...(kind === 'interval' ? intervalOf(row, rank) : { binContains: kind === 'random' ? 1 : null }),
          },
        });
      written += shown.length;
      const label = labels.get(latent)?.label;
      rows.explanations.push({
        ...here,
        description: label ?? row.guess,
        typeName: label === undefined ? 'saekit-rule' : 'human',
        explanationModelName: null,
      });
      onProgress?.(from + rows.features.length, latents.length);
    }
    for (const [name, lines] of Object.entries(rows)) {
      const bytes = await compress(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
      await folderWriter(join(building, name)).write(`batch-${from / BATCH}.jsonl.gz`, [bytes], bytes.length);
    }
  }
  return written;
}

async function writeViewer(
  { tables, passages }: Exported,
  latents: readonly number[],
  { building, signal, onProgress }: Writing,
): Promise<number> {
  const folder = folderWriter(join(building, 'atoms'));
  let written = 0;
  for (const [i, latent] of latents.entries()) {
    signal?.throwIfAborted();
    const row = await tables.latent(latent);
    const sequence = ({ value, tokens, ids, values, peak, document }: Passage) => ({
      ...{ density: row.density, doc_id: document, idx: peak, act: value },
      ...{ acts: values, tokens, token_ints: ids },
    });
    const all = await passages(row);
    const of = (kind: Passage['kind']) => all.filter((passage) => passage.kind === kind).map(sequence);
    const { heights, values } = binsOf(row);
    const atom = {
      density: row.density,
      // Theirs are over all tokens, ours over those where it fires.
      mean_act: row.mean * row.density,
      mean_act_squared: (row.std ** 2 + row.mean ** 2) * row.density,
      hist: Object.fromEntries(values.map((value, bin) => [value, heights[bin]!])),
      ...{ random: of('random'), top: of('top') },
    };
    written += atom.random.length + atom.top.length;
    const bytes = new TextEncoder().encode(JSON.stringify(atom));
    await folder.write(`${latent}.json`, [bytes], bytes.length);
    onProgress?.(i + 1, latents.length);
  }
  return written;
}
