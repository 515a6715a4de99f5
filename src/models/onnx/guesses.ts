/**
 * Inputs for a file of which only the shapes of its inputs are known. A dimension that the file does not state is free; the first is B:
 *
 *     text     [B, T, …]                       every other free axis is T
 *     sound    [B, 4000 T], [B, 1, 4000 T]     one other free axis, one or two channels: thousands of samples where text has a few
 *                                              tokens. Not where token ids are read, too: attention over as many would take gigabytes
 *     images   [B, C, H, W], [B, H, W, C]      H and W are free: 32 T, then 224, which position embeddings often ask for; C, if free: 3
 *
 * No guess is larger than some millions of numbers, whatever a file states.
 */
import type { Tensor as OrtTensor } from 'onnxruntime-common';
import type { Graph, Value } from '../../graph/index.ts';
import { toEngine } from './any.ts';
import { PROBES } from './probe.ts';
import { idsInput } from './tokens.ts';

/** Elements of all inputs together: 64 MB of float32. */
const MAX_ELEMENTS = 2 ** 24;

type Size = { readonly B: number; readonly T: number };
type Dims = readonly (number | string)[];
/** Sizes of the axes of one input, or undefined where this guess says nothing of it. */
type Guess = (dims: Dims, size: Size) => number[] | undefined;

const product = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);
const isFree = (dim: number | string | undefined): boolean => typeof dim === 'string';

const text =
  (long = 1) =>
  (dims: Dims, { B, T }: Size): number[] => {
    const first = dims.findIndex(isFree);
    return dims.map((dim, axis) => (typeof dim === 'number' ? dim : axis === first ? B : T * long));
  };

const sound: Guess = (dims, size) => {
  const channels = product(dims.filter((dim) => typeof dim === 'number'));
  return dims.filter(isFree).length === 2 && channels <= 2 ? text(4000)(dims, size) : undefined;
};

const image =
  (side: (size: Size) => number): Guess =>
  (dims, size) => {
    if (dims.length !== 4) return undefined;
    const channelsLast = [1, 3, 4].includes(dims[3] as number);
    const [channels, ...sides] = channelsLast ? [3, 1, 2] : [1, 2, 3];
    if (!sides.every((axis) => isFree(dims[axis]))) return undefined;
    const free = (axis: number) => (sides.includes(axis) ? side(size) : axis === channels ? 3 : size.B);
    return dims.map((dim, axis) => (typeof dim === 'number' ? dim : free(axis)));
  };

const GUESSES: readonly Guess[] = [text(), sound, image(({ T }) => 32 * T), image(() => 224)];

/** Values held at a time where inputs are large: all of a model on images take gigabytes. */
const AT_ONCE = 200;

/** What `probe` feeds, and a description of it for people. */
export type GuessedFeeds = {
  readonly shown: string;
  /** Why it is not tried. */
  readonly tooLarge?: string;
  readonly atOnce: number;
  readonly feed: (size: Size) => Readonly<Record<Value, () => OrtTensor>>;
};

/** Guesses to be tried in order; those that say nothing of any input of numbers are left out. */
export function guessInputs(graph: Graph): GuessedFeeds[] {
  const named = [...graph.inputs];
  const numbers = named.filter(([, { type }]) => type.startsWith('float'));
  return GUESSES.flatMap((guess): GuessedFeeds[] => {
    if (guess !== GUESSES[0] && !numbers.some(([, { dims }]) => guess(dims, PROBES[0]))) return [];
    if (guess === sound && idsInput(graph)) return [];
    const sizes = (size: Size) => named.map(([, { dims }]) => guess(dims, size) ?? text()(dims, size));
    const show = (all: readonly number[][]) =>
      all.map((dims, i) => `${named[i]![0]} [${dims.join(', ')}]`).join('; ');
    const largest = sizes(PROBES[1]);
    const elements = largest.reduce((sum, dims) => sum + product(dims), 0);
    const atOnce = guess === GUESSES[0] ? Number.POSITIVE_INFINITY : AT_ONCE;
    const feed = (size: Size) => {
      const shapes = sizes(size);
      return Object.fromEntries(
        named.map(([name, { type }], i) => {
          const dims = shapes[i]!;
          const make = () => {
            const data = new Float32Array(product(dims)).fill(1);
            if (type.startsWith('float')) for (let at = 0; at < data.length; at++) data[at] = Math.sin(at);
            return toEngine(name, { data, dims }, type);
          };
          return [name, make];
        }),
      );
    };
    const tooLarge = `its inputs ask for ${elements} numbers (${show(largest)}); shapes are measured with up to ${MAX_ELEMENTS}`;
    return [{ shown: show(largest), ...(elements > MAX_ELEMENTS ? { tooLarge } : {}), atOnce, feed }];
  });
}
