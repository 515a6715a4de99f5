/** NumPy arrays [N,D] or [N,T,D]: .npy files, and .npz archives with an array of one name in each. */
import {
  isFloat,
  isTokenArray,
  type NpyArray,
  npyRows,
  readNpy,
  readZip,
  shapeText,
} from '../../../formats/index.ts';
import type { ActivationSource } from '../types.ts';
import type { FilePool, StoredFile } from './files.ts';
import { choose, joinParts, type Part, TOKEN_NAMES } from './joined.ts';

const stem = (name: string): string => name.replace(/\.npy$/, '');
const fits = ({ dtype, shape }: NpyArray): boolean =>
  isFloat(dtype) && (shape.length === 2 || shape.length === 3);
const describe = (name: string, { dtype, shape }: NpyArray): string =>
  `${name} (${dtype} ${shapeText(shape)})`;

/** The token ids among other arrays, when they are as many as the rows. */
function tokensOf(arrays: readonly NpyArray[], { shape }: NpyArray): NpyArray | undefined {
  const rows = shape.slice(0, -1).reduce((product, n) => product * n, 1);
  return arrays.find((array) => isTokenArray(array, rows));
}

/** Opens .npy files as one source; beside one array, a file tokens.npy with as many integers as rows holds the token ids. */
export async function openNpy(
  path: string,
  files: readonly StoredFile[],
  wanted: string | undefined,
  pool: FilePool,
): Promise<ActivationSource> {
  if (wanted !== undefined && !files.some(({ name }) => stem(name) === wanted))
    choose(
      path,
      'array',
      wanted,
      files.map(({ name }) => stem(name)),
      files.map(({ name }) => name),
    );
  const named = files.filter(({ name }) => wanted === undefined || stem(name) === wanted);
  const others = files.filter(({ name }) => TOKEN_NAMES.includes(stem(name)));
  const data = named.length > 1 ? named.filter((file) => !others.includes(file)) : named;
  const arrays = await Promise.all(data.map(({ path: where, source }) => readNpy(source, where)));
  const ids =
    data.length === 1
      ? await Promise.all(others.map(({ path: where, source }) => readNpy(source, where)))
      : [];
  const parts = arrays.map(
    (array): Part => ({ where: array.name, rows: npyRows(array, tokensOf(ids, array)) }),
  );
  return joinParts({ format: 'npy', path, chosen: wanted ?? '', parts, files: data, meta: {}, pool });
}

/** Opens .npz archives as one source. `wanted` names the array; without it the only one that fits is taken. */
export async function openNpz(
  path: string,
  files: readonly StoredFile[],
  wanted: string | undefined,
  pool: FilePool,
): Promise<ActivationSource> {
  let chosen = wanted;
  const parts: Part[] = [];
  for (const { path: where, source } of files) {
    const entries = (await readZip(source, where)).filter(({ name }) => name.endsWith('.npy'));
    const open = async (name: string, how: 'open' | 'head' = 'open'): Promise<NpyArray> => {
      const entry = entries.find((candidate) => stem(candidate.name) === name);
      if (!entry)
        throw new Error(
          `${where}: no array ${name}; it has ${entries.map((e) => stem(e.name)).join(', ') || 'none'}`,
        );
      return readNpy(await entry[how](), `${where}, ${entry.name}`);
    };
    if (parts.length === 0 && (wanted === undefined || !entries.some(({ name }) => stem(name) === wanted))) {
      const seen: { name: string; text: string; fits: boolean }[] = [];
      for (const { name } of entries) {
        const array = await open(stem(name), 'head').catch((error: Error) => error);
        const text =
          array instanceof Error
            ? `${stem(name)} (${array.message.split('. ')[0]})`
            : describe(stem(name), array);
        seen.push({ name: stem(name), text, fits: !(array instanceof Error) && fits(array) });
      }
      chosen = choose(
        where,
        'array',
        wanted,
        seen.filter((s) => s.fits).map(({ name }) => name),
        seen.map(({ text }) => text),
      );
    }
    const array = await open(chosen!);
    const tokenEntries = entries.filter(({ name }) => TOKEN_NAMES.includes(stem(name)));
    const others = await Promise.all(tokenEntries.map(({ name }) => open(stem(name))));
    parts.push({ where, rows: npyRows(array, tokensOf(others, array)) });
  }
  return joinParts({ format: 'npz', path, chosen: chosen!, parts, files, meta: {}, pool });
}
