/** openapi.json (3.1, whose schemas are JSON Schema) from the operations. */
import { z } from 'zod';
import { errorSchema } from '../../shared/api.ts';
import {
  chatRequestSchema,
  chatResponseSchema,
  completionRequestSchema,
  completionResponseSchema,
  modelsSchema,
} from '../../shared/openai.ts';
import { operations } from '../operations/all.ts';
import type { Operation } from '../operations/operation.ts';

type Schema = Record<string, unknown>;
type Json = Record<string, unknown>;

/** Without `$schema`, which a part of a document does not have. */
function schemaOf(
  schema: z.ZodType,
  io: 'input' | 'output',
): Schema & { properties?: Record<string, Schema>; required?: string[] } {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest as Schema;
}

const json = (schema: Schema): Json => ({ 'application/json': { schema } });

const responses = (output: z.ZodType, stream = false): Json => ({
  200: {
    description: stream ? 'The answer; with stream, events whose data are its pieces.' : 'Done.',
    content: {
      ...json(schemaOf(output, 'output')),
      ...(stream ? { 'text/event-stream': { schema: { type: 'string' } } } : {}),
    },
  },
  default: { description: 'An error.', content: json({ $ref: '#/components/schemas/Error' }) },
});

function describe({ name, method, path, summary, input, output }: Operation): Json {
  const { properties = {}, required = [], ...rest } = schemaOf(input, 'input');
  const inPath = new Set([...path.matchAll(/\{(\w+)\}/g)].map(([, field]) => field!));
  const others = Object.keys(properties).filter((field) => !inPath.has(field));
  const hasBody = method === 'post' || method === 'put';
  const parameter = (field: string, where: 'path' | 'query'): Json => ({
    name: field,
    in: where,
    required: where === 'path' || required.includes(field),
    schema: properties[field],
  });
  const body = {
    ...rest,
    properties: Object.fromEntries(others.map((field) => [field, properties[field]])),
    required: required.filter((field) => !inPath.has(field)),
  };
  return {
    operationId: name,
    summary,
    parameters: [
      ...[...inPath].map((field) => parameter(field, 'path')),
      ...(hasBody ? [] : others.map((field) => parameter(field, 'query'))),
    ],
    ...(hasBody ? { requestBody: { required: true, content: json(body) } } : {}),
    responses: responses(output),
  };
}

const openai = (
  operationId: string,
  summary: string,
  input: z.ZodType | undefined,
  output: z.ZodType,
): Json => ({
  operationId,
  summary,
  ...(input ? { requestBody: { required: true, content: json(schemaOf(input, 'input')) } } : {}),
  responses: responses(output, input !== undefined),
});

/** @param version of the package */
export function openApi(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const one of operations) paths[one.path] = { ...paths[one.path], [one.method]: describe(one) };
  paths['/api/runs/{run}/events'] = {
    get: {
      operationId: 'run_events',
      summary:
        'Lines of metrics.jsonl as they are written, then as events; Last-Event-ID goes on after a step.',
      parameters: [{ name: 'run', in: 'path', required: true, schema: { type: 'string' } }],
      responses: {
        200: {
          description: 'Events metrics and status.',
          content: { 'text/event-stream': { schema: { type: 'string' } } },
        },
      },
    },
  };
  paths['/v1/models'] = { get: openai('list_models', 'The models of the runs.', undefined, modelsSchema) };
  paths['/v1/chat/completions'] = {
    post: openai(
      'chat_completion',
      "OpenAI's chat completions, with features.",
      chatRequestSchema,
      chatResponseSchema,
    ),
  };
  paths['/v1/completions'] = {
    post: openai(
      'completion',
      "OpenAI's completions, with features.",
      completionRequestSchema,
      completionResponseSchema,
    ),
  };
  return {
    openapi: '3.1.0',
    info: {
      title: 'saekit',
      version,
      description:
        'Runs of sparse autoencoders, their features, steering. Every page of the app has its data at PAGE.json, which is /api/PAGE.',
    },
    paths,
    components: { schemas: { Error: schemaOf(errorSchema, 'output') } },
  };
}
