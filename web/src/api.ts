/** The server's routes (src/server/operations/), with the types of its schemas. */
import type {
  Feature,
  FeatureList,
  FeatureOnText,
  FeaturePage,
  RunDetail,
  RunSummary,
  Steered,
  SteerRequest,
  TextActivations,
} from '../../src/shared/api.ts';

export type * from '../../src/shared/api.ts';

/** What the server answered instead; `message` is written for people. */
export class Refused extends Error {
  readonly status: number;
  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

async function ask<T>(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, {
    method,
    ...(signal ? { signal } : {}),
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
  }).catch((error: Error) => {
    if (error.name === 'AbortError') throw error;
    throw new Refused('The server does not answer. Start it again: npx saekit serve', 0);
  });
  const answer = (await response.json().catch(() => ({}))) as T & { error?: { message?: string } };
  if (!response.ok)
    throw new Refused(
      answer.error?.message ?? `The server answered with status ${response.status}.`,
      response.status,
    );
  return answer;
}

const part = encodeURIComponent;
type Noted = { label?: string; note?: string };

export const api = {
  runs: (signal?: AbortSignal) => ask<{ runs: RunSummary[] }>('GET', '/api/runs', undefined, signal),
  run: (run: string, signal?: AbortSignal) =>
    ask<RunDetail>('GET', `/api/runs/${part(run)}`, undefined, signal),
  search: (
    run: string,
    query: string,
    { offset = 0, limit, passages = true }: { offset?: number; limit: number; passages?: boolean },
    signal?: AbortSignal,
  ) =>
    ask<FeaturePage>(
      'GET',
      `/api/features/${part(run)}?${new URLSearchParams({ query, offset: String(offset), limit: String(limit), ...(passages ? {} : { passages: 'false' }) })}`,
      undefined,
      signal,
    ),
  feature: (run: string, latent: number, signal?: AbortSignal) =>
    ask<Feature>('GET', `/api/feature/${part(run)}/${latent}`, undefined, signal),
  readText: (run: string, text: string, signal?: AbortSignal) =>
    ask<TextActivations>('POST', '/api/activation/all', { run, text }, signal),
  readOne: (run: string, latent: number, text: string, signal?: AbortSignal) =>
    ask<FeatureOnText>('POST', '/api/activation/new', { run, latent, text }, signal),
  steer: (input: SteerRequest, signal?: AbortSignal) => ask<Steered>('POST', '/api/steer', input, signal),
  label: (run: string, latent: number, given: Noted & { was: Noted }) =>
    ask<{ label?: string; note?: string }>('PUT', `/api/label/${part(run)}/${latent}`, given),
  lists: (signal?: AbortSignal) => ask<{ lists: FeatureList[] }>('GET', '/api/lists', undefined, signal),
  /** What others have put on the list stays. */
  addToList: (name: string, given: { description?: string; features: FeatureList['features'] }) =>
    ask<FeatureList>('POST', `/api/lists/${part(name)}`, given),
  takeOffList: (name: string, { run, latent, mode }: FeatureList['features'][number]) =>
    ask<FeatureList>(
      'DELETE',
      `/api/lists/${part(name)}/${part(run)}/${latent}${mode === undefined ? '' : `?mode=${part(mode)}`}`,
      undefined,
    ),
  deleteList: (name: string) =>
    ask<{ deleted: boolean; list?: FeatureList }>('DELETE', `/api/lists/${part(name)}`, undefined),
};
