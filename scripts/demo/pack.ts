/**
 * Makes the files of a run in demo/saes small: npx tsx scripts/demo/pack.ts weights|cards|tables RUN
 *
 *     weights   W_enc, W_dec to float16; SAELens and saekit compute in float32 all the same. Before `saekit eval`, whose figures are then of what ships.
 *     cards     what was measured to four digits.
 *     tables    what was measured to a significand of 12 bits, wrong by 2^-12 at most; each column in the encoding in which it is smallest, gzip.
 *               Counts, places, texts and ids are as they were.
 */
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, gunzipSync, gzipSync } from 'node:zlib';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, type SchemaElement } from 'hyparquet';
import { ByteWriter, type ColumnSource, fileWriter, ParquetWriter, type Writer } from 'hyparquet-writer';
import {
  float32ToFloat16,
  joinChunks,
  readSafetensors,
  type TensorInput,
  writeSafetensors,
} from '../../src/formats/index.ts';
import { fromBytes } from '../../src/platform/memory.ts';
import { TABLES, type TableName, type TablesManifest } from '../../src/shared/feature-tables.ts';

const BITS = 12;
/** Columns with what was measured; the rest is small, or counts. */
const ROUNDED: Partial<Record<TableName, readonly string[]>> = {
  activations: ['value'],
  examples: ['value'],
  groups: ['rate', 'rate_rest', 'low', 'high', 'p', 'q'],
  latents: [
    ...['mean', 'std', 'skewness', 'max', 'quantiles', 'entropy', 'peak_shares'],
    ...['label_f1', 'label_precision', 'label_recall', 'label_threshold'],
    ...['raises_by', 'lowers_by', 'neighbour_cosines', 'together_jaccard'],
  ],
};
/** Tried on a column of each kind. */
const ENCODINGS = {
  BYTE_ARRAY: ['RLE_DICTIONARY', 'DELTA_LENGTH_BYTE_ARRAY', 'PLAIN'],
  // Not BYTE_STREAM_SPLIT, which DuckDB reads of floats alone.
  INT32: ['RLE_DICTIONARY', 'DELTA_BINARY_PACKED', 'PLAIN'],
  FLOAT: ['RLE_DICTIONARY', 'BYTE_STREAM_SPLIT', 'PLAIN'],
  DOUBLE: ['RLE_DICTIONARY', 'BYTE_STREAM_SPLIT', 'PLAIN'],
} as const;
const ROWS: Partial<Record<TableName, number>> = {
  ...{ latents: 256, activations: 65_536 },
  ...{ examples: 16_384, groups: 16_384 },
};

/** To the nearest number with a significand of BITS bits. */
function rounded(value: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) + 1 - BITS);
  return unit === 0 ? value : Math.round(value / unit) * unit;
}

async function packWeights(run: string): Promise<void> {
  const path = join(run, 'sae_weights.safetensors');
  const file = await readSafetensors(fromBytes(readFileSync(path)), path);
  const tensors: Record<string, TensorInput> = {};
  for (const [name, { shape }] of file.tensors) {
    const data = await file.readFloat32(name);
    tensors[name] = name.startsWith('W_')
      ? { dtype: 'F16', shape, data: float32ToFloat16(data) }
      : { dtype: 'F32', shape, data };
  }
  writeFileSync(`${path}.tmp`, joinChunks(writeSafetensors(tensors, { format: 'pt', writer: 'saekit' })));
  renameSync(`${path}.tmp`, path);
}

function packCards(run: string): void {
  const path = join(run, 'features', 'cards.json');
  const short = (_: string, value: unknown) =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
  writeFileSync(path, `${JSON.stringify(JSON.parse(readFileSync(path, 'utf8')), short)}\n`);
}

type Encoding = (typeof ENCODINGS)[keyof typeof ENCODINGS][number];
type Table = {
  readonly schema: SchemaElement[];
  readonly columns: readonly {
    readonly column: string;
    readonly data: readonly unknown[];
    readonly encoding: Encoding;
  }[];
  /** Rows of a row group. */
  readonly size: number;
};

/** Top-level columns: name, kind of their values, and the part of the schema that they are. */
function columnsOf(schema: readonly SchemaElement[]) {
  const columns: { name: string; type: keyof typeof ENCODINGS; schema: SchemaElement[] }[] = [];
  for (let i = 1; i < schema.length; ) {
    // A list is a group of a group of its elements.
    const part = schema.slice(i, i + (schema[i]!.converted_type === 'LIST' ? 3 : 1));
    columns.push({ name: part[0]!.name, type: part.at(-1)!.type as keyof typeof ENCODINGS, schema: part });
    i += part.length;
  }
  return columns;
}

async function writeTable(writer: Writer, { schema, columns, size }: Table): Promise<void> {
  const table = new ParquetWriter({
    ...{ writer, schema, codec: 'GZIP', createdBy: 'saekit' },
    compressors: { GZIP: (bytes: Uint8Array) => gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION }) },
  });
  const rows = columns[0]!.data.length;
  for (let at = 0; at < rows; at += size) {
    const columnData = columns.map(({ column, data, encoding }) => ({
      name: column,
      data: data.slice(at, at + size),
      encoding,
    }));
    await table.write({ columnData: columnData as ColumnSource[], rowGroupSize: Math.min(size, rows - at) });
  }
  await table.finish();
}

async function packTables(run: string): Promise<void> {
  const folder = join(run, 'features');
  for (const name of Object.keys(TABLES) as TableName[]) {
    const path = join(folder, `${name}.parquet`);
    const before = statSync(path).size;
    const file = await asyncBufferFromFile(path);
    const compressors = { GZIP: (bytes: Uint8Array) => gunzipSync(bytes) };
    const metadata = await parquetMetadataAsync(file);
    const rows = await parquetReadObjects({ file, metadata, compressors });
    const size = ROWS[name] ?? 8192;
    const columns: Table['columns'][number][] = [];
    for (const { name: column, type, schema } of columnsOf(metadata.schema)) {
      const round = ROUNDED[name]?.includes(column) ? rounded : (value: number) => value;
      const data = rows.map(({ [column]: value }) =>
        type === 'BYTE_ARRAY' || value === null
          ? value
          : Array.isArray(value)
            ? value.map(round)
            : round(value),
      );
      const sizes: { encoding: Encoding; bytes: number }[] = [];
      for (const encoding of ENCODINGS[type]) {
        const writer = new ByteWriter();
        const alone = [{ ...metadata.schema[0]!, num_children: 1 }, ...schema];
        await writeTable(writer, { schema: alone, columns: [{ column, data, encoding }], size });
        sizes.push({ encoding, bytes: writer.offset });
      }
      const { encoding } = sizes.reduce((best, other) => (other.bytes < best.bytes ? other : best));
      columns.push({ column, data, encoding });
    }
    await writeTable(fileWriter(`${path}.tmp`), { schema: metadata.schema, columns, size });
    renameSync(`${path}.tmp`, path);
    console.log(name, before, statSync(path).size);
  }
  const path = join(folder, 'index.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as TablesManifest;
  const note = `Activations, effects, cosines and rates are rounded to ${BITS} significant bits, to be small.`;
  if (!manifest.notes.includes(note)) manifest.notes.push(note);
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
}

const [what, run = ''] = process.argv.slice(2);
const pack = { weights: packWeights, cards: packCards, tables: packTables }[what ?? ''];
if (!pack || run === '') throw new Error('npx tsx scripts/demo/pack.ts weights|cards|tables RUN');
await pack(run);
