/**
 * A seeded fuzzer: valid files are damaged again and again, and a reader must either read the result or say in an `Error` of ours what is
 * wrong. A TypeError or RangeError (an accident of JavaScript), a crash, more memory than `maxBytes`, or more than `maxSeconds` for one
 * file is a failure, reported with the damaged bytes' recipe.
 */
import { createRng } from '../../src/shared/rng.ts';

export type Fuzz = {
  /** Valid files to begin with. */
  readonly seeds: readonly Uint8Array[];
  /** Reads a file; throws a plain Error for a bad one. */
  readonly read: (bytes: Uint8Array) => Promise<unknown> | unknown;
  /** Bytes of each file that are damaged most of the time: where the header lies. Default: all. */
  readonly headBytes?: number;
  readonly seconds: number;
  readonly seed?: string;
  readonly maxBytes?: number;
  readonly maxSeconds?: number;
};

/** Numbers that counts, lengths and offsets must survive. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

type Rng = ReturnType<typeof createRng>;

/** One to eight changes: a bit, a byte, an edge value of 1 to 8 bytes, a piece doubled, moved, zeroed or cut away, the end cut off. */
function damage(bytes: Uint8Array, rng: Rng, headBytes: number): Uint8Array {
  let out = bytes.slice();
  for (let change = 1 + rng.int(8); change > 0 && out.length > 0; change--) {
    const reach = rng.int(8) === 0 ? out.length : Math.min(out.length, headBytes);
    const at = rng.int(reach);
    const length = Math.min(out.length - at, 1 + rng.int(64));
    const kind = rng.int(8);
    if (kind === 0) out[at] = out[at]! ^ (1 << rng.int(8));
    else if (kind === 1) out[at] = rng.int(256);
    else if (kind <= 3) {
      const width = [1, 2, 4, 8][rng.int(4)]!;
      const edge = BigInt(EDGES[rng.int(EDGES.length)]!) << BigInt(rng.int(4) === 0 ? 32 : 0);
      for (let i = 0; i < width && at + i < out.length; i++)
        out[at + i] = Number((edge >> BigInt(8 * i)) & 255n);
    } else if (kind === 4) out.copyWithin(rng.int(reach), at, at + length);
    else if (kind === 5) out.fill(0, at, at + length);
    else if (kind === 6) out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at + length)]);
    else out = out.slice(0, at);
  }
  return out;
}

/**
 * Damages and reads until the time is over; returns how many files were read, and how many of them were refused.
 *
 * @throws on the first file that breaks the reader, with what repeats it
 */
export async function fuzz({
  seeds,
  read,
  headBytes = Number.POSITIVE_INFINITY,
  seconds,
  seed = 'fuzz',
  maxBytes = 256 * 2 ** 20,
  maxSeconds = 2,
}: Fuzz): Promise<{ files: number; refused: number }> {
  const until = performance.now() + seconds * 1000;
  let refused = 0;
  let files = 0;
  for (; performance.now() < until; files++) {
    const rng = createRng(`${seed} ${files}`);
    const bytes = damage(seeds[rng.int(seeds.length)]!, rng, headBytes);
    const before = process.memoryUsage.rss();
    const started = performance.now();
    let failure: unknown;
    try {
      await read(bytes);
    } catch (error) {
      refused++;
      const plain = error instanceof Error && error.constructor === Error && error.message !== '';
      if (!plain) failure = error;
    }
    const took = (performance.now() - started) / 1000;
    const grown = process.memoryUsage.rss() - before;
    if (took > maxSeconds) failure ??= new Error(`it took ${took.toFixed(1)} s`);
    if (grown > maxBytes) failure ??= new Error(`it took ${Math.round(grown / 2 ** 20)} MiB`);
    if (failure !== undefined) {
      const { name, message, stack = '' } = failure as Error;
      throw new Error(
        `file ${files} of seed "${seed}" (${bytes.length} bytes) broke the reader: ${name}: ${message}\n${stack.split('\n').slice(1, 4).join('\n')}`,
      );
    }
  }
  return { files, refused };
}
