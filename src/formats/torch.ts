/**
 * Files of torch.save: a zip with data.pkl and one entry per storage, or, before PyTorch 1.6, pickles with the storages behind them.
 *
 *     zip      NAME/data.pkl | NAME/data/KEY …          legacy   magic, version, system | object | keys | per key: n (i64), n elements
 *
 * The pickle is read by pickle.ts: tensors, containers, numbers and strings; what else it asks for is refused.
 */
import type { ByteSource } from '../platform/types.ts';
import { type PickleDict, type PickleKey, type PickleObject, type PickleValue, unpickle } from './pickle.ts';
import { DTYPE_BYTES, type Dtype } from './safetensors.ts';
import { MAX_INFLATED_BYTES, type ZipEntry } from './zip.ts';

/** A pickle of a state dict has some hundred bytes per tensor. */
const MAX_PICKLE_BYTES = 16 * 2 ** 20;
/** Of dicts within dicts: a checkpoint has model, then names, or optimizer, state, parameter, moments. */
const MAX_DEPTH = 16;
const MAX_NAME = 500;
/** 0x1950a86a20f9469cfc6c, with which legacy files begin. */
const LEGACY_MAGIC = 119547037146038801333356n;

const STORAGES: Readonly<Record<string, Dtype>> = {
  FloatStorage: 'F32',
  DoubleStorage: 'F64',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};

type StorageType = PickleObject & { kind: 'storage type'; dtype: Dtype };
type Storage = PickleObject & { kind: 'storage'; key: string; dtype: Dtype; count: number };
type PickledTensor = PickleObject & {
  kind: 'tensor';
  storage: Storage;
  offset: number;
  shape: number[];
  strides: number[];
};

/** A tensor of a file: `order` C is row-major, F column-major (a transposed view was saved). */
export type TorchTensor = {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly order: 'C' | 'F';
  readonly source: ByteSource;
  /** Where its first element is. */
  readonly start: number;
};

export type TorchFile = {
  /** By their keys; those of dicts within the dict as outer.inner. */
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Numbers, strings and truth values beside them. */
  readonly values: ReadonlyMap<string, string | number | boolean>;
};

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isKind = <T extends PickleObject>(value: unknown, kind: T['kind']): value is T =>
  (value as PickleObject | null | undefined)?.kind === kind;

function namesOf(what: string) {
  const bad = (): never => {
    throw new Error(`${what}: a tensor in it is described wrongly`);
  };
  const tensor = (args: readonly PickleValue[] | undefined): PickleValue => {
    const [storage, offset, shape, strides] = args ?? [];
    if (
      !isKind<Storage>(storage, 'storage') ||
      !isCount(offset) ||
      !Array.isArray(shape) ||
      !Array.isArray(strides) ||
      !shape.every(isCount) ||
      !strides.every(isCount) ||
      shape.length !== strides.length ||
      shape.length > 8
    )
      return bad();
    return { kind: 'tensor', storage, offset, shape, strides } as PickledTensor;
  };
  return new Map<string, (args: readonly PickleValue[] | undefined) => PickleValue>([
    ['collections.OrderedDict', () => new Map()],
    ['torch._utils._rebuild_tensor_v2', tensor],
    ['torch._utils._rebuild_parameter', (args) => args?.[0] ?? null],
    ['torch.Size', (args) => args?.[0] ?? null],
    ['torch.device', (args) => (typeof args?.[0] === 'string' ? args[0] : bad())],
    ...['float32', 'float16', 'bfloat16', 'float64', 'int64', 'int32'].map(
      (dtype) => [`torch.${dtype}`, () => dtype] as [string, () => PickleValue],
    ),
    ...Object.entries(STORAGES).map(
      ([name, dtype]) =>
        [`torch.${name}`, () => ({ kind: 'storage type', dtype }) as PickleValue] as [
          string,
          () => PickleValue,
        ],
    ),
  ]);
}

