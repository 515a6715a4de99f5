import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromBytes } from '../platform/index.ts';
import { openFile } from '../platform/node.ts';
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './float16.ts';
import { joinChunks, readSafetensors, type TensorInput, writeSafetensors } from './safetensors.ts';

const GOLDEN = new URL('../../test/golden/models/formats/', import.meta.url);
const golden = async (name: string) => new Uint8Array(await readFile(new URL(name, GOLDEN)));

/** A file with any header and data, right or wrong. */
function forge(header: unknown, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const read = (bytes: Uint8Array) => readSafetensors(fromBytes(bytes), 'x.safetensors');

describe('a file written by the safetensors library', () => {
  test('is read with every dtype, an empty tensor, a scalar and its metadata', async () => {
    const file = await read(await golden('all-dtypes.safetensors'));
    expect(file.metadata).toEqual({ note: 'grüße' });
    const values = async (name: string) => [...(await file.read(name))];
    expect(await values('f32')).toEqual(
      [...Float32Array.from([0, 1, 2, 3, 4, 5], (v) => v / 3)].map((v) => Math.fround(v)),
    );
    expect(await values('f64')).toEqual([1 / 3, 2 / 3]);
    expect(await values('i64')).toEqual([-(2n ** 62n), 0n, 2n ** 62n]);
    expect(await values('i32')).toEqual([-7, 7]);
    expect(await values('i16')).toEqual([-300, 300, 1]);
    expect(await values('i8')).toEqual([-128, 127, 0]);
    expect(await values('u8')).toEqual([0, 255, 3]);
    expect(await values('bool')).toEqual([1, 0, 1]);
    expect(await values('scalar')).toEqual([2.5]);
    expect(file.tensors.get('scalar')?.shape).toEqual([]);
    expect(file.tensors.get('empty')?.shape).toEqual([0, 4]);
    expect(await values('empty')).toEqual([]);
    const half = await file.readFloat32('f16', [12]);
    expect([half[3], half[5], half[8], half[9], Object.is(half[1], -0)]).toEqual([
      -1.5,
      65504,
      Infinity,
      -Infinity,
      true,
    ]);
    expect((await file.readFloat32('f64'))[0]).toBe(Math.fround(1 / 3));
  });

  test('is written again byte for byte', async () => {
    const original = await golden('all-dtypes.safetensors');
    const file = await read(original);
    const tensors: Record<string, TensorInput> = {};
    for (const { name, dtype, shape } of file.tensors.values())
      tensors[name] = { dtype, shape, data: await file.read(name) };
    expect(joinChunks(writeSafetensors(tensors, file.metadata))).toEqual(original);
  });

  test('is read from disk by range', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'saekit-'));
    const path = join(folder, 'a.safetensors');
    await writeFile(path, await golden('all-dtypes.safetensors'));
    const source = await openFile(path);
    expect([...(await (await readSafetensors(source)).read('i32'))]).toEqual([-7, 7]);
    await source.close?.();
    await rm(folder, { recursive: true });
  });
});

describe('half precision', () => {
  test('rounds to the same bits as PyTorch, both ways', async () => {
    const file = await read(await golden('rounding.safetensors'));
    const values = await file.readFloat32('f32');
    const f16 = (await file.read('f16')) as Uint16Array;
    const bf16 = (await file.read('bf16')) as Uint16Array;
    expect([...float32ToFloat16(values)]).toEqual([...f16]);
    expect([...float32ToBfloat16(values)]).toEqual([...bf16]);
    expect(float16ToFloat32(f16)).toEqual(await file.readFloat32('f16_back'));
    expect(bfloat16ToFloat32(bf16)).toEqual(await file.readFloat32('bf16_back'));
  });

  test('keeps every one of the 65,536 values of either format', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    for (const [decode, encode] of [
      [float16ToFloat32, float32ToFloat16],
      [bfloat16ToFloat32, float32ToBfloat16],
    ] as const) {
      const values = decode(all);
      const back = encode(values);
      for (const bits of all) {
        if (Number.isNaN(values[bits]))
          expect(Number.isNaN(decode(Uint16Array.of(back[bits]!))[0])).toBe(true);
        else if (back[bits] !== bits) expect(back[bits]).toBe(bits);
      }
    }
  });
});

