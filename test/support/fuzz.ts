/** Files made wrong at random, the same ones for the same seed. */
import { createRng, type Rng } from '../../src/shared/rng.ts';

const between = (rng: Rng, from: number, to: number): number =>
  from + Math.floor(rng.uniform() * (to - from));

/** A copy with a few bytes changed, a stretch cut out, repeated or zeroed, or an end cut off. */
export function damaged(bytes: Uint8Array, rng: Rng): Uint8Array {
  let copy = bytes.slice();
  for (let round = between(rng, 1, 4); round > 0; round--) {
    if (copy.length < 2) return copy;
    const at = between(rng, 0, copy.length);
    const to = Math.min(copy.length, at + between(rng, 1, 64));
    switch (between(rng, 0, 6)) {
      case 0:
        copy[at] = between(rng, 0, 256);
        break;
      case 1:
        copy[at] = copy[at]! ^ (1 << between(rng, 0, 8));
        break;
      case 2:
        copy.fill(255, at, to);
        break;
      case 3:
        copy = copy.slice(0, at);
        break;
      case 4:
        copy = Uint8Array.from([...copy.subarray(0, at), ...copy.subarray(to)]);
        break;
      default:
        copy = Uint8Array.from([...copy.subarray(0, to), ...copy.subarray(at)]);
    }
  }
  return copy;
}

/**
 * Gives `check` damaged copies for a number of rounds or of seconds. It should finish or throw an Error with a message; anything else is a
 * defect, reported with the seed that makes the file again.
 */
export async function fuzz(
  files: readonly Uint8Array[],
  check: (bytes: Uint8Array) => Promise<void>,
  {
    rounds = Number.POSITIVE_INFINITY,
    seconds = Number.POSITIVE_INFINITY,
  }: { rounds?: number; seconds?: number },
): Promise<{ rounds: number; refused: number }> {
  const end = performance.now() + seconds * 1000;
  let done = 0;
  let refused = 0;
  for (; done < rounds && performance.now() < end; done++) {
    const rng = createRng(`fuzz ${done}`);
    const bytes = damaged(files[done % files.length]!, rng);
    const begun = performance.now();
    try {
      await check(bytes);
    } catch (error) {
      const { message } = error as Error;
      // A TypeError or a full stack is our own mistake, not a sentence about the file.
      if (
        !(error instanceof Error) ||
        error instanceof TypeError ||
        message.length < 10 ||
        /undefined|call stack/i.test(message)
      )
        throw new Error(`fuzz ${done}: ${String(error)}`, { cause: error });
      refused++;
    }
    const took = performance.now() - begun;
    if (took > 5000) throw new Error(`fuzz ${done}: took ${Math.round(took)} ms`);
  }
  return { rounds: done, refused };
}
