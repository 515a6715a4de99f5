/** What came in -> the input of an operation, checked; a failure names the field. */
import type { Context } from 'hono';
import { z } from 'zod';
import { badRequest, invalid } from '../errors.ts';

type Types = Readonly<Record<string, { readonly type?: string }>>;
const typesBySchema = new WeakMap<z.ZodObject, Types>();

/** The type of each field, worked out once. */
function typesOf(schema: z.ZodObject): Types {
  let types = typesBySchema.get(schema);
  if (!types) {
    types = (z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }).properties ?? {}) as Types;
    typesBySchema.set(schema, types);
  }
  return types;
}

/** Text of a URL as the field's type has it; what is no such text is left to the check. */
export function fromText(
  schema: z.ZodObject,
  texts: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const properties = typesOf(schema);
  return Object.fromEntries(
    Object.entries(texts).map(([name, text]) => {
      const type = properties[name]?.type;
      if ((type === 'integer' || type === 'number') && /^-?\d+(\.\d+)?(e[-+]?\d+)?$/i.test(text))
        return [name, Number(text)];
      if (type === 'boolean' && (text === 'true' || text === 'false')) return [name, text === 'true'];
      return [name, text];
    }),
  );
}

export async function readBody(c: Context): Promise<Record<string, unknown>> {
  const text = await c.req.text();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badRequest(`The body is no JSON: ${(error as Error).message}.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badRequest(
      `The body is ${Array.isArray(value) ? 'a list' : JSON.stringify(value).slice(0, 80)}, expected one JSON object.`,
    );
  return value as Record<string, unknown>;
}

export function check<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw invalid(result.error, input);
}
