/**
 * Python's pickle (Lib/pickletools.py), as far as files of weights need it, and not one step further: a pickle is a program, and this
 * runs none. It builds lists, dicts, tuples, numbers and strings; a global name may only be one of a short list, each of which makes
 * plain data here. Whatever else a file asks for is refused by name, before anything is made of it.
 */

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleValue[]
  | PickleDict
  | PickleObject;
/** Of dicts: text and whole numbers. */
export type PickleKey = string | number;
export type PickleDict = Map<PickleKey, PickleValue>;
/** What an allowed global made; the caller knows its own kinds. */
export type PickleObject = { readonly kind: string };

export type PickleOptions = {
  /** `module.name` -> what a call of it gives. A name without arguments, such as a dtype, is called with undefined. */
  readonly globals: ReadonlyMap<string, (args: readonly PickleValue[] | undefined) => PickleValue>;
  /** What stands for a persistent id. */
  persistent(id: PickleValue): PickleValue;
};

/**
 * Every instruction makes at most one object, one stack slot and one memory, so this bounds all three. torch.save takes 32 for a tensor, 127 for
 * a parameter with its state of Adam: this is eight thousand tensors, some hundred times an SAE.
 */
export const MAX_INSTRUCTIONS = 250_000;

const MARK = Symbol('mark');
type GlobalName = { readonly kind: 'global'; readonly name: string };
type Item = PickleValue | typeof MARK;

const isGlobal = (value: unknown): value is GlobalName => (value as GlobalName | null)?.kind === 'global';

/**
 * Reads one pickle.
 *
 * @param what what to call it in messages
 * @returns the value, and where the pickle ends
 * @throws for a name that is not allowed, an instruction that is not known, a dict key that is neither text nor a whole number, more than
 *   MAX_INSTRUCTIONS, and a damaged or truncated pickle
 */
