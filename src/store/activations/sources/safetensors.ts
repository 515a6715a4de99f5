/** Tensors [N,D] or [N,T,D] of safetensors files that any program wrote; integer tensors called `tokens` are the token ids. */
import {
  type IntegerDtype,
  isFloat,
  isInteger,
  type RowReader,
  readIntegers,
  readRegion,
  readSafetensors,
  rowShape,
  type Safetensors,
  shapeText,
  type TensorEntry,
} from '../../../formats/index.ts';
import type { ActivationMeta, ActivationSource } from '../types.ts';
import type { FilePool, StoredFile } from './files.ts';
import { choose, joinParts, type Part, TOKEN_NAMES } from './joined.ts';

const describe = ({ name, dtype, shape }: TensorEntry): string => `${name} (${dtype} ${shapeText(shape)})`;

/** The rows of one tensor, with token ids where a tensor has one integer per row. */
export function tensorRows(file: Safetensors, where: string, tensor: string, anyRank = false): RowReader {
  const entry = file.tensors.get(tensor);
  if (!entry)
    throw new Error(
      `${where}: no tensor ${tensor}; it has ${[...file.tensors.keys()].slice(0, 12).join(', ') || 'none'}`,
    );
  if (!isFloat(entry.dtype))
    throw new Error(
      `${where}: tensor ${describe(entry)} holds ${isInteger(entry.dtype) ? 'integers' : 'no plain floats'}; expected F16, BF16, F32 or F64. If it is quantized, multiply by its scale where that is known.`,
    );
  const { dtype, start } = entry;
  const { rows, D, layout } = rowShape(entry.shape, `${where}: tensor ${tensor}`, anyRank);
  const region = { source: file.source, start, rows, D, dtype };
  const reader: RowReader = {
    rows,
    D,
    stored: `${dtype} ${layout}`,
    read: (from, count, into) => readRegion(region, from, count, into),
  };
  const tokens = [...file.tensors.values()].find(
    ({ name, dtype: type, shape }) =>
      TOKEN_NAMES.includes(name) && isInteger(type) && shape.reduce((product, n) => product * n, 1) === rows,
  );
  if (!tokens) return reader;
  const ids = { source: file.source, start: tokens.start, dtype: tokens.dtype as IntegerDtype };
  return { ...reader, readTokens: (from, count) => readIntegers(ids, from, count) };
}

const METADATA_KEYS: Readonly<Record<string, 'model' | 'hook'>> = {
  model: 'model',
  model_name: 'model',
  hook: 'hook',
  hook_name: 'hook',
  hook_point: 'hook',
};

function metaOf({ metadata }: Safetensors): ActivationMeta {
  const known = Object.entries(metadata).flatMap(([key, value]) =>
    METADATA_KEYS[key] ? [[METADATA_KEYS[key], value]] : [],
  );
  return Object.fromEntries(known) as ActivationMeta;
}

/** Opens safetensors files as one source. `wanted` names the tensor; without it the only one that fits is taken. */
export async function openSafetensors(
  path: string,
  files: readonly StoredFile[],
  wanted: string | undefined,
  pool: FilePool,
): Promise<ActivationSource> {
  let chosen = wanted;
  let meta: ActivationMeta = {};
  const parts: Part[] = [];
  for (const { path: where, source } of files) {
    const file = await readSafetensors(source, where);
    if (parts.length === 0) {
      const all = [...file.tensors.values()];
      // Else the scales would pass for the activations.
      if (file.tensors.get('x')?.dtype === 'I8' && file.tensors.has('scale'))
        throw new Error(
          `${where}: 8-bit blocks of \`saekit harvest\`, and no manifest.json of it beside them. Open the folder, with its manifest.json.`,
        );
      const fits = all.filter(
        ({ dtype, shape }) => isFloat(dtype) && (shape.length === 2 || shape.length === 3),
      );
      // A tensor that was named and does not fit says so itself, in `tensorRows`.
      if (wanted === undefined || !file.tensors.has(wanted))
        chosen = choose(
          where,
          'tensor',
          wanted,
          fits.map(({ name }) => name),
          all.map(describe),
        );
      meta = metaOf(file);
    }
    parts.push({ where, rows: tensorRows(file, where, chosen!) });
  }
  return joinParts({ format: 'safetensors', path, chosen: chosen!, parts, files, meta, pool });
}
