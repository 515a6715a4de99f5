/**
 * ggml's block formats -> float32. A block holds n elements that share their scales; d, m are float16, q, s small integers.
 *
 *     Q4_0  d (q - 8)      Q5_0  d (q - 16)     Q8_0  d q              n = 32
 *     Q4_1  d q + m        Q5_1  d q + m
 *     Q2_K  (d s) q - (m s')      s, s' 4 bits per 16 elements         n = 256
 *     Q3_K  (d (s - 32)) (q - 4)  s 6 bits per 16
 *     Q4_K  (d s) q - (m s')      s, s' 6 bits per 32
 *     Q5_K  the same with 5 bits
 *     Q6_K  (d s) (q - 32)        s 8 bits per 16
 *
 * Every product and sum is rounded to float32 where the reference implementation rounds it, so the bits are the same.
 */
import { bfloat16ToFloat32, float16ToFloat32 } from '../float16.ts';
import { elementsOf } from '../safetensors.ts';
import { GGUF_TYPES } from './types.ts';

const { fround } = Math;

const half = new Uint16Array(1);
const single = new Float32Array(1);
/** The float16 at byte `at`. */
function f16(bytes: Uint8Array, at: number): number {
  half[0] = bytes[at]! | (bytes[at + 1]! << 8);
  return float16ToFloat32(half, single)[0]!;
}

/** Writes the elements of the block at byte `at` to `out` from `to` on. */
type Block = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void;

/** 32 elements in 16 bytes: the low nibbles are elements 0..15, the high ones 16..31; `high` gives a fifth bit. */
function nibbles(
  bytes: Uint8Array,
  at: number,
  out: Float32Array,
  to: number,
  value: (q: number) => number,
  high = 0,
): void {
  for (let j = 0; j < 16; j++) {
    const byte = bytes[at + j]!;
    out[to + j] = value((byte & 15) | (((high >>> j) & 1) << 4));
    out[to + j + 16] = value((byte >>> 4) | (((high >>> (j + 16)) & 1) << 4));
  }
}

const u32 = (bytes: Uint8Array, at: number): number =>
  bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);

const q4_0: Block = (bytes, at, out, to) => {
  const d = f16(bytes, at);
  nibbles(bytes, at + 2, out, to, (q) => d * (q - 8));
};
const q4_1: Block = (bytes, at, out, to) => {
  const d = f16(bytes, at);
  const m = f16(bytes, at + 2);
  nibbles(bytes, at + 4, out, to, (q) => fround(d * q) + m);
};
const q5_0: Block = (bytes, at, out, to) => {
  const d = f16(bytes, at);
  nibbles(bytes, at + 6, out, to, (q) => d * (q - 16), u32(bytes, at + 2));
};
const q5_1: Block = (bytes, at, out, to) => {
  const d = f16(bytes, at);
  const m = f16(bytes, at + 2);
  nibbles(bytes, at + 8, out, to, (q) => fround(d * q) + m, u32(bytes, at + 4));
};
const q8_0: Block = (bytes, at, out, to) => {
  const d = f16(bytes, at);
  for (let j = 0; j < 32; j++) out[to + j] = d * ((bytes[at + 2 + j]! << 24) >> 24);
};

/** Two bits of element i of 256, as Q2_K and Q3_K pack them: byte (i div 128) 32 + i mod 32, bits 2 (i div 32 mod 4). */
const twoBits = (bytes: Uint8Array, at: number, i: number): number =>
  (bytes[at + (i >>> 7) * 32 + (i & 31)]! >>> (((i >>> 5) & 3) * 2)) & 3;

const q2_K: Block = (bytes, at, out, to) => {
  const d = f16(bytes, at + 80);
  const m = f16(bytes, at + 82);
  for (let group = 0; group < 16; group++) {
    const scales = bytes[at + group]!;
    const scale = fround(d * (scales & 15));
    const low = fround(m * (scales >>> 4));
    for (let i = group * 16; i < group * 16 + 16; i++)
      out[to + i] = fround(scale * twoBits(bytes, at + 16, i)) - low;
  }
};

const q3_K: Block = (bytes, at, out, to) => {
  const d = f16(bytes, at + 108);
  for (let group = 0; group < 16; group++) {
    // Low nibbles of the 16 scales in 8 bytes, their upper two bits in 4 bytes.
    const low = (bytes[at + 96 + (group & 7)]! >>> (group < 8 ? 0 : 4)) & 15;
    const upper = (bytes[at + 104 + (group & 3)]! >>> ((group >>> 2) * 2)) & 3;
    const scale = fround(d * ((low | (upper << 4)) - 32));
    for (let i = group * 16; i < group * 16 + 16; i++) {
      const high = (bytes[at + (i & 31)]! >>> (i >>> 5)) & 1;
      out[to + i] = scale * (twoBits(bytes, at + 32, i) - (high ? 0 : 4));
    }
  }
};

