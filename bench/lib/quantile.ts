/** The value that a share `q` of all are at most: one of them, never between two. */
export const quantile = (values: readonly number[], q: number): number =>
  values.toSorted((a, b) => a - b)[Math.ceil(values.length * q) - 1]!;
