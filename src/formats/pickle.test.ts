/** What a file of weights may ask for, and what it may not: payloads are in the manner of public collections of pickle attacks, our own bytes. */
import { describe, expect, test } from 'vitest';
import { fromBytes } from '../platform/memory.ts';
import { createRng } from '../shared/rng.ts';
import { readTensors } from './tensors.ts';
import { crc32 } from './zip.ts';

const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];
const u16 = (n: number): number[] => [n & 255, n >> 8];
const u32 = (n: number): number[] => [...u16(n & 0xffff), ...u16(n >>> 16)];
const str = (text: string): number[] => [0x58, ...u32(bytes(text).length), ...bytes(text)];
const global = (module: string, name: string): number[] => bytes(`c${module}\n${name}\n`);
const protocol = [0x80, 2];

/** A zip of stored entries; `announced` overrides the size that the directory gives. */
function zip(entries: Record<string, { data: number[]; announced?: number }>): Uint8Array {
  const out: number[] = [];
  const directory: number[] = [];
  for (const [name, { data, announced = data.length }] of Object.entries(entries)) {
    const offset = out.length;
    const sizes = [...u32(crc32([Uint8Array.from(data)])), ...u32(data.length), ...u32(announced)];
    const common = [
      ...u16(20),
      ...u16(0),
      ...u16(0),
      ...u16(0),
      ...u16(33),
      ...sizes,
      ...u16(name.length),
      ...u16(0),
    ];
    out.push(...u32(0x04034b50), ...common, ...bytes(name), ...data);
    directory.push(
      ...u32(0x02014b50),
      ...u16(20),
      ...common,
      ...u16(0),
      ...u16(0),
      ...u16(0),
      ...u32(0),
      ...u32(offset),
      ...bytes(name),
    );
  }
  const count = Object.keys(entries).length;
  const end = [
    ...u32(0x06054b50),
    ...u16(0),
    ...u16(0),
    ...u16(count),
    ...u16(count),
    ...u32(directory.length),
    ...u32(out.length),
    ...u16(0),
  ];
  return Uint8Array.from([...out, ...directory, ...end]);
}

/** {"w": tensor of `shape` in a storage of `count` numbers of this type}. */
function stateDict({
  shape = [2],
  count = 2,
  type = 'FloatStorage',
  strides = [1],
  offset = 0,
} = {}): number[] {
  const int = (n: number): number[] => [0x4a, ...u32(n)];
  const tuple = (...items: number[][]): number[] => [0x28, ...items.flat(), 0x74];
  const storage = [...tuple(str('storage'), global('torch', type), str('0'), str('cpu'), int(count)), 0x51];
  const args = tuple(
    storage,
    int(offset),
    tuple(...shape.map(int)),
    tuple(...strides.map(int)),
    [0x89],
    [...global('collections', 'OrderedDict'), 0x29, 0x52],
  );
  return [
    ...protocol,
    0x7d,
    ...str('w'),
    ...global('torch._utils', '_rebuild_tensor_v2'),
    ...args,
    0x52,
    0x73,
    0x2e,
  ];
}

const open = (data: Uint8Array) => readTensors(fromBytes(data), 'evil.pt');
const pt = (
  pickle: number[],
  data: { data: number[]; announced?: number } = { data: [0, 0, 128, 63, 0, 0, 0, 64] },
) => open(zip({ 'a/data.pkl': { data: pickle }, 'a/data/0': data }));

test('the case that the others change is read', async () => {
  const { tensors, kind } = await pt(stateDict());
  expect([kind, [...tensors.keys()]]).toEqual(['pt', ['w']]);
});

