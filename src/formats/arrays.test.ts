// Zip and npy as written here by hand, against damage and malice; files of numpy itself are read in store/activations/sources.
import fc from 'fast-check';
import { deflateSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { fromBytes } from '../platform/index.ts';
import { npyRows, readNpy } from './npy.ts';
import { readHybrid, readPageHeader } from './parquet-page.ts';
import { readZip } from './zip.ts';

/** A .npy file, right or wrong. */
function npy(header: string, data: Uint8Array, version = 1): Uint8Array {
  const text = new TextEncoder().encode(header);
  const prefix = version === 1 ? 10 : 12;
  const bytes = new Uint8Array(prefix + text.length + data.length);
  bytes.set([0x93, 78, 85, 77, 80, 89, version, 0]);
  if (version === 1) new DataView(bytes.buffer).setUint16(8, text.length, true);
  else new DataView(bytes.buffer).setUint32(8, text.length, true);
  bytes.set(text, prefix);
  bytes.set(data, prefix + text.length);
  return bytes;
}

/** One entry, its record and the end, with what a test wants to be wrong. */
function zip(
  content: Uint8Array,
  {
    method = 8,
    size = content.length,
    flags = 0,
    crc = 0,
    count = 1,
    offset = 0,
    claimed = -1,
  }: Partial<Record<'method' | 'size' | 'flags' | 'crc' | 'count' | 'offset' | 'claimed', number>> = {},
): Uint8Array {
  const packed = method === 8 ? deflateSync(content) : content;
  const name = new TextEncoder().encode('x.npy');
  const bytes = new Uint8Array(30 + name.length + packed.length + 46 + name.length + 22);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x04034b50, true);
  view.setUint16(26, name.length, true);
  bytes.set(name, 30);
  bytes.set(packed, 30 + name.length);
  const at = 30 + name.length + packed.length;
  view.setUint32(at, 0x02014b50, true);
  view.setUint16(at + 8, flags, true);
  view.setUint16(at + 10, method, true);
  view.setUint32(at + 16, crc, true);
  view.setUint32(at + 20, claimed < 0 ? packed.length : claimed, true);
  view.setUint32(at + 24, size, true);
  view.setUint16(at + 28, name.length, true);
  view.setUint32(at + 42, offset, true);
  bytes.set(name, at + 46);
  const end = at + 46 + name.length;
  view.setUint32(end, 0x06054b50, true);
  view.setUint16(end + 10, count, true);
  view.setUint32(end + 12, end - at, true);
  view.setUint32(end + 16, at, true);
  return bytes;
}

describe('a zip that is not what it says', () => {
  const zeros = new Uint8Array(3_000_000);
  const open = async (bytes: Uint8Array): Promise<unknown> =>
    (await readZip(fromBytes(bytes), 'a.npz'))[0]!.open();
  test.each([
    [
      'unpacks to more than announced',
      zip(zeros, { size: 1000 }),
      /a\.npz, x\.npy: damaged: it unpacks to more than the 1000 bytes/,
    ],
    ['unpacks to less', zip(zeros, { size: 3_000_001 }), /unpacks to 3000000 bytes instead of 3000001/],
    [
      'announces more than is held in memory',
      zip(zeros, { size: 0xfffffffe }),
      /held in memory, at most 2147483648.*np\.savez/,
    ],
    ['has a wrong checksum', zip(zeros, { crc: 5 }), /checksum is wrong/],
    ['is encrypted', zip(zeros, { flags: 1 }), /encrypted/],
    ['has another method', zip(zeros, { method: 12 }), /method 12/],
    ['has more entries than records', zip(zeros, { count: 2 }), /damaged directory at entry 1/],
    ['points behind its end', zip(zeros, { offset: 1e9 }), /behind the end/],
    ['points to no entry', zip(zeros, { offset: 4 }), /no entry header at byte 4/],
    ['has an entry longer than the file', zip(zeros, { claimed: 1e9 }), /truncated: it ends at byte/],
    ['has no end record', zip(zeros).subarray(0, 500), /no end record/],
  ])('%s', async (_, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(message);
  });
});

test('a zip64 archive, as numpy writes beyond 4 GiB: sizes, offset and directory in their 64-bit fields', async () => {
  const content = Uint8Array.from({ length: 50 }, (_, i) => i);
  const plain = zip(content, { method: 0 });
  const end = plain.length - 22;
  const at = new DataView(plain.buffer).getUint32(end + 16, true);
  const extra = new Uint8Array(4 + 24);
  const field = new DataView(extra.buffer);
  field.setUint16(0, 1, true);
  field.setUint16(2, 24, true);
  field.setBigUint64(4, 50n, true);
  field.setBigUint64(12, 50n, true);
  field.setBigUint64(20, 0n, true);
  const record = plain.slice(at, end);
  const recordView = new DataView(record.buffer);
  for (const place of [20, 24, 42]) recordView.setUint32(place, 0xffffffff, true);
  recordView.setUint16(30, extra.length, true);
  const end64 = new DataView(new ArrayBuffer(56 + 20));
  end64.setUint32(0, 0x06064b50, true);
  end64.setBigUint64(32, 1n, true);
  end64.setBigUint64(40, BigInt(record.length + extra.length), true);
  end64.setBigUint64(48, BigInt(at), true);
  end64.setUint32(56, 0x07064b50, true);
  end64.setBigUint64(64, BigInt(at + record.length + extra.length), true);
  const last = plain.slice(end);
  last.fill(0xff, 8, 20);
  const parts = [plain.slice(0, at), record, extra, new Uint8Array(end64.buffer), last];
  const [entry] = await readZip(fromBytes(Uint8Array.from(parts.flatMap((part) => [...part]))), 'a.npz');
  const source = await entry!.open();
  expect(await source.slice(0, source.byteLength)).toEqual(content);
});

