/** Small moves of arrays between stream, trainer and checkpoint. */

/** Names the arrays of one part inside a checkpoint. */
export const addPrefix = <T>(arrays: ReadonlyMap<string, T>, prefix: string): [string, T][] =>
  [...arrays].map(([name, array]) => [`${prefix}${name}`, array]);

/** The arrays of one part of a checkpoint under their own names. */
export const withPrefix = <T>(arrays: ReadonlyMap<string, T>, prefix: string): Map<string, T> =>
  new Map(
    [...arrays]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, array]) => [name.slice(prefix.length), array]),
  );

/** A value as the bytes of a JSON file and their number, as folder writers take them. */
export function jsonFile(value: unknown): [Uint8Array[], number] {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
  return [[bytes], bytes.length];
}
