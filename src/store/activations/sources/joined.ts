/** Row readers of one or many files, one after the other, as one source. */
import type { RowReader } from '../../../formats/index.ts';
import { didYouMean } from '../../../shared/nearest.ts';
import type { ActivationMeta, ActivationSource } from '../types.ts';
import { type FilePool, fingerprintOf, type StoredFile } from './files.ts';

/** There is nothing at a path that could be rows of floats; it may be something else. */
export class NoActivations extends Error {
  override readonly name = 'NoActivations';
}

/** What token ids are called, by those who store them. */
export const TOKEN_NAMES = ['tokens', 'token_ids', 'input_ids'];

/** Rows of one file, or of a part of it that `where` names. */
export type Part = { readonly where: string; readonly rows: RowReader };

export type JoinOptions = {
  readonly format: string;
  readonly path: string;
  /** Tensor, column or hook that was chosen. */
  readonly chosen: string;
  readonly parts: readonly Part[];
  readonly files: readonly StoredFile[];
  readonly meta: ActivationMeta;
  readonly pool: FilePool;
  /** Where the content is already known by its hashes. Default: from sizes and samples of the files. */
  readonly fingerprint?: string;
};

/**
 * Joins parts that agree in width and type.
 *
 * @throws when they do not, naming both files, or when there is no row at all
 */
export async function joinParts({
  format,
  path,
  chosen,
  parts,
  files,
  meta,
  pool,
  fingerprint,
}: JoinOptions): Promise<ActivationSource> {
  const first = parts[0];
  if (!first) throw new Error(`${path}: no activations in it`);
  const { D, stored } = first.rows;
  const starts = [0];
  for (const { where, rows } of parts) {
    if (rows.D !== D || rows.stored !== stored)
      throw new Error(
        `${where}: ${rows.stored} with D ${rows.D}, but ${first.where} has ${stored} with D ${D}. All files must agree; take out the ones that belong to something else.`,
      );
    starts.push(starts.at(-1)! + rows.rows);
  }
  const total = starts.at(-1)!;
  if (total === 0) throw new Error(`${path}: no rows: ${stored} with D ${D}, but N is 0`);

  /** The parts that rows [start, start + count) lie in, with the rows in each. */
  function* pieces(
    start: number,
    count: number,
  ): Generator<{ part: Part; from: number; n: number; done: number }> {
    if (
      !Number.isInteger(start) ||
      !Number.isInteger(count) ||
      start < 0 ||
      count < 0 ||
      start + count > total
    )
      throw new RangeError(`${path}: rows ${start} to ${start + count} were asked for; it has ${total}`);
    let [low, high] = [0, parts.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle]! <= start) low = middle;
      else high = middle;
    }
    for (let done = 0, p = low; done < count; p++) {
      const from = start + done - starts[p]!;
      const n = Math.min(count - done, parts[p]!.rows.rows - from);
      if (n > 0) yield { part: parts[p]!, from, n, done };
      done += Math.max(0, n);
    }
  }
  function failed({ where }: Part, from: number, n: number, error: unknown): Error {
    const { message } = error as Error;
    const file = message.includes(where) ? '' : ` of ${where}`;
    return new Error(`Rows ${from} to ${from + n - 1}${file} cannot be read: ${message}`, { cause: error });
  }

  const source: ActivationSource = {
    format,
    name: path,
    D,
    rows: total,
    fingerprint: fingerprint ?? (await fingerprintOf(files, `${format}\0${chosen}`)),
    meta,
    async read(start, count, into) {
      for (const { part, from, n, done } of pieces(start, count))
        await part.rows.read(from, n, into.subarray(done * D, (done + n) * D)).catch((error: unknown) => {
          pool.signal?.throwIfAborted();
          throw failed(part, from, n, error);
        });
    },
    where(row) {
      const { part, from } = pieces(row, 1).next().value as { part: Part; from: number };
      return `${part.where}, row ${part.rows.rowInFile?.(from) ?? from}`;
    },
    close: () => pool.close(),
  };
  if (!parts.every(({ rows }) => rows.readTokens)) return source;
  return {
    ...source,
    async readTokens(start, count) {
      const ids = new Int32Array(count);
      for (const { part, from, n, done } of pieces(start, count))
        ids.set(await part.rows.readTokens!(from, n), done);
      return ids;
    },
  };
}

/**
 * The one name that `#name` asks for, or the only one that fits.
 *
 * @param fits names that hold rows; `all` describes everything there is, for the message
 */
export function choose(
  path: string,
  kind: string,
  wanted: string | undefined,
  fits: readonly string[],
  all: readonly string[],
): string {
  const found =
    all.length > 0
      ? `It has ${all.slice(0, 12).join(', ')}${all.length > 12 ? ` and ${all.length - 12} more` : ''}.`
      : `It has no ${kind}.`;
  if (wanted !== undefined) {
    if (fits.includes(wanted)) return wanted;
    throw new Error(
      `${path}: no ${kind} "${wanted}" with rows of floats.${didYouMean(wanted, fits)} ${found}`,
    );
  }
  if (fits.length === 1) return fits[0]!;
  if (fits.length === 0)
    throw new NoActivations(`${path}: no ${kind} of floats [N, D] or [N, T, D]. ${found}`);
  throw new Error(
    `${path}: ${fits.length} ${kind}s could be the activations: ${fits.slice(0, 12).join(', ')}. Name one: ${path}#${fits[0]}`,
  );
}