function persistentOf(what: string) {
  return (id: PickleValue): PickleValue => {
    const [word, type, key, , count] = Array.isArray(id) ? id : [];
    if (
      word !== 'storage' ||
      !isKind<StorageType>(type, 'storage type') ||
      typeof key !== 'string' ||
      !isCount(count)
    )
      throw new Error(`${what}: it refers to something that is no storage of numbers`);
    return { kind: 'storage', key, dtype: type.dtype, count } as Storage;
  };
}

/** Row-major, column-major, or neither. */
function orderOf({ shape, strides }: PickledTensor): 'C' | 'F' | undefined {
  const follows = (axes: number[]): boolean => {
    let step = 1;
    for (const axis of axes) {
      if (shape[axis] !== 1 && strides[axis] !== step) return false;
      step *= shape[axis]!;
    }
    return true;
  };
  const axes = shape.map((_, axis) => axis);
  return follows([...axes].reverse()) ? 'C' : follows(axes) ? 'F' : undefined;
}

/** What is in dicts within dicts, by outer.inner. One that was seen is not entered again: one within itself would never end. */
function* leaves(
  dict: PickleDict,
  what: string,
  outer: readonly PickleKey[] = [],
  seen = new Set<PickleDict>(),
): Generator<[name: string, value: PickleValue]> {
  if (seen.has(dict)) return;
  seen.add(dict);
  if (outer.length >= MAX_DEPTH)
    throw new Error(`${what}: dicts within dicts, more than ${MAX_DEPTH} deep: no state dict of an SAE`);
  for (const [key, value] of dict) {
    const path = [...outer, key];
    if (value instanceof Map) yield* leaves(value, what, path, seen);
    else {
      const name = path.join('.');
      if (name.length > MAX_NAME)
        throw new Error(
          `${what}: a name of ${name.length} letters, at most ${MAX_NAME}: ${name.slice(0, 80)}…`,
        );
      yield [name, value];
    }
  }
}

/** Tensors and plain values of what was saved; `locate` gives the bytes of a storage. */
async function collect(
  saved: PickleValue,
  what: string,
  locate: (storage: Storage) => Promise<{ source: ByteSource; start: number }>,
): Promise<TorchFile> {
  const tensors = new Map<string, TorchTensor>();
  const values = new Map<string, string | number | boolean>();
  if (!(saved instanceof Map))
    throw new Error(
      `${what}: it holds no dict of tensors. Of an SAE save the state_dict(), not the object; activations as safetensors (docs/activations.md).`,
    );
  for (const [name, value] of leaves(saved, what)) {
    if (tensors.has(name) || values.has(name))
      throw new Error(`${what}: two things in it are called ${name}, so which is meant cannot be told`);
    if (isKind<PickledTensor>(value, 'tensor')) {
      const { storage, offset, shape } = value;
      const order = orderOf(value);
      if (!order)
        throw new Error(
          `${what}: ${name} is a view with gaps, strides [${value.strides.join(', ')}]. Save x.contiguous().`,
        );
      const count = shape.reduce((product, n) => product * n, 1);
      if (offset + count > storage.count)
        throw new Error(
          `${what}: ${name} [${shape.join(', ')}] needs ${offset + count} numbers, its storage announces ${storage.count}`,
        );
      const { source, start } = await locate(storage);
      tensors.set(name, {
        dtype: storage.dtype,
        shape,
        order,
        source,
        start: start + offset * DTYPE_BYTES[storage.dtype],
      });
    } else if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      values.set(name, value);
  }
  return { tensors, values };
}

