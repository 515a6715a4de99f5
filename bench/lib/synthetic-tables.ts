/** Feature tables of made-up activations, as large as is asked: densities fall as in trained SAEs (log-normal), places are drawn. */
import { join } from 'node:path';
import { TABLES, type TableName, tablesSchemaVersion } from '../../src/shared/feature-tables.ts';
import { createRng } from '../../src/shared/rng.ts';
import {
  columnBuffer,
  createTableWriter,
  folderWriter,
  MANIFEST_FILE,
  ROW_GROUP,
} from '../../src/store/index.ts';

const EXAMPLES = 46;
const GROUPS = 24;
const CONTEXT = 256;

/** @returns activations of every latent */
export async function writeSyntheticTables(
  folder: string,
  { F, activations }: { readonly F: number; readonly activations: number },
): Promise<number[]> {
  const rng = createRng('synthetic tables');
  const open = (name: TableName) => createTableWriter(join(folder, `${name}.parquet`), TABLES[name]);
  const weights = Array.from({ length: F }, () => Math.exp(1.5 * rng.normal()));
  const sum = weights.reduce((a, b) => a + b, 0);
  const positions = Math.ceil(activations / 32 / CONTEXT) * CONTEXT;
  const counts = weights.map((w) => Math.max(1, Math.min(positions, Math.round((activations * w) / sum))));
  const ints = (n: number, below: number) => Array.from({ length: n }, () => rng.int(below));

  const tokens = open('tokens');
  const ids = Int32Array.from({ length: positions }, () => rng.int(50_000));
  const documents = Int32Array.from({ length: positions }, (_, at) => Math.floor(at / 180));
  const [starts, ends] = [new Int32Array(positions), new Int32Array(positions).fill(4)];
  for (let from = 0; from < positions; from += 65_536) {
    const cut = (data: Int32Array) => data.slice(from, from + 65_536);
    await tokens.write({
      id: cut(ids),
      document: cut(documents),
      start: cut(starts),
      end: cut(ends),
      measured: cut(ends),
    });
  }
  const table = {
    activations: open('activations'),
    examples: open('examples'),
    groups: open('groups'),
    latents: open('latents'),
  };
  const buffers = {
    activations: columnBuffer(table.activations, ROW_GROUP.activations),
    examples: columnBuffer(table.examples, ROW_GROUP.examples),
    groups: columnBuffer(table.groups, ROW_GROUP.groups),
    latents: columnBuffer(table.latents, ROW_GROUP.latents),
  };
  let row = 0;
  // In stretches, for speed.
  for (let f = 0; f < F; ) {
    const from = f;
    let n = 0;
    while (f < F && (f === from || (n + counts[f]! <= 65_536 && f - from < 256))) n += counts[f++]!;
    const [latent, value, at] = [new Int32Array(n), new Float32Array(n), new Int32Array(n)];
    let place = 0;
    const rows: number[] = [];
    for (let g = from; g < f; g++) {
      rows.push(row + place);
      const step = positions / counts[g]!;
      for (let i = 0; i < counts[g]!; i++, place++) {
        latent[place] = g;
        value[place] = rng.uniform() * 10;
        at[place] = Math.floor((i + rng.uniform()) * step);
      }
    }
    row += n;
    await buffers.activations.add({ latent, value, at });
    const latents = Array.from({ length: f - from }, (_, i) => from + i);
    const repeated = (times: number) => latents.flatMap((g) => new Array<number>(times).fill(g));
    await buffers.examples.add({
      latent: repeated(EXAMPLES),
      kind: latents.flatMap(() =>
        Array.from({ length: EXAMPLES }, (_, i) => ['top', 'decile', 'random', 'near_miss'][i % 4]!),
      ),
      rank: latents.flatMap(() => Array.from({ length: EXAMPLES }, (_, i) => i)),
      value: repeated(EXAMPLES).map(() => rng.uniform()),
      at: repeated(EXAMPLES).map(() => 16 + rng.int(positions - 32)),
    });
    await buffers.groups.add({
      latent: repeated(GROUPS),
      column: repeated(GROUPS).map(() => 'register'),
      value: latents.flatMap(() => Array.from({ length: GROUPS }, (_, i) => `group ${i}`)),
      ...Object.fromEntries(['tokens', 'fired'].map((name) => [name, ints(latents.length * GROUPS, 1000)])),
      ...Object.fromEntries(
        ['rate', 'rate_rest', 'low', 'high', 'p', 'q'].map((name) => [
          name,
          repeated(GROUPS).map(() => rng.uniform()),
        ]),
      ),
    });
    const known: Record<string, unknown[]> = {
      latent: latents,
      fired: latents.map((g) => counts[g]!),
      density: latents.map((g) => counts[g]! / positions),
      activations_row: rows,
      examples_row: latents.map((g) => g * EXAMPLES),
      examples: latents.map(() => EXAMPLES),
      groups_row: latents.map((g) => g * GROUPS),
      groups: latents.map(() => GROUPS),
    };
    const made = {
      int32: () => rng.int(1000),
      float: () => rng.uniform(),
      double: () => rng.uniform(),
      string: () => `label ${rng.int(1000)}`,
      'int32[]': () => ints(12, 50_000),
      'float[]': () => Array.from({ length: 12 }, () => rng.uniform()),
      'string[]': () => ints(12, 50_000).map((id) => ` token${id}`),
    } as const;
    await buffers.latents.add(
      Object.fromEntries(
        TABLES.latents.map(({ name, type }) => [name, known[name] ?? latents.map(() => made[type]())]),
      ),
    );
  }
  for (const buffer of Object.values(buffers)) await buffer.flush();
  const document = open('documents');
  const count = documents.at(-1)! + 1;
  await document.write({
    document: Int32Array.from({ length: count }, (_, d) => d),
    id: Array.from({ length: count }, (_, d) => `d${d}`),
    tokens: new Int32Array(count).fill(180),
  });
  for (const writer of [tokens, document, ...Object.values(table)]) await writer.finish();
  const text = new TextEncoder().encode(
    JSON.stringify({
      ...{
        schemaVersion: tablesSchemaVersion,
        identity: 'synthetic',
        model: 'synthetic',
        modelHash: '',
        hook: 'none',
      },
      ...{
        F,
        contextLength: CONTEXT,
        tokens: positions,
        positions,
        documents: count,
        activations: row,
        columns: [],
        notes: [],
      },
    }),
  );
  await folderWriter(folder).write(MANIFEST_FILE, [text], text.length);
  return counts;
}