/** Scale and minimum number j of 8, six bits each, in the 12 bytes at `at`. */
function sixBits(bytes: Uint8Array, at: number, j: number): [scale: number, minimum: number] {
  if (j < 4) return [bytes[at + j]! & 63, bytes[at + j + 4]! & 63];
  const shared = bytes[at + j + 4]!;
  return [(shared & 15) | ((bytes[at + j - 4]! >>> 6) << 4), (shared >>> 4) | ((bytes[at + j]! >>> 6) << 4)];
}

/** Q4_K, and Q5_K when `high` says where the fifth bits lie; nibbles at `low`. */
const fourBits =
  (low: number, high?: number): Block =>
  (bytes, at, out, to) => {
    const d = f16(bytes, at);
    const m = f16(bytes, at + 2);
    for (let j = 0; j < 8; j++) {
      const [s, minimum] = sixBits(bytes, at + 4, j);
      const scale = fround(d * s);
      const least = fround(m * minimum);
      const shift = (j & 1) * 4;
      for (let i = 0; i < 32; i++) {
        const fifth = high === undefined ? 0 : (bytes[at + high + i]! >>> j) & 1;
        const q = ((bytes[at + low + (j >>> 1) * 32 + i]! >>> shift) & 15) | (fifth << 4);
        out[to + j * 32 + i] = fround(scale * q) - least;
      }
    }
  };

const q6_K: Block = (bytes, at, out, to) => {
  const d = f16(bytes, at + 208);
  for (let group = 0; group < 16; group++) {
    const scale = fround(d * ((bytes[at + 192 + group]! << 24) >> 24));
    for (let i = group * 16; i < group * 16 + 16; i++) {
      const half = i >>> 7;
      const quarter = (i >>> 5) & 3;
      const low = (bytes[at + half * 64 + (quarter & 1) * 32 + (i & 31)]! >>> ((quarter >>> 1) * 4)) & 15;
      const high = (bytes[at + 128 + half * 32 + (i & 31)]! >>> (quarter * 2)) & 3;
      out[to + i] = scale * ((low | (high << 4)) - 32);
    }
  }
};

const BLOCKS: Readonly<Record<string, Block>> = {
  Q8_0: q8_0,
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q2_K: q2_K,
  Q3_K: q3_K,
  Q4_K: fourBits(16),
  Q5_K: fourBits(48, 16),
  Q6_K: q6_K,
};

const PLAIN = ['F32', 'F16', 'BF16', 'F64'] as const;

/** The tensor types that `dequantize` takes. */
export const DEQUANTIZED: readonly string[] = [...PLAIN, ...Object.keys(BLOCKS)];

const sizes = new Map(
  Object.values(GGUF_TYPES).map(([name, elements, bytes]) => [name, { elements, bytes }]),
);

/** Elements and bytes of one block of a tensor type. */
export const blockSize = (type: string): { elements: number; bytes: number } => sizes.get(type)!;

/**
 * Whole blocks as float32, bit for bit what ggml's reference gives.
 *
 * @param bytes whole blocks of `type`
 * @param out as many elements as the blocks hold
 * @throws for a type that is not read, naming those that are
 */
export function dequantize(type: string, bytes: Uint8Array, out: Float32Array): void {
  const block = Object.hasOwn(BLOCKS, type) ? BLOCKS[type] : undefined;
  if (block) {
    const { elements, bytes: stride } = blockSize(type);
    for (let at = 0, to = 0; to < out.length; at += stride, to += elements) block(bytes, at, out, to);
  } else if (type === 'F16') float16ToFloat32(elementsOf(bytes, 'F16') as Uint16Array, out);
  else if (type === 'BF16') bfloat16ToFloat32(elementsOf(bytes, 'BF16') as Uint16Array, out);
  else if (type === 'F32' || type === 'F64') out.set(elementsOf(bytes, type) as Float32Array | Float64Array);
  else
    throw new Error(
      `Tensors of type ${type} are not read. Read are ${DEQUANTIZED.join(', ')}. Take the model in another quantisation, such as Q4_K_M or Q8_0.`,
    );
}
