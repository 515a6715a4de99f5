/**
 * What a format of SAE files is: how a folder is known to be one, and where in it each canonical array lies.
 *
 *     files --read--> plan: config + a slot per array --loadPlan--> Sae          one latent: a few rows of the same slots
 *     Sae --write--> files
 */
import {
  countOf,
  type NamedTensor,
  readElements,
  readMatrix,
  readNumbers,
  type TensorFile,
} from '../../formats/index.ts';
import { getPlatform } from '../../platform/index.ts';
import type { ByteFolder } from '../../platform/types.ts';
import type { FolderWriter } from '../../store/types.ts';
import { shapesOf } from '../check.ts';
import type { Sae, SaeConfig } from '../types.ts';
import type { Arrays } from '../variants/variant.ts';

/** Bytes of a Float32Array of 2^32 numbers, the most in Node 20. */
const LARGEST_ARRAY = 4 * 2 ** 32;

/** Among the overrides: the s of sx that activations were scaled by in training, which stands in no file. */
export const REGISTERED_SCALE = 'norm_scaling_factor';

export type ArrayName = keyof Arrays;

/**
 * Where an array lies. `transposed`: the file has the matrix the other way round. `from`: of each row of the file the first numbers are none of
 * the matrix. `change`: elementwise, after reading.
 */
export type Slot = {
  readonly tensor: NamedTensor;
  readonly transposed?: boolean;
  readonly from?: number;
  readonly change?: (value: number) => number;
};

export type Plan = {
  readonly config: SaeConfig;
  readonly arrays: { readonly [name in ArrayName]?: Slot | Float32Array };
  /** What is done to the arrays once they are read, in place: factors that are folded in. */
  readonly fold?: (arrays: Arrays) => void;
  /** What was assumed or folded, for people. */
  readonly notes: readonly string[];
};

/** An opened folder, or one file of it that was named. */
export type SaeFiles = {
  readonly folder: ByteFolder;
  /** The file that was named, when it was a file. */
  readonly file: string | undefined;
  /** Settings that take the place of those in the files, of a registry. */
  readonly overrides: Readonly<Record<string, unknown>>;
  json(file: string): Promise<Record<string, unknown> | undefined>;
  /** The lines `key: value` of a YAML file; those one level in are called `outer.key`. Lists and what is deeper are passed over. */
  yaml(file: string): Promise<Record<string, string> | undefined>;
  /** Reads the header of a file of tensors; the tensors when they are asked for. */
  tensors(file: string): Promise<TensorFile>;
  /** Where the files come from, beyond the folder's own name, with /: a layer or a width is often only there. */
  readonly path: string;
};

export type Format = {
  /** For people: sparsify, Gemma Scope. */
  readonly title: string;
  /** Files that make a folder one of this format, weights last; what else than an SAE has none like the first. */
  readonly folders: readonly (readonly string[])[];
  /** Whether the folder looks like this format; reading says what is wrong with it. */
  matches(files: SaeFiles): Promise<boolean>;
  read(files: SaeFiles): Promise<Plan>;
  /** @throws when the format has no place for something of the SAE */
  write?(sae: Sae, folder: FolderWriter, signal?: AbortSignal): Promise<void>;
};

/** Whether a folder holds both of these files; or a file was named, which is the weights. */
export async function hasPair({ folder, file }: SaeFiles, config: string, weights: string): Promise<boolean> {
  return (
    (file === undefined || file === weights) && (await folder.has(config)) && (await folder.has(weights))
  );
}

/** Settings of a JSON file, each checked as it is taken; what is left at the end is refused. */
export function settings(json: Readonly<Record<string, unknown>>, where: string) {
  const taken = new Set<string>();
  const bad = (key: string, expected: string): never => {
    throw new Error(`${where}: ${key} is ${JSON.stringify(json[key]) ?? 'missing'}, expected ${expected}`);
  };
  const take = (key: string): unknown => {
    taken.add(key);
    return json[key];
  };
  return {
    has: (key: string): boolean => json[key] !== undefined && json[key] !== null,
    any: take,
    count(key: string): number {
      const value = take(key);
      return Number.isSafeInteger(value) && (value as number) > 0
        ? (value as number)
        : bad(key, 'a whole number above 0');
    },
    number(key: string): number {
      const value = take(key);
      return typeof value === 'number' && Number.isFinite(value) ? value : bad(key, 'a number');
    },
    text(key: string): string {
      const value = take(key);
      return typeof value === 'string' && value !== '' ? value : bad(key, 'a name');
    },
    flag(key: string, fallback?: boolean): boolean {
      const value = take(key) ?? fallback;
      return typeof value === 'boolean' ? value : bad(key, 'true or false');
    },
    /** Empty where there is none. */
    object(key: string): Record<string, unknown> {
      const value = take(key) ?? {};
      return typeof value === 'object' && !Array.isArray(value)
        ? (value as Record<string, unknown>)
        : bad(key, 'a JSON object');
    },
    oneOf<T extends string>(key: string, choices: readonly T[], fallback?: T): T {
      const value = take(key) ?? fallback;
      return choices.includes(value as T)
        ? (value as T)
        : bad(key, choices.map((c) => JSON.stringify(c)).join(' or '));
    },
    /** Keys that say where the SAE comes from and change nothing. */
    ignore(...keys: readonly string[]): void {
      for (const key of keys) taken.add(key);
    },
    /** @throws for keys that nobody took: they might change what the SAE computes */
    finish(): void {
      const unknown = Object.keys(json).filter((key) => !taken.has(key));
      if (unknown.length > 0)
        throw new Error(
          `${where}: ${unknown.join(', ')} ${unknown.length === 1 ? 'is' : 'are'} not known here and may change what the SAE computes, so it is not loaded.`,
        );
    },
  };
}

