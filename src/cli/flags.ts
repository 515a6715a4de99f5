/** Command-line flags, config file and help text, all derived from one zod schema per command. */
import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { UsageError } from '../shared/errors.ts';
import { didYouMean } from '../shared/nearest.ts';

type Field = {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly items?: Field;
};

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The fields of a schema as JSON Schema sees them, without `$schema`. */
function fieldsOf(schema: z.ZodObject): [string, Field][] {
  const { properties = {} } = z.toJSONSchema(schema, { io: 'input' }) as {
    properties?: Record<string, Field>;
  };
  return Object.entries(properties).filter(([name]) => name !== '$schema');
}

/** 2000000, 2e6, 2_000_000, 2M and 500k are all numbers. */
export function parseNumber(text: string): number {
  const match = /^(-?[\d_]*\.?\d+(?:e[-+]?\d+)?)([kMG]?)$/.exec(text.trim());
  const value = match ? Number((match[1] as string).replaceAll('_', '')) : Number.NaN;
  if (!Number.isFinite(value)) throw new InvalidArgumentError('Expected a number such as 4096, 2e6 or 2M.');
  const scaled = value * ({ k: 1e3, M: 1e6, G: 1e9 }[match?.[2] ?? ''] ?? 1);
  // 0.3M is 300000.00000000006 in floating point.
  return match?.[2] ? Math.round(scaled) : scaled;
}

/** How many of something. */
export function parseCount(text: string): number {
  const count = parseNumber(text);
  if (!Number.isInteger(count) || count < 0)
    throw new InvalidArgumentError('Expected a whole number from 0 on.');
  return count;
}

/** One number of a list, or several with commas between them: `12 99`, `12,99` and `12, 99` are the same. */
const parseNumbers = (text: string): number[] => text.replace(/,$/, '').split(',').map(parseNumber);

const LISTS_OF_PATHS = new Set(['data', 'heldout']);

/** Adds a flag per field. Defaults are shown, not set: a flag that is not given must not override the config file. */
export function addFlags(command: Command, schema: z.ZodObject): void {
  for (const [name, field] of fieldsOf(schema)) {
    const flag = kebab(name);
    const shown =
      field.default === undefined || field.type === 'boolean' ? '' : ` (default: ${field.default})`;
    const description = `${field.description ?? ''}${shown}`;
    if (field.type === 'boolean') {
      // A switch that is on by default gets only its negative, one that is off only its positive.
      command.addOption(
        field.default === true
          ? new Option(`--no-${flag}`, `Not: ${description}`)
          : new Option(`--${flag}`, description),
      );
    } else if (field.items?.type === 'integer' || field.items?.type === 'number')
      command.addOption(
        new Option(`--${flag} <n...>`, description).argParser((text, before: number[] | undefined) => [
          ...(before ?? []),
          ...parseNumbers(text),
        ]),
      );
    else if (field.type === 'array')
      command.addOption(
        new Option(`--${flag} <${LISTS_OF_PATHS.has(name) ? 'path' : 'name'}...>`, description),
      );
    else if (field.enum) command.addOption(new Option(`--${flag} <name>`, description).choices(field.enum));
    else if (field.type === 'integer' || field.type === 'number')
      command.addOption(new Option(`--${flag} <n>`, description).argParser(parseNumber));
    else command.addOption(new Option(`--${flag} <text>`, description));
  }
}

/** The fields a person gave as flags, by field name. Switches that were not given are left out. */
export function givenFlags(command: Command, schema: z.ZodObject): Record<string, unknown> {
  const values = command.opts();
  return Object.fromEntries(
    fieldsOf(schema)
      .filter(([name]) => command.getOptionValueSource(name) === 'cli')
      .map(([name]) => [name, values[name]]),
  );
}

/** One value of a list field as the schema wants it; what is no number, or neither true nor false, stays text for the schema to refuse. */
export function parseItem(schema: z.ZodObject, name: string, text: string): unknown {
  const type = fieldsOf(schema).find(([field]) => field === name)?.[1].items?.type;
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (type !== 'integer' && type !== 'number') return text;
  try {
    return parseNumber(text);
  } catch {
    return text;
  }
}

/** Reads a JSON config file of a command, by its name. */
export async function readConfigFile(path: string, command: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`Cannot read the config file ${path}: ${(error as Error).message}. Check --config.`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(
      `${path} is not JSON: ${(error as Error).message}. See docs/${command}-config.schema.json.`,
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(
      `${path} holds ${Array.isArray(value) ? 'a list' : typeof value}, expected one JSON object.`,
    );
  return value as Record<string, unknown>;
}

/** Checks merged input against the schema; the message names each field as flag, with what was found and expected. */
export function parseConfig<T extends z.ZodObject>(schema: T, input: Record<string, unknown>): z.output<T> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const names = fieldsOf(schema).map(([name]) => name);
  const lines = result.error.issues.map((issue) => {
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => `Unknown field "${key}".${didYouMean(key, names)}`).join('\n');
    const name = String(issue.path[0]);
    const found = input[name];
    if (found === undefined) {
      const description = fieldsOf(schema).find(([field]) => field === name)?.[1].description ?? '';
      return `--${kebab(name)} is missing. ${description}`;
    }
    const expected = issue.message
      .replace(/^(Invalid (input|option)|Too (small|big)): /, '')
      .replace(/^expected \w+ to be /, 'expected ');
    return `--${kebab(name)}: found ${JSON.stringify(found)}, ${expected}.`;
  });
  throw new UsageError(lines.join('\n'));
}
