/**
 * Makes the files of a run in demo/saes small: npx tsx scripts/demo/pack.ts weights|cards|tables RUN
 *
 *     weights   W_enc, W_dec to float16; SAELens and saekit compute in float32 all the same. Before `saekit eval`, whose figures are then of what ships.
 *     cards     what was measured to four digits.
 *     tables    what was measured to a significand of 12 bits, wrong by 2^-12 at most; bytes of one significance next to each other, gzip. Counts,
 *               places, texts and ids are as they were.
 */
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, gunzipSync, gzipSync } from 'node:zlib';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { type ColumnSource, fileWriter, ParquetWriter } from 'hyparquet-writer';
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
  latents: ['max', 'quantiles', 'raises_by', 'lowers_by', 'neighbour_cosines', 'together_jaccard'],
};
const ROWS: Partial<Record<TableName, number>> = { latents: 256, activations: 65_536 };

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

async function packTables(run: string): Promise<void> {
  const folder = join(run, 'features');
  for (const name of Object.keys(TABLES) as TableName[]) {
    const path = join(folder, `${name}.parquet`);
    const before = statSync(path).size;
    const file = await asyncBufferFromFile(path);
    const compressors = { GZIP: (bytes: Uint8Array) => gunzipSync(bytes) };
    const metadata = await parquetMetadataAsync(file);
    const rows = await parquetReadObjects({ file, metadata, compressors });
    const { schema } = metadata;
    const columns = schema.flatMap((element, i) => {
      if (element.num_children !== undefined)
        return element.converted_type === 'LIST' ? [{ ...schema[i + 2]!, name: element.name }] : [];
      return element.name === 'element' ? [] : [element];
    });
    const writer = new ParquetWriter({
      ...{ writer: fileWriter(`${path}.tmp`), schema, codec: 'GZIP', createdBy: 'saekit' },
      compressors: { GZIP: (bytes: Uint8Array) => gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION }) },
    });
    const size = ROWS[name] ?? 8192;
    for (let at = 0; at < rows.length; at += size) {
      const part = rows.slice(at, at + size);
      const columnData = columns.map(({ name: column, type }) => {
        const round = ROUNDED[name]?.includes(column) ? rounded : (value: number) => value;
        const values = part.map((row) => row[column]);
        if (type === 'BYTE_ARRAY') return { name: column, data: values };
        const data = values.map((value) =>
          value === null ? null : Array.isArray(value) ? value.map(round) : round(value),
        );
        const scalarInts = type === 'INT32' && !Array.isArray(values[0]);
        return {
          name: column,
          data,
          encoding: scalarInts ? 'DELTA_BINARY_PACKED' : 'BYTE_STREAM_SPLIT',
        } as const;
      });
      await writer.write({ columnData: columnData as ColumnSource[], rowGroupSize: part.length });
    }
    await writer.finish();
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
