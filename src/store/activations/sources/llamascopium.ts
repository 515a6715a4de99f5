/**
 * Activations that Llamascopium (OpenMOSS Language-Model-SAEs) cached, one folder per hook:
 *
 *     {hook}/shard-{r}-chunk-{c}.safetensors  or  chunk-{c}.safetensors      activation [..., T, D], tokens [..., T], mask [..., T]
 *     {hook}/….meta.json                                                     [{ model_name, … }, …]
 *
 * Rows whose mask is 0 (padding, BOS) are left out, as Llamascopium leaves them out. A chunk may have any number of leading dimensions.
 */
import { basename, dirname } from 'node:path';
import {
  type IntegerDtype,
  isInteger,
  type RowReader,
  readIntegers,
  readSafetensors,
  type Safetensors,
  shapeText,
} from '../../../formats/index.ts';
import type { ActivationSource } from '../types.ts';
import { type FilePool, readJsonBeside, type StoredFile } from './files.ts';
import { joinParts, type Part } from './joined.ts';
import { tensorRows } from './safetensors.ts';

const CHUNK = /^(?:shard-(\d+)-)?chunk-(\d+)\.(?:safetensors|pt)$/;
/** Mask entries read at once. */
const MASK_AT_ONCE = 2 ** 22;

export const isChunkName = (name: string): boolean => CHUNK.test(name);

/** Runs of rows that are kept: run i begins at row `from[i]` of the file, and at `at[i]` among the kept. */
type Runs = { readonly from: readonly number[]; readonly at: readonly number[]; readonly total: number };

async function keptRuns(file: Safetensors, where: string, rows: number): Promise<Runs | undefined> {
  const mask = file.tensors.get('mask');
  if (!mask) return undefined;
  const size = mask.shape.reduce((product, n) => product * n, 1);
  const dtype: string = mask.dtype === 'BOOL' ? 'U8' : mask.dtype;
  if (size !== rows || !isInteger(dtype))
    throw new Error(
      `${where}: mask is ${mask.dtype} ${shapeText(mask.shape)}; expected one integer for each of the ${rows} rows`,
    );
  const from: number[] = [];
  const at: number[] = [];
  let total = 0;
  let inside = false;
  for (let start = 0; start < rows; start += MASK_AT_ONCE) {
    const part = await readIntegers(
      { source: file.source, start: mask.start, dtype: dtype as IntegerDtype },
      start,
      Math.min(MASK_AT_ONCE, rows - start),
    );
    for (const [i, keep] of part.entries()) {
      if (keep !== 0) {
        if (!inside) {
          from.push(start + i);
          at.push(total);
        }
        total++;
      }
      inside = keep !== 0;
    }
  }
  return { from, at, total };
}

/** A reader that sees only the kept rows. */
function onlyKept(reader: RowReader, { from, at, total }: Runs): RowReader {
  function* pieces(
    start: number,
    count: number,
  ): Generator<{ row: number; n: number; done: number }, undefined> {
    let [low, high] = [0, at.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (at[middle]! <= start) low = middle;
      else high = middle;
    }
    for (let done = 0, run = low; done < count; run++) {
      const inRun = start + done - at[run]!;
      const n = Math.min(count - done, (at[run + 1] ?? total) - at[run]! - inRun);
      yield { row: from[run]! + inRun, n, done };
      done += n;
    }
  }
  return {
    ...reader,
    rows: total,
    rowInFile: (i) => pieces(i, 1).next().value!.row,
    async read(start, count, into) {
      for (const { row, n, done } of pieces(start, count))
        await reader.read(row, n, into.subarray(done * reader.D, (done + n) * reader.D));
    },
    ...(reader.readTokens && {
      async readTokens(start: number, count: number) {
        const ids = new Int32Array(count);
        for (const { row, n, done } of pieces(start, count)) ids.set(await reader.readTokens!(row, n), done);
        return ids;
      },
    }),
  };
}

/** Opens the chunks of one hook as one source, shard after shard, chunk after chunk. */
export async function openLlamascopium(
  path: string,
  found: readonly StoredFile[],
  pool: FilePool,
): Promise<ActivationSource> {
  const order = ({ name }: StoredFile): [number, number] => {
    const [, shard, chunk] = CHUNK.exec(name)!;
    return [Number(shard ?? 0), Number(chunk)];
  };
  const files = [...found].sort((a, b) => order(a)[0] - order(b)[0] || order(a)[1] - order(b)[1]);
  const parts: Part[] = [];
  for (const { path: where, source } of files) {
    const file = await readSafetensors(source, where);
    const all = tensorRows(file, where, 'activation', true);
    const runs = await keptRuns(file, where, all.rows);
    parts.push({ where, rows: runs && runs.total < all.rows ? onlyKept(all, runs) : all });
  }
  const first = files[0]!;
  const meta = await readJsonBeside(pool, first.path.replace(/\.safetensors$/, '.meta.json'));
  const model = (meta?.[0] as { model_name?: unknown } | undefined)?.model_name;
  const hook = basename(dirname(first.path));
  return joinParts({
    format: 'Llamascopium chunks',
    path,
    chosen: 'activation',
    parts,
    files,
    meta: { hook, ...(typeof model === 'string' ? { model } : {}) },
    pool,
  });
}
