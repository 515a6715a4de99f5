/** From an error to a status and OpenAI's error object. */
import type { z } from 'zod';
import { UsageError } from '../shared/errors.ts';
import { didYouMean } from '../shared/nearest.ts';

type Details = {
  readonly status: 400 | 401 | 403 | 404 | 409 | 413 | 415 | 499 | 500 | 503;
  readonly param?: string | undefined;
  readonly code?: string;
  /** Seconds. */
  readonly retryAfter?: number;
};

/** An answer that is not the one asked for; the message says what was found and expected. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly details: Details;
  constructor(message: string, details: Details) {
    super(message);
    this.details = details;
  }
}

export const badRequest = (message: string, param?: string, code?: string): ApiError =>
  new ApiError(message, { status: 400, param, ...(code === undefined ? {} : { code }) });

/** @param known what there is, for "did you mean" */
export const unknown = (what: string, name: string, param: string, known: readonly string[]): ApiError => {
  const near = didYouMean(name, known);
  const some =
    near === '' && known.length > 0
      ? ` There is ${known.slice(0, 5).join(', ')}${known.length > 5 ? ', …' : ''}.`
      : near;
  return new ApiError(`There is no ${what} ${JSON.stringify(name.slice(0, 100))}.${some}`, {
    status: 404,
    param,
    code: `${what.replaceAll(' ', '_')}_not_found`,
  });
};

/** Of alternatives the one that was meant: whose failure lies deepest; else what all of them expect. */
function meant(issue: z.core.$ZodIssue): { path: readonly PropertyKey[]; expected: string; key?: string } {
  const { path, message } = issue;
  if (issue.code === 'unrecognized_keys')
    return { path: [...path, issue.keys[0]!], expected: '', key: issue.keys[0]! };
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return { path, expected: plain(message) };
  const first = issue.errors.map(([one]) => meant(one!));
  const deepest = first.reduce((a, b) => (b.path.length > a.path.length ? b : a));
  if (deepest.path.length > 0) return { ...deepest, path: [...path, ...deepest.path] };
  const all = new Set(first.map(({ expected }) => expected.replace(/^expected |, received .*$/g, '')));
  return { path, expected: `expected ${[...all].join(' or ')}` };
}

const plain = (message: string): string =>
  message
    .replace(/^(Invalid (input|option|string)|Too (small|big)): /, '')
    .replace(/^expected \w+ to be /, 'expected ')
    .replace(/, received .*$/, '');

/** The first thing that is wrong with an input, naming its field. */
export function invalid(error: z.ZodError, input: unknown): ApiError {
  const { path, expected, key } = meant(error.issues[0]!);
  const param = path
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i > 0 ? '.' : ''}${String(part)}`))
    .join('')
    .slice(0, 200);
  if (key !== undefined) return badRequest(`Unknown field ${param}.`, param, 'unknown_field');
  let found = input;
  for (const part of path) found = (found as Record<PropertyKey, unknown> | undefined)?.[part];
  const json = typeof found === 'number' ? String(found) : (JSON.stringify(found) ?? 'nothing');
  const shown = json.length > 80 ? `${json.slice(0, 80)}…` : json;
  return badRequest(
    `${param || 'the request'}: found ${shown}, ${expected}.`,
    param || undefined,
    'invalid_value',
  );
}

export type Answer = {
  readonly status: Details['status'];
  readonly body: { error: { message: string; type: string; param: string | null; code: string | null } };
  readonly retryAfter?: number;
};

/** @param error whatever was thrown; what is not meant for the caller becomes a plain 500 */
export function answerTo(error: unknown): Answer {
  const { status, param, code, retryAfter }: Details =
    error instanceof ApiError
      ? error.details
      : error instanceof UsageError || error instanceof RangeError
        ? { status: 400 }
        : (error as NodeJS.ErrnoException)?.code === 'ECONNRESET'
          ? { status: 400, code: 'broken_off' }
          : (error as Error)?.name === 'AbortError'
            ? { status: 499, code: 'cancelled' }
            : { status: 500, code: 'internal_error' };
  const message = error instanceof Error ? error.message : String(error);
  return {
    status,
    body: {
      error: {
        message,
        type: status >= 500 ? 'server_error' : 'invalid_request_error',
        param: param ?? null,
        code: code ?? null,
      },
    },
    ...(retryAfter === undefined ? {} : { retryAfter }),
  };
}
