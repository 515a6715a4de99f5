/**
 * Writes a state dict as torch.save does (the zip form), so that torch.load(weights_only=True) reads it.
 *
 *     state/data.pkl   a pickle of protocol 2: OrderedDict of _rebuild_tensor_v2(storage, 0, shape, strides, …)
 *     state/data/KEY   the bytes of each storage        state/version, state/byteorder
 */
import type { FolderWriter } from '../../store/types.ts';
import { writeZip } from './npz.ts';
import { bytesOf } from './write.ts';

/** A float32 or int64 tensor; a number has no dimensions. */
export type SavedTensor = { readonly shape: readonly number[]; readonly data: Float32Array | BigInt64Array };

const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];
const u32 = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
const string = (text: string): number[] => [0x58, ...u32(bytes(text).length), ...bytes(text)];
const int = (n: number): number[] => [0x4a, ...u32(n)];
const global = (module: string, name: string): number[] => bytes(`c${module}\n${name}\n`);
const tuple = (items: readonly number[][]): number[] => [0x28, ...items.flat(), 0x74];

function pickled(key: string, { shape, data }: SavedTensor): number[] {
  const storage = tuple([
    string('storage'),
    global('torch', data instanceof BigInt64Array ? 'LongStorage' : 'FloatStorage'),
    ...[string(key), string('cpu'), int(data.length)],
  ]);
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1));
  const hooks = [...global('collections', 'OrderedDict'), 0x29, 0x52];
  const args = [[...storage, 0x51], int(0), tuple(shape.map(int)), tuple(strides.map(int)), [0x89], hooks];
  return [...global('torch._utils', '_rebuild_tensor_v2'), ...tuple(args), 0x52];
}

export async function writeTorch(
  folder: FolderWriter,
  file: string,
  state: Readonly<Record<string, SavedTensor>>,
): Promise<void> {
  const tensors = Object.entries(state);
  const pickle = Uint8Array.from([
    ...[0x80, 2, ...global('collections', 'OrderedDict'), 0x29, 0x52, 0x28],
    ...tensors.flatMap(([name, tensor], key) => [...string(name), ...pickled(String(key), tensor)]),
    ...[0x75, 0x2e],
  ]);
  await writeZip(folder, file, [
    { name: 'state/data.pkl', pieces: [pickle] },
    { name: 'state/byteorder', pieces: [new TextEncoder().encode('little')] },
    ...tensors.map(([, { data }], key) => ({ name: `state/data/${key}`, pieces: [bytesOf(data)] })),
    { name: 'state/version', pieces: [new TextEncoder().encode('3\n')] },
  ]);
}
