/** Names close to a mistyped one, for "did you mean". */

/** Levenshtein distance with adjacent swaps counted as one step. */
function distance(a: string, b: string): number {
  let previous: number[] = [];
  let current = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (current[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(change, (current[j] as number) + 1, (next[j - 1] as number) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, (previous[j - 2] as number) + 1);
      next.push(best);
    }
    previous = current;
    current = next;
  }
  return current[b.length] as number;
}

type Ranked = { readonly candidate: string; readonly steps: number };

/** Nearest first; a candidate that contains the name is as near as the name itself. */
function ranked(name: string, candidates: readonly string[]): Ranked[] {
  const wanted = name.toLowerCase();
  return candidates
    .map((candidate, order) => {
      const found = candidate.toLowerCase();
      const contained = wanted.length > 2 && found.includes(wanted);
      return { candidate, order, steps: contained ? 0 : distance(wanted, found) };
    })
    .sort((a, b) => a.steps - b.steps || a.order - b.order);
}

/** The candidates that contain the name or are within a third of its length, nearest first, at most `count`. */
export const nearestNames = (name: string, candidates: readonly string[], count = 3): string[] =>
  ranked(name, candidates)
    .filter(({ candidate, steps }) => steps <= Math.max(1, Math.max(name.length, candidate.length) / 3))
    .slice(0, count)
    .map(({ candidate }) => candidate);

/** The `count` nearest candidates, however far: where some of a long list is to be shown in any case. */
export const leastFar = (name: string, candidates: readonly string[], count = 3): string[] =>
  ranked(name, candidates)
    .slice(0, count)
    .map(({ candidate }) => candidate);

/** ` Did you mean "a" or "b"?`, or nothing. */
export function didYouMean(name: string, candidates: readonly string[]): string {
  const names = nearestNames(name, candidates).map((candidate) => `"${candidate}"`);
  if (names.length === 0) return '';
  return ` Did you mean ${names.length === 1 ? names[0] : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`}?`;
}
