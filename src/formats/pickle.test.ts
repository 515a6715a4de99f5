/** What a file of weights may ask for, and what it may not: payloads are in the manner of public collections of pickle attacks, our own bytes. */
import { deflateSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { fromBytes } from '../platform/memory.ts';
import { createRng } from '../shared/rng.ts';
import { MAX_INSTRUCTIONS } from './pickle.ts';
import { readTensors } from './tensors.ts';
import { crc32 } from './zip.ts';

const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];
const u16 = (n: number): number[] => [n & 255, n >> 8];
const u32 = (n: number): number[] => [...u16(n & 0xffff), ...u16(n >>> 16)];
const str = (text: string): number[] => [0x58, ...u32(bytes(text).length), ...bytes(text)];
const global = (module: string, name: string): number[] => bytes(`c${module}\n${name}\n`);
const protocol = [0x80, 2];

type Entry = { data: ArrayLike<number>; announced?: number; deflated?: boolean };
/** A zip; `announced` overrides the size that the directory gives. */
function zip(entries: Record<string, Entry>): Uint8Array {
  const out: number[] = [];
  const directory: number[] = [];
  for (const [name, { data: raw, announced = raw.length, deflated = false }] of Object.entries(entries)) {
    const offset = out.length;
    const unpacked = Uint8Array.from(raw);
    const data = deflated ? deflateSync(unpacked) : unpacked;
    const sizes = [...u32(crc32([unpacked])), ...u32(data.length), ...u32(announced)];
    const common = [
      ...u16(20),
      ...u16(0),
      ...u16(deflated ? 8 : 0),
      ...u16(0),
      ...u16(33),
      ...sizes,
      ...u16(name.length),
      ...u16(0),
    ];
    out.push(...u32(0x04034b50), ...common, ...bytes(name));
    for (const byte of data) out.push(byte);
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
const pt = (pickle: number[], data: Entry = { data: [0, 0, 128, 63, 0, 0, 0, 64] }) =>
  open(zip({ 'a/data.pkl': { data: pickle }, 'a/data/0': data }));

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

describe('a small file takes no more time and memory than a small file', () => {
  const put = (n: number): number[] => [0x71, n];
  const get = (n: number): number[] => [0x68, n];
  /** Pairs of pairs of the pair before: 2^n leaves in 8 n bytes. */
  const doubled = (n: number): number[] => [
    ...[...str('x'), ...put(0), 0x30],
    ...Array.from({ length: n }, () => [...get(0), ...get(0), 0x86, ...put(0), 0x30]).flat(),
    ...get(0),
  ];
  const int = (n: number): number[] => [0x4a, ...u32(n)];
  const tuple = (...items: number[][]): number[] => [0x28, ...items.flat(), 0x74];
  const dictOf = (key: number[], value: number[]): number[] => [0x7d, ...key, ...value, 0x73];
  const nested = (depth: number): number[] => [
    ...Array.from({ length: depth }, () => [0x7d, ...str('inner')]).flat(),
    ...[...int(1), ...Array<number>(depth).fill(0x73)],
  ];
  /** A dict whose item is itself. */
  const withinItself = [...[0x7d, ...put(1)], ...str('a'), ...get(1), 0x73];

  test.each([
    ['an empty dict', 0x7d],
    ['an empty tuple', 0x29],
    ['a mark', 0x28],
    ['None', 0x4e],
    ['a memory', 0x94],
  ])('a million times %s in a file of kilobytes', async (_, op) => {
    const data = new Uint8Array(2 ** 20).fill(op);
    data.set([...protocol, 0x4e]);
    const file = zip({ 'a/data.pkl': { data, deflated: true } });
    expect(file.length).toBeLessThan(2 ** 15);
    await expect(open(file)).rejects.toThrow(/more than 250000 instructions in a pickle/);
    // The same as a file of the old form.
    await expect(open(data)).rejects.toThrow(/more than 250000 instructions in a pickle/);
  });

  test.each([
    ['as a key', [...dictOf(doubled(40), int(1)), 0x2e], /dict key .* is neither text nor a whole number/],
    [
      'as a device',
      [...dictOf(str('d'), [...global('torch', 'device'), ...doubled(40), 0x85, 0x52]), 0x2e],
      /described wrongly/,
    ],
    [
      'as the key of a storage',
      [
        ...tuple(str('storage'), global('torch', 'FloatStorage'), doubled(40), str('cpu'), int(1)),
        ...[0x51, 0x2e],
      ],
      /refers to something that is no storage/,
    ],
    ['as a global', [...doubled(40), ...get(0), 0x93, 0x2e], /a global that is no name/],
    ['as a value', [...dictOf(str('d'), doubled(40)), 0x2e], undefined],
  ] as [string, number[], RegExp | undefined][])('40 pairs of pairs %s', async (_, payload, said) => {
    const pickle = [...protocol, ...payload];
    expect(pickle.length).toBeLessThan(450);
    if (said) await expect(pt(pickle)).rejects.toThrow(said);
    else expect((await pt(pickle)).tensors.size).toBe(0);
  });

  test('keys of other kinds are refused, whole numbers are names', async () => {
    const float = [0x47, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0];
    for (const key of [float, [0x4e], [0x88], [0x29], [0x7d], [0x8a, 8, ...Array<number>(8).fill(0x7f)]])
      await expect(pt([...protocol, ...dictOf(key, int(1)), 0x2e])).rejects.toThrow(
        /neither text nor a whole number/,
      );
    const { values } = await pt([...protocol, ...dictOf(int(7), dictOf(str('step'), int(3))), 0x2e]);
    expect([...values]).toEqual([['7.step', 3]]);
  });

  test('dicts within dicts end, and so does one within itself', async () => {
    expect([...(await pt([...protocol, ...nested(16), 0x2e])).values.keys()]).toEqual([
      Array<string>(16).fill('inner').join('.'),
    ]);
    for (const depth of [17, 5000])
      await expect(pt([...protocol, ...nested(depth), 0x2e])).rejects.toThrow(/more than 16 deep/);
    expect((await pt([...protocol, ...withinItself, 0x2e])).tensors.size).toBe(0);
    // A file of the old form: magic, version, system, object, keys of storages.
    const magic = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
    const legacy = (object: number[], keys: number[] = [0x5d]): Uint8Array =>
      Uint8Array.from(
        [magic, int(1001), [0x7d], object, keys].flatMap((part) => [...protocol, ...part, 0x2e]),
      );
    expect((await open(legacy(withinItself))).tensors.size).toBe(0);
    await expect(open(legacy(nested(5000)))).rejects.toThrow(/more than 16 deep/);
    await expect(open(legacy([0x7d], [0x5d, ...doubled(40), 0x61]))).rejects.toThrow(/no list of storages/);
  });

  test('names are short, and each is the name of one thing', async () => {
    const long = str('n'.repeat(300));
    await expect(pt([...protocol, ...dictOf(long, dictOf(long, int(1))), 0x2e])).rejects.toThrow(
      /a name of 601 letters, at most 500: nnn/,
    );
    const twice = [0x7d, ...int(1), ...int(2), 0x73, ...str('1'), ...int(3), 0x73, 0x2e];
    await expect(pt([...protocol, ...twice])).rejects.toThrow(/two things in it are called 1/);
  });

  test('a state dict that is larger than any of an SAE is read, below the ceiling', async () => {
    // 4,000 entries of 17 instructions, as many as those of tensors need.
    const one = (n: number): number[] => [
      ...int(n),
      ...Array.from({ length: 15 }, () => [0x4e, 0x30]).flat(),
      ...int(n),
      0x73,
    ];
    const pickle = [...protocol, 0x7d, ...Array.from({ length: 4000 }, (_, n) => one(n)).flat(), 0x2e];
    expect(4000 * 33).toBeLessThan(MAX_INSTRUCTIONS);
    expect((await pt(pickle)).values.size).toBe(4000);
  });

  test('a storage that several tensors view is unpacked once', async () => {
    const views = (count: number, tensors: number): number[] => [
      ...protocol,
      0x7d,
      ...Array.from({ length: tensors }, (_, n) => [
        ...str(`w${n}`),
        ...stateDict({ count, shape: [count] }).slice(9, -2),
        0x73,
      ]).flat(),
      0x2e,
    ];
    const count = 2 ** 20;
    const { tensors } = await open(
      zip({
        'a/data.pkl': { data: views(count, 500) },
        'a/data/0': { data: new Uint8Array(4 * count), deflated: true },
      }),
    );
    expect(tensors.size).toBe(500);
    expect(new Set([...tensors.values()].map(({ source }) => source)).size).toBe(1);
  });
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
  const large = { data: [], announced: 2 ** 31 + 4, deflated: true };
  await expect(pt(stateDict({ count: 2 ** 29 + 1, shape: [2 ** 29 + 1] }), large)).rejects.toThrow(
    /compressed storages unpack to more than 2147483648 bytes/,
  );
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