/** The tensors of a file by name; those that nobody took at the end are refused. */
export function tensorsOf(file: TensorFile) {
  const taken = new Set<string>();
  const names = [...file.tensors.keys()].sort();
  return {
    names,
    has: (name: string): boolean => file.tensors.has(name),
    take(...spellings: readonly string[]): NamedTensor {
      const name = spellings.find((one) => file.tensors.has(one));
      if (name === undefined)
        throw new Error(
          `${file.name}: no ${spellings.join(' or ')}; the file has ${names.join(', ') || 'nothing'}.`,
        );
      taken.add(name);
      return file.tensors.get(name)!;
    },
    ignore(...keys: readonly string[]): void {
      for (const key of keys) taken.add(key);
    },
    finish(): void {
      const extra = names.filter((name) => !taken.has(name));
      if (extra.length > 0)
        throw new Error(
          `${file.name}: ${extra.join(', ')} would be ignored, and then the SAE would be another one.`,
        );
    },
  };
}

/** Plain values beside the tensors of a .pt. @throws for those that are not `known`: they may change what the SAE computes */
export function refuseValues({ values }: TensorFile, where: string, known?: RegExp): void {
  const others = [...values.keys()].filter((name) => !known?.test(name));
  if (others.length > 0)
    throw new Error(
      `${where}: ${others.join(', ')} would be ignored, and then the SAE might be another one.`,
    );
}

/**
 * Of configs that hold the settings of a whole training or repository, of which most change nothing: those that would.
 *
 * @throws for a setting that says what is active or what is done to the rows, unless it says what is read anyway
 */
export function refuseComputing(
  config: Readonly<Record<string, unknown>>,
  where: string,
  anyway: RegExp,
): void {
  const computing =
    /^(?:activation|activation_fn|activation_function|act_fn|architecture|top_?k|k|threshold|norm(?:ali[sz]e)?_.*|normali[sz]e|scal(?:e|ing).*)$/i;
  for (const [key, value] of Object.entries(config))
    if (computing.test(key) && !anyway.test(String(value)))
      throw new Error(
        `${where}: ${key} is ${JSON.stringify(value)}, which may change what the SAE computes and is not known here, so it is not loaded.`,
      );
}

/** The names of exactly these tensors, and no others. */
export const hasExactly = ({ tensors }: TensorFile, ...names: readonly string[]): boolean =>
  tensors.size === names.length && names.every((name) => tensors.has(name));

/** The two sizes of a matrix. @throws when it has another number of dimensions */
export function matrixShape({ name, shape }: NamedTensor, where: string): [number, number] {
  if (shape.length !== 2) throw new Error(`${where}: ${name} is [${shape.join(', ')}], expected a matrix`);
  return [shape[0]!, shape[1]!];
}

/** What is said of a layer of a cross-layer transcoder. */
export const CROSS_LAYER =
  'A layer of a cross-layer transcoder: what it gives to its own layer and to each behind it stands side by side in its output.';

/**
 * [F,P,D], what each latent writes to P layers, as a matrix [F,P D].
 *
 * @param own how many of the P lie before its own layer, and are none of its output
 * @throws when it has another number of dimensions
 */
export function crossLayerDecoder(tensor: NamedTensor, where: string, own = 0): Slot {
  const [F, P, D] = tensor.shape;
  if (tensor.shape.length !== 3 || tensor.order !== 'C' || own >= P!)
    throw new Error(
      `${where}: ${tensor.name} is [${tensor.shape.join(', ')}], expected [latents, layers${own > 0 ? ` (more than ${own})` : ''}, width] of a layer of a cross-layer transcoder`,
    );
  return { tensor: { ...tensor, shape: [F!, P! * D!] }, ...(own > 0 ? { from: own * D! } : {}) };
}

/** A number that is stored as a tensor of one element. */
export async function scalar(tensor: NamedTensor, where: string): Promise<number> {
  const [value, ...more] = countOf(tensor.shape) <= 8 ? await readNumbers(tensor) : [];
  if (value === undefined || more.length > 0)
    throw new Error(`${where}: ${tensor.name} is [${tensor.shape.join(', ')}], expected one number`);
  return value;
}

