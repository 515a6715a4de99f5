import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { fromBytes } from '../../platform/index.ts';
import { readSafetensors } from '../safetensors.ts';
import { blockSize, DEQUANTIZED, dequantize, readGguf } from './index.ts';
import { GGUF_TYPES } from './types.ts';

const golden = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../../test/golden/gguf/${name}`, import.meta.url)));
const blocks = golden('blocks.gguf');

describe('a file written by the gguf package', () => {
  test('metadata of every kind of value', async () => {
    const { metadata, version } = await readGguf(fromBytes(blocks));
    expect(version).toBe(3);
    expect(metadata.get('general.architecture')).toBe('none');
    expect(metadata.get('test.text')).toBe('nasty \0 text 👩‍💻');
    expect(metadata.get('test.u64')).toBe(2n ** 60n);
    expect(metadata.get('test.i64')).toBe(-5);
    expect(metadata.get('test.f64')).toBe(1e-300);
    expect(metadata.get('test.strings')).toEqual(['a', '', 'é']);
    expect(metadata.get('test.floats')).toEqual([0.5, -1.5]);
  });

  test.each(DEQUANTIZED)('%s: the bits of gguf.quants.dequantize', async (type) => {
    const { tensors } = await readGguf(fromBytes(blocks));
    const expected = await (await readSafetensors(fromBytes(golden('blocks.safetensors')))).readFloat32(type);
    const { start, end, shape, type: stored } = tensors.get(type)!;
    expect(stored).toBe(type);
    expect(shape).toEqual([2, 256]);
    const actual = new Float32Array(512);
    dequantize(type, blocks.slice(start, end), actual);
    expect(new Uint32Array(actual.buffer)).toEqual(
      new Uint32Array(expected.buffer, expected.byteOffset, 512),
    );
    expect(new Set(actual).size).toBeGreaterThan(40);
  });

  test('a type that is not read is refused by name, with those that are', () => {
    expect(() => dequantize('IQ2_XXS', new Uint8Array(66), new Float32Array(256))).toThrow(
      /type IQ2_XXS are not read\. Read are F32, F16, .*Q6_K\. Take the model in another quantisation/,
    );
    expect(blockSize('IQ2_XXS')).toEqual({ elements: 256, bytes: 66 });
    expect(Object.keys(GGUF_TYPES).length).toBeGreaterThan(30);
  });
});

/** A small file by hand: pairs and tensors as given, `data` bytes behind them. */
function craft(
  pairs: readonly Uint8Array[],
  tensors: readonly Uint8Array[],
  data = 0,
  { magic = 'GGUF', version = 3, tensorCount = tensors.length, pairCount = pairs.length } = {},
): Uint8Array {
  const head = new Uint8Array([...text(magic), ...u32(version), ...u64(tensorCount), ...u64(pairCount)]);
  const body = [head, ...pairs, ...tensors].flatMap((part) => [...part]);
  return new Uint8Array([...body, ...new Uint8Array(((32 - (body.length % 32)) % 32) + data)]);
}
const text = (value: string) => [...new TextEncoder().encode(value)];
const u32 = (value: number) => [...new Uint8Array(Uint32Array.of(value).buffer)];
const u64 = (value: number | bigint) => [...new Uint8Array(BigUint64Array.of(BigInt(value)).buffer)];
const string = (value: string) => [...u64(text(value).length), ...text(value)];
const pair = (key: string, type: number, value: readonly number[]) =>
  new Uint8Array([...string(key), ...u32(type), ...value]);
const tensor = (name: string, sizes: readonly (number | bigint)[], type: number, offset: number | bigint) =>
  new Uint8Array([
    ...string(name),
    ...u32(sizes.length),
    ...sizes.flatMap(u64),
    ...u32(type),
    ...u64(offset),
  ]);

describe('a damaged header is refused with what is wrong', () => {
  const cases: [string, Uint8Array, RegExp][] = [
    [
      'another format',
      craft([], [], 0, { magic: 'PK\x03\x04' }),
      /not a GGUF file: it begins with 50 4b 03 04/,
    ],
    ['an empty file', new Uint8Array(0), /truncated or damaged: the header asks for 4 bytes at byte 0/],
    ['version 1', craft([], [], 0, { version: 1 }), /GGUF version 1; versions 2 and 3 are read/],
    ['big-endian', craft([], [], 0, { version: 0x03000000 }), /big-endian; little-endian files are read/],
    [
      'absurdly many tensors',
      craft([], [], 0, { tensorCount: 2 ** 40 }),
      /number of tensors is 1099511627776, more than 131072/,
    ],
    [
      'more tensors than bytes',
      craft([], [], 0, { tensorCount: 1000 }),
      /number of tensors is 1000, and \d+ bytes follow/,
    ],
    [
      'absurdly many pairs',
      craft([], [], 0, { pairCount: 2 ** 50 }),
      /number of metadata pairs is 1125899906842624/,
    ],
    [
      'a text without end',
      craft([pair('a', 8, u64(2 ** 40))], []),
      /length of a text is 1099511627776, more than/,
    ],
    [
      'an array without end',
      craft([pair('a', 9, [...u32(0), ...u64(2 ** 27)])], []),
      /number of values of a is 134217728, and/,
    ],
    [
      'arrays in arrays in arrays',
      craft(
        [
          pair(
            'a',
            9,
            Array(9)
              .fill([...u32(9), ...u64(1)])
              .flat(),
          ),
        ],
        [],
        64,
      ),
      /value of a has type 9/,
    ],
    [
      'an unknown type of value',
      craft([pair('a', 13, [0])], []),
      /value of a has type 13; GGUF knows 0 to 12/,
    ],
    ['the same key twice', craft([pair('a', 0, [0]), pair('a', 0, [0])], []), /key a stands twice/],
    ['alignment 0', craft([pair('general.alignment', 4, u32(0))], []), /general\.alignment is 0/],
    ['five dimensions', craft([], [tensor('x', [1, 1, 1, 1, 1], 0, 0)], 4), /tensor x has 5 dimensions/],
    [
      'absurd dimensions',
      craft([], [tensor('x', [2 ** 31, 2 ** 31], 0, 0)], 4),
      /tensor x is \[2147483648, 2147483648\]/,
    ],
    [
      'a size of 2^64 - 1',
      craft([], [tensor('x', [2n ** 64n - 1n], 0, 0)], 4),
      /a size of tensor x is 18446744073709552000/,
    ],
    ['a size of 0', craft([], [tensor('x', [0], 0, 0)], 4), /tensor x is \[0\]/],
    [
      'rows that are no whole blocks',
      craft([], [tensor('x', [33], 2, 0)], 64),
      /x is Q4_0 with rows of 33 elements; Q4_0 packs 32/,
    ],
    ['an unknown tensor type', craft([], [tensor('x', [32], 99, 0)], 64), /tensor x has type number 99/],
    [
      'an offset behind the file',
      craft([], [tensor('x', [4], 0, 2 ** 40)], 64),
      /truncated: tensor x ends at byte 1099511\d+, the file has \d+/,
    ],
    [
      'an offset beyond 2^53',
      craft([], [tensor('x', [4], 0, 2n ** 63n)], 64),
      /tensor x begins at byte 9223372036854775808/,
    ],
    ['a crooked offset', craft([], [tensor('x', [4], 0, 1)], 64), /no multiple of 32/],
    [
      'overlapping tensors',
      craft([], [tensor('x', [16], 0, 0), tensor('y', [4], 0, 32)], 64),
      /tensors x and y overlap/,
    ],
    [
      'two tensors of one name',
      craft([], [tensor('x', [4], 0, 0), tensor('x', [4], 0, 32)], 64),
      /two tensors are called x/,
    ],
  ];
  test.each(cases)('%s', async (_, bytes, message) => {
    await expect(readGguf(fromBytes(bytes))).rejects.toThrow(message);
  });

  test('the same file without the damage is read', async () => {
    const file = await readGguf(
      fromBytes(
        craft(
          [pair('a', 9, [...u32(0), ...u64(2), 7, 8])],
          [tensor('x', [4], 0, 0), tensor('y', [2, 3], 0, 32)],
          64,
        ),
      ),
    );
    expect(file.metadata.get('a')).toEqual([7, 8]);
    expect(file.tensors.get('y')!.shape).toEqual([3, 2]);
    expect(file.tensors.get('y')!.end - file.tensors.get('x')!.start).toBe(56);
  });
});