export function unpickle(
  bytes: Uint8Array,
  { globals, persistent }: PickleOptions,
  what: string,
  start = 0,
): { value: PickleValue; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stack: Item[] = [];
  const memo = new Map<number, Item>();
  let at = start;

  const fail: (why: string) => never = (why) => {
    throw new Error(`${what}: ${why}. Only weights are read, and nothing in a file is ever run.`);
  };
  const take = (n: number): number => {
    if (n < 0 || at + n > bytes.length) fail(`truncated pickle: ${n} bytes at ${at} of ${bytes.length}`);
    at += n;
    return at - n;
  };
  const text = (from: number, to: number): string => new TextDecoder().decode(bytes.subarray(from, to));
  const string = (length: number): string => {
    const from = take(length);
    return text(from, at);
  };
  const line = (): string => {
    const end = bytes.indexOf(10, at);
    if (end < 0 || end - at > 1000) fail(`damaged pickle at byte ${at}`);
    const found = text(at, end);
    at = end + 1;
    return found;
  };
  const pop = (): PickleValue => {
    const value = stack.pop();
    if (value === undefined || value === MARK) return fail(`damaged pickle at byte ${at}`);
    return value as PickleValue;
  };
  const toMark = (): PickleValue[] => {
    const mark = stack.lastIndexOf(MARK);
    if (mark < 0) fail(`damaged pickle at byte ${at}`);
    return stack.splice(mark).slice(1) as PickleValue[];
  };
  const top = (): PickleValue => {
    const value = stack.at(-1);
    if (value === undefined || value === MARK) return fail(`damaged pickle at byte ${at}`);
    return value as PickleValue;
  };
  const long = (length: number): bigint | number => {
    const from = take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = value * 256n + BigInt(bytes[from + i]!);
    if (length > 0 && bytes[from + length - 1]! > 127) value -= 1n << BigInt(8 * length);
    return value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : value;
  };
  const named = (name: string): PickleValue => {
    if (!globals.has(name))
      fail(`it asks for ${JSON.stringify(name.slice(0, 100))}, which is no part of saved weights`);
    return { kind: 'global', name } as GlobalName;
  };
  const call = (callee: PickleValue, args: PickleValue): PickleValue => {
    if (!isGlobal(callee) || !Array.isArray(args))
      return fail(`it calls something that is no known name at byte ${at}`);
    return globals.get(callee.name)!(args);
  };
  const plain = (value: PickleValue): PickleValue =>
    isGlobal(value) ? globals.get(value.name)!(undefined) : value;
  const append = (list: PickleValue, values: readonly PickleValue[]): void => {
    if (!Array.isArray(list)) fail(`damaged pickle at byte ${at}`);
    for (const value of values) (list as PickleValue[]).push(plain(value));
  };
  const setItems = (dict: PickleValue, items: readonly PickleValue[]): void => {
    if (!(dict instanceof Map) || items.length % 2 !== 0) fail(`damaged pickle at byte ${at}`);
    for (let i = 0; i < items.length; i += 2) {
      const key = plain(items[i]!);
      if (typeof key !== 'string' && !Number.isSafeInteger(key))
        fail(`a dict key before byte ${at} is neither text nor a whole number`);
      dict.set(key as PickleKey, plain(items[i + 1]!));
    }
  };
  const remember = (key: number): void => void memo.set(key, top());
  const recall = (key: number): void => {
    if (!memo.has(key)) fail(`damaged pickle at byte ${at}`);
    stack.push(memo.get(key)!);
  };

  for (let instructions = 0; ; instructions++) {
    if (instructions >= MAX_INSTRUCTIONS)
      fail(`more than ${MAX_INSTRUCTIONS} instructions in a pickle: no state dict of an SAE has so many`);
    const op = bytes[take(1)]!;
    switch (String.fromCharCode(op)) {
      case '\x80': // PROTO
        if (bytes[take(1)]! > 5) fail(`pickle protocol ${bytes[at - 1]}`);
        break;
      case '\x95': // FRAME
        take(8);
        break;
      case '.': // STOP
        return { value: plain(pop()), end: at };
      case '(':
        stack.push(MARK);
        break;
      case '}':
        stack.push(new Map());
        break;
      case ']':
      case ')':
        stack.push([]);
        break;
      case 't':
      case 'l': {
        stack.push(toMark().map(plain));
        break;
      }
      case 'd': {
        const dict: PickleDict = new Map();
        setItems(dict, toMark());
        stack.push(dict);
        break;
      }
      case '\x85':
        stack.push([plain(pop())]);
        break;
      case '\x86': {
        const b = plain(pop());
        stack.push([plain(pop()), b]);
        break;
      }
      case '\x87': {
        const [c, b] = [plain(pop()), plain(pop())];
        stack.push([plain(pop()), b, c]);
        break;
      }
      case 'a': {
        const value = pop();
        append(top(), [value]);
        break;
      }
      case 'e': {
        const values = toMark();
        append(top(), values);
        break;
      }
      case 's': {
        const value = pop();
        const key = pop();
        setItems(top(), [key, value]);
        break;
      }
      case 'u': {
        const items = toMark();
        setItems(top(), items);
        break;
      }
      case '0':
        pop();
        break;
      case 'N':
        stack.push(null);
        break;
      case '\x88':
        stack.push(true);
        break;
      case '\x89':
        stack.push(false);
        break;
      case 'J':
        stack.push(view.getInt32(take(4), true));
        break;
      case 'K':
        stack.push(bytes[take(1)]!);
        break;
      case 'M':
        stack.push(view.getUint16(take(2), true));
        break;
      case '\x8a':
        stack.push(long(bytes[take(1)]!));
        break;
      case 'G':
        stack.push(view.getFloat64(take(8), false));
        break;
      case 'X':
        stack.push(string(view.getUint32(take(4), true)));
        break;
      case '\x8c':
      case 'U':
        stack.push(string(bytes[take(1)]!));
        break;
      case 'q':
        remember(bytes[take(1)]!);
        break;
      case 'r':
        remember(view.getUint32(take(4), true));
        break;
      case '\x94':
        remember(memo.size);
        break;
      case 'h':
        recall(bytes[take(1)]!);
        break;
      case 'j':
        recall(view.getUint32(take(4), true));
        break;
      case 'c': {
        const module = line();
        stack.push(named(`${module}.${line()}`));
        break;
      }
      case '\x93': {
        const [name, module] = [pop(), pop()];
        if (typeof name !== 'string' || typeof module !== 'string')
          return fail(`damaged pickle at byte ${at}: a global that is no name`);
        stack.push(named(`${module}.${name}`));
        break;
      }
      case 'R': {
        const args = pop();
        stack.push(call(pop(), args));
        break;
      }
      case 'b': // BUILD: attributes of an object, such as the versions that a state dict carries. Not needed, so not set.
        pop();
        break;
      case 'Q':
        stack.push(persistent(plain(pop())));
        break;
      default:
        fail(
          `pickle instruction 0x${op.toString(16).padStart(2, '0')} at byte ${at - 1} is not one that saved weights need`,
        );
    }
  }
}
