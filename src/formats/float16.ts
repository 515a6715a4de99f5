/**
 * Half-precision conversions, round to nearest even.
 *
 *     float16   1 sign, 5 exponent (bias 15), 10 fraction bits
 *     bfloat16  the upper 16 bits of a float32
 *
 * Both are held as Uint16Array everywhere in the project: Node 20 has no Float16Array.
 */

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

/** All 65,536 float16 values, made on first use: a table is ten times faster than bit work per element. */
let float16Table: Float32Array | undefined;

function makeFloat16Table(): Float32Array {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >>> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) table[bits] = fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    else if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return table;
}

/** float16 bits -> float32, exact. */
export function float16ToFloat32(
  bits: Uint16Array,
  out: Float32Array = new Float32Array(bits.length),
): Float32Array {
  float16Table ??= makeFloat16Table();
  const table = float16Table;
  for (let i = 0; i < bits.length; i++) out[i] = table[bits[i]!]!;
  return out;
}

/** bfloat16 bits -> float32, exact. */
export function bfloat16ToFloat32(
  bits: Uint16Array,
  out: Float32Array = new Float32Array(bits.length),
): Float32Array {
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return out;
}

/** float32 -> float16 bits. Beyond 65,504 becomes infinity; NaN stays NaN. */
export function float32ToFloat16(values: Float32Array, out = new Uint16Array(values.length)): Uint16Array {
  for (let i = 0; i < values.length; i++) {
    f32[0] = values[i]!;
    const bits = u32[0]!;
    const sign = (bits >>> 16) & 0x8000;
    const magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) out[i] = sign | 0x7e00;
    else if (magnitude >= 0x477ff000)
      out[i] = sign | 0x7c00; // 65,520 and above round to infinity
    else if (magnitude >= 0x38800000) {
      // Normal: drop 13 fraction bits, ties to even; a carry runs into the exponent as it should.
      const rebased = magnitude - 0x38000000;
      out[i] = sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
    } else {
      // Subnormal: a multiple of 2^-24. Scaling by a power of two is exact, so one rounding decides.
      const scaled = Math.abs(f32[0]!) * 2 ** 24;
      const floor = Math.floor(scaled);
      const rest = scaled - floor;
      out[i] = sign | (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor);
    }
  }
  return out;
}

/** float32 -> bfloat16 bits. NaN stays NaN. */
export function float32ToBfloat16(values: Float32Array, out = new Uint16Array(values.length)): Uint16Array {
  for (let i = 0; i < values.length; i++) {
    f32[0] = values[i]!;
    const bits = u32[0]!;
    out[i] =
      (bits & 0x7fffffff) > 0x7f800000 ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
  return out;
}
