/**
 * A run as wide as the largest published ones, made of a small one: its model, its text repeated, and every latent split into C.
 *
 *     latent g = c F0 + f     a part c of latent f; F = C F0
 *     activation i of f in repetition r of the text belongs to part  c = (i + ⌊r C / 4⌋) mod C
 *     W_enc[g] = W_enc[f] + noise, b_enc[g] = b_enc[f] − 2 · (spread of the noise), W_dec[g] = W_dec[f] + noise / 4
 *
 * So each activation, passage and token count is one of the small run, and the parts of a latent fire at different places. Figures that
 * one part cannot have by itself (groups, output tokens, peak tokens) are those of the whole latent.
 *
 *     node --import tsx bench/lib/wide-run.ts SMALL-RUN NEW-FOLDER
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import '../../src/platform/node.ts';
import { distribution } from '../../src/explain/tables/index.ts';
import { loadSae, openFeatureTables, saveSae } from '../../src/index.ts';
import { TABLES, type TableName } from '../../src/shared/feature-tables.ts';
import { createRng } from '../../src/shared/rng.ts';
import {
  columnBuffer,
  createTableWriter,
  folderWriter,
  MANIFEST_FILE,
  ROW_GROUP,
  rowBuffer,
} from '../../src/store/index.ts';
import type { ExampleRow, GroupRow, LatentRow } from '../../src/store/tables/reader.ts';

/** Of the noise, as a share of the length of an encoder row. */
const NOISE = 0.6;

/** Its name among other runs. */
export const WIDE = 'wide-131k';

export type WideRun = { readonly F: number; readonly activations: number; readonly counts: Int32Array };

/**
 * @param small a run with feature tables of all its latents
 * @param activations about so many: the text is repeated until there are
 * @returns activations of every latent
 */
export async function writeWideRun(
  small: string,
  folder: string,
  { F, activations }: { readonly F: number; readonly activations: number },
): Promise<WideRun> {
  const sae = await loadSae(small);
  const F0 = sae.config.F;
  const C = F / F0;
  if (!Number.isInteger(C)) throw new Error(`${F} latents are no multiple of the ${F0} of ${small}.`);
  const out = join(folder, 'features');
  await mkdir(out, { recursive: true });
  await writeSae(sae, C, folder);

  const tables = await openFeatureTables(join(small, 'features'));
  const { positions, columns } = tables.manifest;
  const repeats = Math.max(1, Math.round(activations / tables.manifest.activations));
  const open = (name: TableName, more: readonly string[] = []) =>
    createTableWriter(join(out, `${name}.parquet`), [
      ...TABLES[name],
      ...more.map((column) => ({ name: column, type: 'string', nullable: true, about: '' }) as const),
    ]);
  const writers = {
    tokens: open('tokens'),
    documents: open('documents', columns),
    activations: open('activations'),
    examples: open('examples'),
    groups: open('groups'),
    latents: open('latents'),
  };

  const text = await tables.text(0, positions);
  await tables.close();
  const whole = async <R>(name: TableName): Promise<R[]> =>
    (await parquetReadObjects({
      file: await asyncBufferFromFile(join(small, 'features', `${name}.parquet`)),
      // Tables that ship are gzipped.
      compressors: { GZIP: (bytes) => gunzipSync(bytes) },
    })) as R[];
  const rows = await whole<Record<string, unknown>>('documents');
  // Tokens name documents by their row.
  const documents = rows.length;
  for (let r = 0; r < repeats; r++)
    await writers.tokens.write({
      id: text.ids,
      document: text.documents.map((d) => (d < 0 ? d : d + r * documents)),
      start: text.starts,
      end: text.ends,
      measured: text.ends.map((end, i) => Number(end > text.starts[i]!)),
    });
  const all = Array.from({ length: repeats }, (_, r) =>
    rows.map((row) => ({ ...row, document: Number(row.document) + r * documents })),
  ).flat();
  await writers.documents.write(
    Object.fromEntries(
      ['document', 'id', 'tokens', ...columns].map((name) => [
        name,
        all.map((row) => (row as Record<string, unknown>)[name]),
      ]),
    ),
  );

  const rowsOf = await whole<LatentRow>('latents');
  const [examplesOf, groupsOf, entriesOf] = [
    await whole<ExampleRow>('examples'),
    await whole<GroupRow>('groups'),
    await whole<{ value: number; at: number }>('activations'),
  ];
  const own = rowsOf.map((row) => {
    const cut = <R>(all: readonly R[], from: number, n: number) => all.slice(from, from + n);
    return {
      row,
      examples: cut(examplesOf, row.examples_row, row.examples),
      groups: cut(groupsOf, row.groups_row, row.groups),
      entries: cut(entriesOf, row.activations_row, row.fired),
    };
  });
  const rng = createRng('parts of latents');
  const order = own
    .flatMap(({ row }, f) =>
      Array.from({ length: C }, (_, c) => ({
        g: c * F0 + f,
        at: ((row.rank ?? F0) + 8) * (0.5 + rng.uniform()),
      })),
    )
    .sort((a, b) => a.at - b.at);
  const rank = new Int32Array(F);
  for (const [i, { g }] of order.entries()) rank[g] = i;

  const counts = new Int32Array(F);
  const buffers = {
    activations: columnBuffer(writers.activations, ROW_GROUP.activations),
    examples: rowBuffer(writers.examples, ROW_GROUP.examples),
    groups: rowBuffer(writers.groups, ROW_GROUP.groups),
    latents: rowBuffer(writers.latents, ROW_GROUP.latents),
  };
  for (let g = 0; g < F; g++) {
    const [f, c] = [g % F0, Math.floor(g / F0)];
    const { row, groups, examples, entries } = own[f]!;
    const n = entries.length;
    const fires = { value: [] as number[], at: [] as number[] };
    const places: number[] = [];
    for (let r = 0; r < repeats; r++)
      for (let i = (c + Math.floor(((4 - (r % 4)) * C) / 4)) % C; i < n; i += C) {
        fires.value.push(entries[i]!.value);
        fires.at.push(entries[i]!.at + r * positions);
        if (r < 4) places.push(fires.at.length - 1);
      }
    const values = Float32Array.from(fires.value);
    counts[g] = values.length;
    const falling = values.slice().sort().reverse();
    places.sort((a, b) => fires.value[b]! - fires.value[a]!);
    const place = (p: number) => ({ value: fires.value[p]!, at: fires.at[p]! });
    const shown = [
      ...places.slice(0, 16).map((p, i) => ({ kind: 'top', rank: i, ...place(p) })),
      ...Array.from({ length: Math.min(10, places.length) }, (_, i) => ({
        kind: 'decile',
        rank: i,
        ...place(places[Math.floor((places.length * (9.5 - i)) / 10)] ?? places[0]!),
      })),
      ...intervals(places, (p) => fires.value[p]!).map(([rank, p]) => ({
        kind: 'interval',
        rank,
        ...place(p),
      })),
      ...(places.length > 0
        ? Array.from({ length: 12 }, (_, i) => ({
            kind: 'random',
            rank: i,
            ...place(places[rng.int(places.length)]!),
          }))
        : []),
      ...examples.filter(({ kind }) => kind === 'near_miss'),
    ];
    const { histogram, ...moments } = distribution(falling);
    await buffers.latents.add({
      ...row,
      ...moments,
      histogram: [...histogram],
      latent: g,
      fired: values.length,
      density: values.length / (repeats * positions),
      passages: Math.min(row.passages * repeats, values.length),
      rank: rank[g]!,
      interest: row.interest ?? 0,
      neighbours: row.neighbours.map((other) => ((c + 1) % C) * F0 + other),
      together: row.together.map((other) => c * F0 + other),
      activations_row: buffers.activations.next,
      ...{
        examples_row: buffers.examples.next,
        examples: shown.length,
        groups_row: buffers.groups.next,
        groups: groups.length,
      },
    });
    for (const example of shown) await buffers.examples.add({ latent: g, ...example });
    for (const group of groups)
      await buffers.groups.add({
        ...group,
        latent: g,
        tokens: group.tokens * repeats,
        fired: Math.round((group.fired * repeats) / C),
        rate: group.rate / C,
        rate_rest: group.rate_rest / C,
      });
    await buffers.activations.add({
      latent: new Int32Array(values.length).fill(g),
      value: values,
      at: Int32Array.from(fires.at),
    });
  }
  for (const buffer of Object.values(buffers)) await buffer.flush();
  for (const writer of Object.values(writers)) await writer.finish();
  const manifest = {
    ...tables.manifest,
    identity: `${basename(small)} times ${C}`,
    ...{
      F,
      tokens: tables.manifest.tokens * repeats,
      positions: positions * repeats,
      documents: tables.manifest.documents * repeats,
      activations: writers.activations.rows,
    },
    notes: [`Made of ${basename(small)}: every latent in ${C} parts, its text ${repeats} times.`],
  };
  await writeFile(join(out, MANIFEST_FILE), JSON.stringify(manifest));
  return { F, activations: writers.activations.rows, counts };
}