test('what is written is read back: any names, shapes and values', async () => {
  const tensor = fc.record({
    name: fc.string({ minLength: 1 }).filter((n) => n !== '__metadata__'),
    data: fc.float32Array({ maxLength: 9 }),
    half: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(tensor, { selector: (t) => t.name, maxLength: 6 }),
      fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
      async (list, metadata) => {
        const tensors = new Map<string, TensorInput>();
        for (const { name, data, half } of list) {
          tensors.set(
            name,
            half
              ? { dtype: 'F16', shape: [data.length], data: float32ToFloat16(data) }
              : { dtype: 'F32', shape: [1, data.length], data },
          );
        }
        const file = await read(joinChunks(writeSafetensors(tensors, metadata)));
        expect([...file.tensors.keys()].sort()).toEqual([...tensors.keys()].sort());
        expect(Object.entries(file.metadata)).toEqual(Object.entries(metadata));
        for (const [name, input] of tensors) expect(await file.read(name)).toEqual(input.data);
      },
    ),
    { numRuns: 60 },
  );
});

describe('a bad file is refused with what is wrong', () => {
  const entry = (begin: number, end: number, shape: unknown = [2], dtype: unknown = 'F32') => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });
  const cases: [string, Uint8Array, RegExp][] = [
    ['too short', new Uint8Array(5), /5 bytes is too short/],
    [
      'not safetensors at all',
      new TextEncoder().encode('PK\u0003\u0004 this is a zip file'),
      /not a safetensors file/,
    ],
    ['cut inside the header', forge({ a: entry(0, 8) }, 8).slice(0, 30), /truncated within its header/],
    [
      'cut inside the data',
      forge({ a: entry(0, 8) }, 5),
      /truncated: the header describes \d+ bytes, the file has \d+ \(3 missing\)/,
    ],
    ['bytes after the end', forge({ a: entry(0, 8) }, 9), /1 bytes after the last tensor/],
    ['header not JSON', forge('{"a": nonsense}', 0), /not JSON/],
    ['header an array', forge('[]', 0), /not a JSON object/],
    ['overlap', forge({ a: entry(0, 8), b: entry(4, 12) }, 12), /a and b overlap/],
    ['gap', forge({ a: entry(0, 8), b: entry(12, 20) }, 20), /4 bytes between a and b/],
    [
      'size and shape disagree',
      forge({ a: entry(0, 8, [3]) }, 8),
      /tensor a is F32 \[3\], which is 12 bytes, but its offsets span 8/,
    ],
    ['unknown dtype', forge({ a: entry(0, 8, [2], 'F33') }, 8), /dtype "F33"; known are/],
    ['negative size', forge({ a: entry(0, 8, [-2]) }, 8), /shape \[-2\]/],
    ['fractional offsets', forge({ a: entry(0.5, 8.5) }, 9), /data_offsets/],
    ['offsets the wrong way', forge({ a: entry(8, 0) }, 8), /data_offsets \[8,0\]/],
  ];
  for (const [what, bytes, message] of cases) {
    test(what, async () => {
      await expect(read(bytes)).rejects.toThrow(message);
    });
  }

  test('a missing tensor and a wrong shape name what was found', async () => {
    const file = await read(forge({ a: entry(0, 8) }, 8));
    await expect(file.readFloat32('b')).rejects.toThrow('x.safetensors: no tensor b; it has a');
    await expect(file.readFloat32('a', [3])).rejects.toThrow('x.safetensors: tensor a is [2], expected [3]');
  });

  test('a writer given data that does not fit its shape or dtype', () => {
    expect(() => writeSafetensors({ a: { dtype: 'F32', shape: [3], data: new Float32Array(2) } })).toThrow(
      /needs 3 elements, the array has 2/,
    );
    expect(() => writeSafetensors({ a: { dtype: 'F16', shape: [2], data: new Float32Array(2) } })).toThrow(
      /F16 is written from Uint16Array, got Float32Array/,
    );
  });
});
