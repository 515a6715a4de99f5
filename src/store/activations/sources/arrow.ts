/**
 * Arrow files and folders of the Hugging Face `datasets` library, among them SAELens's caches:
 *
 *     state.json  dataset_info.json  data-00000-of-00002.arrow …        columns {hook}: [T,D] floats per row, token_ids: [T] integers
 */
import { dirname, join } from 'node:path';
import {
  type ArrowColumn,
  type ArrowFile,
  arrowRegion,
  checkLists,
  type FloatDtype,
  type IntegerDtype,
  isFloat,
  isInteger,
  type RowReader,
  readArrow,
  readIntegers,
  readRegion,
} from '../../../formats/index.ts';
import type { ActivationSource } from '../types.ts';
import { type FilePool, readJsonBeside, type StoredFile } from './files.ts';
import { choose, joinParts, type Part, TOKEN_NAMES } from './joined.ts';

type FloatColumn = ArrowColumn & { readonly dtype: FloatDtype };

/** The rows of a column in one record batch; the lists are checked when they are first read. */
function batchRows(file: ArrowFile, column: FloatColumn, b: number): RowReader {
  const { source } = file;
  const { dtype } = column;
  const { start, values, perList } = arrowRegion(file, column, b);
  const D = perList.at(-1) ?? 0;
  const rows = D === 0 ? 0 : values / D;
  const tokens = file.columns.find(
    (other) =>
      TOKEN_NAMES.includes(other.name) &&
      isInteger(other.dtype) &&
      other.depth === column.depth - 1 &&
      arrowRegion(file, other, b).values === rows,
  );
  let checked: Promise<void> | undefined;
  let tokensChecked: Promise<void> | undefined;
  const reader: RowReader = {
    rows,
    D,
    stored: `${dtype} ${column.depth === 1 ? '[N,D]' : '[N,T,D]'}`,
    async read(from, count, into) {
      await (checked ??= checkLists(file, column, b));
      await readRegion({ source, start, rows, D, dtype }, from, count, into);
    },
  };
  if (!tokens) return reader;
  const ids = { source, start: arrowRegion(file, tokens, b).start, dtype: tokens.dtype as IntegerDtype };
  return {
    ...reader,
    async readTokens(from, count) {
      await (tokensChecked ??= checkLists(file, tokens, b));
      return readIntegers(ids, from, count);
    },
  };
}

/** The files of a saved data set in its own order, which state.json gives. */
async function inOrder(
  path: string,
  files: readonly StoredFile[],
  pool: FilePool,
): Promise<readonly StoredFile[]> {
  const listed = (await readJsonBeside(pool, join(path, 'state.json')))?._data_files;
  if (!Array.isArray(listed)) return files;
  return listed.map((item) => {
    const name = String((item as { filename?: unknown } | null)?.filename);
    const file = files.find((candidate) => candidate.name === name);
    if (!file)
      throw new Error(
        `${path}: state.json names ${name}, which is missing. Copy the folder again, or cache anew.`,
      );
    return file;
  });
}

/** Opens Arrow files as one source. `wanted` names the column, a hook in SAELens's caches. */
export async function openArrow(
  path: string,
  found: readonly StoredFile[],
  wanted: string | undefined,
  pool: FilePool,
): Promise<ActivationSource> {
  const files = await inOrder(path, found, pool);
  let chosen = wanted;
  let contextLength: number | undefined;
  const parts: Part[] = [];
  for (const [f, { path: where, source }] of files.entries()) {
    const file = await readArrow(source, where);
    const fits = file.columns.filter(
      (column): column is FloatColumn => isFloat(column.dtype) && (column.depth === 1 || column.depth === 2),
    );
    const all = [
      ...file.columns.map(({ name, dtype, depth }) => `${name} (${'list of '.repeat(depth)}${dtype})`),
      ...file.others,
    ];
    const names = fits.map(({ name }) => name);
    if (f === 0 || !names.includes(chosen!)) chosen = choose(where, 'column', chosen, names, all);
    const column = fits.find(({ name }) => name === chosen)!;
    for (const [b, batch] of file.batches.entries()) {
      if (batch.rows === 0) continue;
      if (column.depth === 2) contextLength ??= arrowRegion(file, column, b).perList[0];
      parts.push({ where: `${where}, record batch ${b}`, rows: batchRows(file, column, b) });
    }
  }
  const config = await readJsonBeside(
    pool,
    join(dirname(files[0]!.path), 'cache_activations_runner_cfg.json'),
  );
  const meta = {
    ...(typeof config?.model_name === 'string' ? { model: config.model_name } : {}),
    ...(chosen?.includes('hook') ? { hook: chosen } : {}),
    ...(contextLength === undefined ? {} : { contextLength }),
  };
  return joinParts({ format: 'Arrow', path, chosen: chosen!, parts, files, meta, pool });
}