/** One place of every tenth of the range, from those by falling value. */
function intervals(places: readonly number[], of: (p: number) => number): [number, number][] {
  const found = new Map<number, number>();
  for (const p of places) found.set(Math.ceil((10 * of(p)) / of(places[0]!)) - 1, p);
  return [...found].sort(([a], [b]) => a - b);
}

async function writeSae(sae: Awaited<ReturnType<typeof loadSae>>, C: number, folder: string): Promise<void> {
  const {
    config: { F: F0, D },
    W_enc,
    b_enc,
    W_dec,
  } = sae;
  const rng = createRng('a wide SAE');
  // One table of normal numbers, read from another place for every row.
  const noise = Float32Array.from({ length: 65_537 }, () => rng.normal());
  const wide = {
    W_enc: new Float32Array(C * F0 * D),
    b_enc: new Float32Array(C * F0),
    W_dec: new Float32Array(C * F0 * D),
  };
  for (let g = 0; g < C * F0; g++) {
    const f = g % F0;
    let square = 0;
    for (let d = 0; d < D; d++) square += W_enc[f * D + d]! ** 2;
    const size = (NOISE * Math.sqrt(square)) / Math.sqrt(D);
    const from = rng.int(noise.length);
    for (let d = 0; d < D; d++) {
      const drawn = noise[(from + d) % noise.length]!;
      wide.W_enc[g * D + d] = W_enc[f * D + d]! + size * drawn;
      wide.W_dec[g * D + d] = W_dec[f * D + d]! + (0.25 * drawn) / Math.sqrt(D);
    }
    wide.b_enc[g] = b_enc[f]!;
  }
  await saveSae(folderWriter(folder), { ...sae, config: { ...sae.config, F: C * F0 }, ...wide });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [small, folder] = process.argv.slice(2);
  if (!small || !folder) throw new Error('usage: wide-run.ts SMALL-RUN NEW-FOLDER');
  const { F, activations } = await writeWideRun(small, folder, { F: 131_072, activations: 50e6 });
  process.stdout.write(`${folder}: ${F} latents, ${activations} activations\n`);
}
