/** One thing that the server can do, from which its HTTP route, its part of openapi.json and its MCP tool are made. */
import type { z } from 'zod';
import type { Lab } from '../lab.ts';

export type Operation<I extends z.ZodObject = z.ZodObject, O extends z.ZodObject = z.ZodObject> = {
  /** Of the MCP tool, and operationId. */
  readonly name: string;
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** `{run}` is the field `run` of the input; the other fields are the query of a GET or DELETE, else the body. */
  readonly path: string;
  readonly summary: string;
  readonly input: I;
  readonly output: O;
  run(lab: Lab, input: z.output<I>, signal: AbortSignal): Promise<z.output<O>>;
};

/** Lets the type of `run` follow from the schemas. */
export const operation = <I extends z.ZodObject, O extends z.ZodObject>(one: Operation<I, O>): Operation =>
  one as unknown as Operation;