describe('a .npy that is not what it says', () => {
  const header = (shape: string, descr = '<f4', order = 'False'): string =>
    `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': (${shape}), }\n`;
  const eight = new Uint8Array(32);
  test.each([
    ['sizes beyond all numbers', npy(header('9007199254740993, 2'), eight), /at most 16 sizes/],
    ['sizes that overflow', npy(header('4000000000000, 4000000000000'), eight), /truncated/],
    ['seventeen dimensions', npy(header('1, '.repeat(17)), eight), /at most 16 sizes/],
    ['a huge header', npy(' '.repeat(70_000), eight, 2), /70000 bytes long, more than 65536/],
    ['no shape', npy("{'descr': '<f4', 'fortran_order': False, }", eight), /damaged \.npy header/],
    ['negative sizes', npy(header('-4, 2'), eight), /damaged \.npy header/],
    ['an unknown version', npy(header('4, 2'), eight, 4), /version 4\.0/],
    ['a second array', npy(header('2, 2'), eight), /16 bytes after the array/],
    ['rows of no width', npy(header('8, 0'), new Uint8Array(0)), /rows of width 0/],
    [
      'rows wider than any model',
      npy(header('1, 2000000'), new Uint8Array(8_000_000)),
      /rows of width 2000000/,
    ],
  ])('%s', async (_, bytes, message) => {
    await expect(readNpy(fromBytes(bytes), 'a.npy').then((array) => npyRows(array))).rejects.toThrow(message);
  });

  test('any array in any order and version is read back, in any blocks', async () => {
    const shapes = fc.record({
      N: fc.integer({ min: 1, max: 9 }),
      D: fc.integer({ min: 1, max: 9 }),
      fortran: fc.boolean(),
      big: fc.boolean(),
      version: fc.constantFrom(1, 2, 3),
      start: fc.nat(8),
      count: fc.nat(9),
    });
    await fc.assert(
      fc.asyncProperty(
        shapes,
        fc.infiniteStream(fc.double()),
        async ({ N, D, fortran, big, version, start, count }, numbers) => {
          const x = Float64Array.from({ length: N * D }, () => numbers.next().value as number);
          const view = new DataView(new ArrayBuffer(x.length * 8));
          for (const [k, value] of x.entries())
            view.setFloat64((fortran ? (k % D) * N + Math.floor(k / D) : k) * 8, value, !big);
          const bytes = npy(
            header(`${N}, ${D}`, big ? '>f8' : '<f8', fortran ? 'True' : 'False'),
            new Uint8Array(view.buffer),
            version,
          );
          const reader = npyRows(await readNpy(fromBytes(bytes), 'a.npy'));
          const n = Math.min(count, N - Math.min(start, N));
          const into = new Float32Array(n * D);
          await reader.read(Math.min(start, N), n, into);
          expect(into).toEqual(
            new Float32Array(x.slice(Math.min(start, N) * D, (Math.min(start, N) + n) * D)),
          );
        },
      ),
    );
  });
});

describe('Parquet levels', () => {
  test('runs and bit-packed groups of any width', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.record({ packed: fc.boolean(), length: fc.integer({ min: 1, max: 5 }) }), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.infiniteStream(fc.nat()),
        (bits, runs, numbers) => {
          const bytes: number[] = [];
          const expected: number[] = [];
          for (const { packed, length } of runs) {
            const next = (): number => (numbers.next().value as number) % 2 ** bits;
            if (packed) {
              // Written bit by bit, the slow obvious way.
              const values = Array.from({ length: length * 8 }, next);
              const stream = values.flatMap((v) => Array.from({ length: bits }, (_, b) => (v >> b) & 1));
              bytes.push((length << 1) | 1);
              for (let at = 0; at < stream.length; at += 8)
                bytes.push(stream.slice(at, at + 8).reduce((sum, bit, b) => sum + (bit << b), 0));
              expected.push(...values);
            } else {
              const value = next();
              bytes.push(length << 1);
              for (let k = 0; k < bits; k += 8) bytes.push((value >> k) & 255);
              expected.push(...new Array<number>(length).fill(value));
            }
          }
          expect([...readHybrid(Uint8Array.from(bytes), bits, expected.length)]).toEqual(expected);
          expect(() => readHybrid(Uint8Array.from(bytes), bits, expected.length + 9)).toThrow(/damaged/);
        },
      ),
    );
  });

  test('no bytes make a page header hang or crash otherwise than with its place', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          const { headerBytes } = readPageHeader(bytes, 'x, page at byte 4');
          expect(headerBytes).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect((error as Error).message).toMatch(/^x, page at byte 4: damaged/);
        }
      }),
      { numRuns: 500 },
    );
  });
});
