/** Things that take turns at the same work, so that a ratio compares times of the same minutes. */

export type Contender = {
  readonly name: string;
  /** Does the work once and returns milliseconds, measured next to the work. */
  turn(): Promise<number>;
  /** Versions and choices, for the record. */
  readonly about?: Readonly<Record<string, unknown>>;
  close(): Promise<void>;
};

/** A contender that cannot be here, and why. */
export type Skipped = { readonly name: string; readonly skipped: string };

export type Measured = {
  readonly times: readonly number[];
  readonly about: Readonly<Record<string, unknown>>;
};

// Long enough for thread pools of the one before to stop spinning, short beside the work.
const PAUSE_MS = 250;

/** `rounds` timed turns of every contender in rotation, after `warmup` rounds that do not count. */
export async function interleave(
  contenders: readonly Contender[],
  { rounds, warmup, progress }: { rounds: number; warmup: number; progress: (line: string) => void },
): Promise<Map<string, Measured>> {
  const times = new Map(contenders.map(({ name }) => [name, [] as number[]]));
  if (times.size < contenders.length)
    throw new Error(`Two contenders have the same name: ${contenders.map(({ name }) => name).join(', ')}`);
  for (let round = -warmup; round < rounds; round++) {
    for (const { name, turn } of contenders) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      const ms = await turn();
      if (round >= 0) times.get(name)!.push(ms);
    }
    progress(round < 0 ? `warm-up ${round + warmup + 1}/${warmup}` : `round ${round + 1}/${rounds}`);
  }
  return new Map(
    contenders.map(({ name, about }) => [name, { times: times.get(name)!, about: about ?? {} }]),
  );
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