describe('a pickle that would run something is refused by the name it asks for', () => {
  const calls: Record<string, number[]> = {
    'posix.system': [...global('posix', 'system'), ...str('touch /tmp/saekit-was-here'), 0x85, 0x52],
    'builtins.eval': [...global('builtins', 'eval'), ...str('1'), 0x85, 0x52],
    'builtins.exec': [...global('builtins', 'exec'), ...str('1'), 0x85, 0x52],
    'subprocess.Popen': [...global('subprocess', 'Popen'), ...str('id'), 0x85, 0x52],
    'torch.load': [...global('torch', 'load'), ...str('x'), 0x85, 0x52],
    'torch.hub.load': [...global('torch.hub', 'load'), 0x29, 0x52],
    'numpy.load': [...global('numpy', 'load'), 0x29, 0x52],
    'runpy._run_code': [...str('runpy'), ...str('_run_code'), 0x93, 0x29, 0x52],
    'builtins.getattr': [...global('builtins', 'getattr'), 0x29, 0x52],
    'torch._utils._rebuild_tensor_v2.__globals__': [
      ...global('torch._utils', '_rebuild_tensor_v2.__globals__'),
      0x29,
      0x52,
    ],
    '__main__.Autoencoder': [...global('__main__', 'Autoencoder'), 0x29, 0x81],
  };
  test.each(Object.entries(calls))('%s', async (name, payload) => {
    const said = new RegExp(
      `asks for "${name.replaceAll('.', '\\.')}", which is no part of saved weights.*nothing in a file is ever run`,
    );
    for (const pickle of [
      [...protocol, ...payload, 0x2e],
      // Behind weights that are right, and in the head of a file of the old form.
      [...stateDict().slice(0, -1), ...payload, 0x2e],
    ]) {
      await expect(pt(pickle)).rejects.toThrow(said);
      await expect(open(Uint8Array.from(pickle))).rejects.toThrow(said);
    }
  });
});

test.each([
  ['INST', [0x28, ...bytes('iposix\nsystem\n')], /instruction 0x69/],
  ['OBJ', [0x28, ...global('collections', 'OrderedDict'), 0x6f], /instruction 0x6f/],
  ['NEWOBJ', [...global('collections', 'OrderedDict'), 0x29, 0x81], /instruction 0x81/],
  ['EXT1', [0x82, 1], /instruction 0x82/],
  ['a text persistent id', bytes('P0\n'), /instruction 0x50/],
  ['a call of data', [0x7d, 0x29, 0x52], /calls something that is no known name/],
  ['a persistent id that is no storage', [...str('x'), 0x51], /refers to something that is no storage/],
  ['a string beyond the file', [0x58, ...u32(0x7fffffff)], /truncated pickle/],
  ['an append to a dict', [0x7d, ...str('x'), 0x61], /damaged pickle/],
  ['memory that was never written', [0x68, 9], /damaged pickle/],
  ['an empty stack', [0x30], /damaged pickle/],
  ['a later protocol', [0x80, 9], /protocol 9/],
  ['no dict', [...str('x')], /no dict of tensors/],
] as [string, number[], RegExp][])('a pickle with %s is refused', async (_, payload, said) => {
  await expect(pt([...protocol, ...payload, 0x2e])).rejects.toThrow(said);
});

test('random bytes never do anything but fail, or give plain data', async () => {
  const rng = createRng('pickle');
  for (let i = 0; i < 2000; i++) {
    const pickle = stateDict();
    for (let j = 0; j < 3; j++) pickle[2 + rng.int(pickle.length - 2)] = rng.int(256);
    await pt(pickle).then(
      ({ tensors }) => expect(tensors).toBeInstanceOf(Map),
      (error: Error) => expect(error).toBeInstanceOf(Error),
    );
  }
});

test('lies about sizes and types are refused', async () => {
  // A dtype whose storage would have another size; a view beyond its storage; gaps; a bomb.
  await expect(pt(stateDict({ type: 'HalfStorage' }))).rejects.toThrow(
    /data\/0 unpacks to 8 bytes, expected 4/,
  );
  await expect(pt(stateDict({ shape: [3] }))).rejects.toThrow(/needs 3 numbers, its storage announces 2/);
  await expect(pt(stateDict({ offset: 1 }))).rejects.toThrow(/needs 3 numbers/);
  await expect(pt(stateDict({ strides: [2] }))).rejects.toThrow(/a view with gaps/);
  await expect(pt(stateDict({ count: 2 ** 30, shape: [2 ** 30] }))).rejects.toThrow(
    /unpacks to 8 bytes, expected 4294967296/,
  );
  await expect(pt(stateDict(), { data: [1, 2, 3, 4], announced: 8 })).rejects.toThrow(
    /stored, but 4 bytes are not the 8/,
  );
  await expect(open(zip({ 'a/data.pkl': { data: stateDict() } }))).rejects.toThrow(/storage 0 is missing/);
  const bomb = zip({ 'a/data.pkl': { data: stateDict(), announced: 2 ** 31 } });
  await expect(open(bomb)).rejects.toThrow(/data\.pkl unpacks to 2147483648 bytes, expected at most/);
});

test('a safetensors header that is longer than its file is refused, whatever its first byte', async () => {
  for (const length of [0x80, 200, 2 ** 31]) {
    const head = new Uint8Array(40);
    new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
    head[8] = 0x7b;
    await expect(open(head)).rejects.toThrow(/truncated within its header|longer|more than/);
  }
});
