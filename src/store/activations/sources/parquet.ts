/** Parquet: a column whose rows are lists of floats, all of one length D, or [T,D] lists of lists. */
import { parquetRows, readParquet } from '../../../formats/index.ts';
import type { ActivationSource } from '../types.ts';
import type { FilePool, StoredFile } from './files.ts';
import { choose, joinParts, type Part } from './joined.ts';

/** Opens Parquet files as one source. `wanted` names the column; without it the only one of vectors is taken. */
export async function openParquet(
  path: string,
  files: readonly StoredFile[],
  wanted: string | undefined,
  pool: FilePool,
): Promise<ActivationSource> {
  let chosen = wanted;
  const parts: Part[] = [];
  for (const { path: where, source } of files) {
    const file = await readParquet(source, where);
    const names = file.columns.map(({ name }) => name);
    if (names.length === 0)
      throw new Error(
        `${where}: no column of lists of floats, one vector per row; it has ${file.all.slice(0, 12).join(', ')}${file.all.length > 12 ? ` and ${file.all.length - 12} more` : ''}. Where every dimension is a column of its own, save df.to_numpy("float32") with np.save.`,
      );
    if (parts.length === 0 || !names.includes(chosen!))
      chosen = choose(where, 'column', chosen, names, file.all);
    parts.push({ where, rows: await parquetRows(file, file.columns.find(({ name }) => name === chosen)!) });
  }
  return joinParts({ format: 'Parquet', path, chosen: chosen!, parts, files, meta: {}, pool });
}