/**
 * Of an encoder and decoder whose shapes alone tell how they lie.
 *
 * @param layout how the format lays W_enc out
 * @throws when D and F are equal, so that the other way round would fit as well
 */
export function refuseSquare(D: number, F: number, layout: string, where: string): void {
  if (D === F)
    throw new Error(
      `${where}: width and latents are both ${D}, so the shapes do not tell whether W_enc is ${layout}, and nothing else does. Convert it with the program that wrote it, to SAELens 6 or safetensors of sparsify.`,
    );
}

const isSlot = (array: Slot | Float32Array): array is Slot => !(array instanceof Float32Array);

/** Checks that every array has a place of the right shape. @throws naming the tensor, and saying when it is transposed */
export function checkPlan({ config, arrays }: Plan, where: string): void {
  const shapes = shapesOf(config, {
    ...(arrays.W_skip ? { W_skip: new Float32Array() } : {}),
  });
  for (const [name, shape] of Object.entries(shapes)) {
    const array = arrays[name as ArrayName];
    if (!array) throw new Error(`${where}: nothing is ${name}`);
    if (!isSlot(array) || name === 'b_token') continue;
    const { tensor, transposed, from = 0 } = array;
    const want = transposed ? [...shape].reverse() : [...shape.slice(0, -1), shape.at(-1)! + from];
    const found =
      tensor.shape.length === 2 && shape.length === 1 ? tensor.shape.filter((n) => n !== 1) : tensor.shape;
    if (found.join() === want.join()) continue;
    const flipped = found.length === 2 && found.join() === [...want].reverse().join();
    throw new Error(
      `${where}: ${tensor.name} is [${tensor.shape.join(', ')}], expected [${want.join(', ')}] from D ${config.D} and F ${config.F}.${flipped ? ' It is transposed: here it lies the other way round.' : ''}`,
    );
  }
}

/** A matrix [rows,columns] without the first columns of each row; in the same memory. */
function withoutFirst(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const width = matrix.length / rows;
  const kept = width - columns;
  for (let row = 0; row < rows; row++)
    matrix.copyWithin(row * kept, row * width + columns, (row + 1) * width);
  return matrix.subarray(0, rows * kept);
}

/** @throws before anything is read, where the weights would not fit into memory or an array is longer than there can be */
function requireMemory(
  shapes: Readonly<Record<string, readonly number[]>>,
  arrays: Plan['arrays'],
  where: string,
): void {
  const sizes = Object.entries(shapes).map(([name, shape]) => {
    const from = (arrays[name as ArrayName] as Slot | undefined)?.from ?? 0;
    return 4 * shape.reduce((n, m, i) => n * (i === shape.length - 1 ? m + from : m), 1);
  });
  const bytes = sizes.reduce((a, b) => a + b, 0);
  const available = getPlatform().availableMemory?.() ?? Number.POSITIVE_INFINITY;
  const gigabytes = (n: number): string => `${(n / 1e9).toPrecision(3)} GB`;
  const limit =
    bytes > available
      ? `${gigabytes(available)} are available`
      : Math.max(...sizes) > LARGEST_ARRAY
        ? `one array holds at most ${gigabytes(LARGEST_ARRAY)}`
        : undefined;
  if (limit !== undefined)
    throw new Error(
      `${where}: the weights take ${gigabytes(bytes)} as float32, and ${limit}. Single latents can be read all the same: openSae(location, { byRange: true }) and readLatent.`,
    );
}

/** The SAE of a plan, read and folded. @throws for numbers that are not finite, naming tensor and place */
export async function loadPlan(plan: Plan, where: string, signal?: AbortSignal): Promise<Sae> {
  checkPlan(plan, where);
  const shapes = shapesOf(plan.config, { ...(plan.arrays.W_skip ? { W_skip: new Float32Array() } : {}) });
  requireMemory(shapes, plan.arrays, where);
  const arrays: Record<string, Float32Array> = {};
  for (const [name, array] of Object.entries(plan.arrays)) {
    signal?.throwIfAborted();
    if (!array) continue;
    if (array instanceof Float32Array) arrays[name] = array;
    else {
      const { tensor, transposed = false, from = 0, change } = array;
      const shape = shapes[name] ?? tensor.shape;
      const whole =
        shape.length === 2
          ? await readMatrix(tensor, [shape[0]!, shape[1]! + from], transposed, signal)
          : await readElements(tensor, 0, countOf(tensor.shape));
      const at = whole.findIndex((value) => !Number.isFinite(value));
      if (at >= 0)
        throw new Error(`${where}: ${tensor.name} holds ${whole[at]} (place ${at}): a damaged SAE`);
      const read = from === 0 ? whole : withoutFirst(whole, shape[0]!, from);
      if (change) for (let i = 0; i < read.length; i++) read[i] = change(read[i]!);
      arrays[name] = read;
    }
  }
  plan.fold?.(arrays as Arrays);
  return { config: plan.config, ...(arrays as Arrays) };
}