/** A file of torch.save that is a zip, whose entries are these. */
export async function readTorchZip(entries: readonly ZipEntry[], what: string): Promise<TorchFile> {
  const pickle = entries.find(({ name }) => name.endsWith('/data.pkl') || name === 'data.pkl');
  if (!pickle) throw new Error(`${what}: no data.pkl: not a file of torch.save`);
  const root = pickle.name.slice(0, -'data.pkl'.length);
  const byteorder = entries.find(({ name }) => name === `${root}byteorder`);
  if (byteorder) {
    const source = await sized(byteorder, undefined, 16, what).open();
    const order = new TextDecoder().decode(await source.slice(0, source.byteLength));
    if (order !== 'little') throw new Error(`${what}: its bytes are in ${order} order; only little is read`);
  }
  const source = await sized(pickle, undefined, MAX_PICKLE_BYTES, what).open();
  const bytes = await source.slice(0, source.byteLength);
  const { value } = unpickle(bytes, { globals: namesOf(what), persistent: persistentOf(what) }, what);
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  // Several tensors may be views of one storage, which is unpacked once.
  const opened = new Map<ZipEntry, Promise<ByteSource>>();
  let unpacked = 0;
  return await collect(value, what, async (storage) => {
    const entry = byName.get(`${root}data/${storage.key}`);
    if (!entry) throw new Error(`${what}: storage ${storage.key} is missing`);
    const expected = storage.count * DTYPE_BYTES[storage.dtype];
    sized(entry, expected, expected, what);
    let source = opened.get(entry);
    if (!source) {
      if (entry.compressed) unpacked += entry.byteLength;
      if (unpacked > MAX_INFLATED_BYTES)
        throw new Error(
          `${what}: its compressed storages unpack to more than ${MAX_INFLATED_BYTES} bytes, which are held in memory. Save it with torch.save, which compresses nothing.`,
        );
      source = entry.open();
      opened.set(entry, source);
    }
    return { source: await source, start: 0 };
  });
}

/** The entry, if its size is what the pickle says: a bomb announces more, or unpacks to more, which the zip reader stops. */
function sized(entry: ZipEntry, expected: number | undefined, most: number, what: string): ZipEntry {
  if (entry.byteLength > most || (expected !== undefined && entry.byteLength !== expected))
    throw new Error(
      `${what}: ${entry.name} unpacks to ${entry.byteLength} bytes, expected ${expected ?? `at most ${most}`}`,
    );
  return entry;
}

/** A file of torch.save from before PyTorch 1.6. */
export async function readTorchLegacy(source: ByteSource, what: string): Promise<TorchFile> {
  const head = await source.slice(0, Math.min(source.byteLength, MAX_PICKLE_BYTES));
  const options = { globals: namesOf(what), persistent: persistentOf(what) };
  let { value, end } = unpickle(head, options, what);
  if (value !== LEGACY_MAGIC)
    throw new Error(
      `${what}: a pickle that torch.save did not write (no magic number). Save it with torch.save(sae.state_dict(), …).`,
    );
  for (let i = 0; i < 2; i++) ({ end } = unpickle(head, options, what, end));
  const saved = unpickle(head, options, what, end);
  const keys = unpickle(head, options, what, saved.end);
  const isNames = (list: PickleValue): list is string[] =>
    Array.isArray(list) && list.every((key) => typeof key === 'string');
  if (!isNames(keys.value)) throw new Error(`${what}: damaged: no list of storages`);
  const places = new Map<string, { start: number; count: number }>();
  const bytesPer = new Map<string, number>();
  if (saved.value instanceof Map)
    for (const [, value] of leaves(saved.value, what))
      if (isKind<PickledTensor>(value, 'tensor'))
        bytesPer.set(value.storage.key, DTYPE_BYTES[value.storage.dtype]);
  let at = keys.end;
  for (const key of keys.value) {
    const size = bytesPer.get(key);
    if (size === undefined) throw new Error(`${what}: storage ${key} belongs to no tensor`);
    const bytes = await source.slice(at, at + 8);
    const count = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigInt64(0, true));
    at += 8;
    if (!isCount(count) || at + count * size > source.byteLength)
      throw new Error(
        `${what}: truncated: storage ${key} of ${count} numbers at byte ${at} of ${source.byteLength}`,
      );
    places.set(key, { start: at, count });
    at += count * size;
  }
  return await collect(saved.value, what, async ({ key, count }) => {
    const place = places.get(key);
    if (place?.count !== count)
      throw new Error(`${what}: storage ${key} has ${place?.count ?? 'no'} numbers, expected ${count}`);
    return { source, start: place.start };
  });
}
