import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { crc32c, endOfStep, type ScalarEvent, scalarRecord, versionRecord } from './tfevents.ts';

const golden = new URL('../../test/golden/tfevents/', import.meta.url);
const written = new Uint8Array(readFileSync(new URL('events.out.tfevents.golden', golden)));
const events = JSON.parse(readFileSync(new URL('events.json', golden), 'utf8')) as ScalarEvent[];

describe('TensorBoard event files', () => {
  it('have the bytes that TensorBoard itself writes', () => {
    const ours = [versionRecord(1), ...events.map(scalarRecord)];
    expect(Buffer.concat(ours).equals(written)).toBe(true);
  });

  it('CRC-32C of the usual check string', () => {
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
  });

  it('end at the last whole record up to a step, whatever was cut off or damaged', () => {
    const ends = [versionRecord(1), ...events.map(scalarRecord)].map(({ length }) => length);
    const upTo = (n: number) => ends.slice(0, n).reduce((a, b) => a + b, 0);
    expect(endOfStep(written, 2 ** 41)).toBe(written.length);
    expect(endOfStep(written, 2 ** 40 + 4)).toBe(upTo(4));
    expect(endOfStep(written, 127)).toBe(upTo(3));
    expect(endOfStep(written.subarray(0, written.length - 1), 2 ** 41)).toBe(upTo(4));
    const damaged = written.slice();
    damaged[upTo(2) + 20]! ^= 1;
    expect(endOfStep(damaged, 2 ** 41)).toBe(upTo(2));
  });
});
