/**
 * TensorBoard event files: records of protocol-buffer Events with scalar summaries.
 *
 *     record  length u64 | masked crc32c of those 8 bytes | event | masked crc32c of the event       little-endian
 *     masked  (crc >>> 15 | crc << 17) + 0xa282ead8
 *     Event   1 wall_time double | 2 step int64 | 3 file_version string | 5 Summary { 1 Value { 1 tag, 2 simple_value float } }
 *
 * The first event of a file names the version, `brain.Event:2`. A step of 0 is not written, as proto3 has it.
 */

/** Seconds since 1970, a step, and its scalars by tag. */
export type ScalarEvent = {
  readonly wallTime: number;
  readonly step: number;
  readonly scalars: Readonly<Record<string, number>>;
};

const HEADER = 12;
const FOOTER = 4;
const encoder = new TextEncoder();

/** Record that begins every file. */
export function versionRecord(wallTime: number): Uint8Array {
  return record([...double(1, wallTime), ...text(3, 'brain.Event:2')]);
}

export function scalarRecord({ wallTime, step, scalars }: ScalarEvent): Uint8Array {
  const values = Object.entries(scalars).flatMap(([tag, value]) =>
    message(1, [...text(1, tag), ...float(2, value)]),
  );
  return record([
    ...double(1, wallTime),
    ...(step > 0 ? [0x10, ...varint(step)] : []),
    ...message(5, values),
  ]);
}

/**
 * Where a file's last whole record up to `step` ends: what follows was cut off by a crash, is damaged, or belongs to later steps.
 */
export function endOfStep(file: Uint8Array, step: number): number {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let at = 0;
  while (at + HEADER <= file.length) {
    const length = Number(view.getBigUint64(at, true));
    const start = at + HEADER;
    const end = start + length;
    if (end + FOOTER > file.length) break;
    if (view.getUint32(at + 8, true) !== masked(file.subarray(at, at + 8))) break;
    if (view.getUint32(end, true) !== masked(file.subarray(start, end))) break;
    if (stepOf(file.subarray(start, end)) > step) break;
    at = end + FOOTER;
  }
  return at;
}

/** The step of an event as written here: field 2 right behind the wall time. */
function stepOf(event: Uint8Array): number {
  if (event[9] !== 0x10) return 0;
  let step = 0;
  for (let i = 10, unit = 1; ; i++, unit *= 128) {
    step += (event[i]! & 127) * unit;
    if (event[i]! < 128) return step;
  }
}

function record(event: readonly number[]): Uint8Array {
  const out = new Uint8Array(HEADER + event.length + FOOTER);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(event.length), true);
  view.setUint32(8, masked(out.subarray(0, 8)), true);
  out.set(event, HEADER);
  view.setUint32(HEADER + event.length, masked(out.subarray(HEADER, HEADER + event.length)), true);
  return out;
}

const message = (field: number, bytes: readonly number[]): number[] => [
  (field << 3) | 2,
  ...varint(bytes.length),
  ...bytes,
];
const text = (field: number, value: string): number[] => message(field, [...encoder.encode(value)]);
const double = (field: number, value: number): number[] => [
  (field << 3) | 1,
  ...new Uint8Array(Float64Array.of(value).buffer),
];
const float = (field: number, value: number): number[] => [
  (field << 3) | 5,
  ...new Uint8Array(Float32Array.of(value).buffer),
];

function varint(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128);
  return [...out, rest];
}

/** CRC-32C (Castagnoli, reflected 0x82f63b78), table by byte. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
