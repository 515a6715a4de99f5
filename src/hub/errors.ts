/** What the hub, the network and the proxy say, as a person needs to hear it. Nothing here ever holds the token. */
import { nearestNames } from '../shared/nearest.ts';
import type { Hub } from './connect.ts';
import { repoPath } from './settings.ts';
import type { HubId } from './types.ts';

/** The hub answered, and the answer is no. */
export class HubError extends Error {
  override readonly name: string = 'HubError';
}

/** The hub did not answer; what is cached may do. */
export class HubUnreachable extends HubError {
  override readonly name = 'HubUnreachable';
  /** Worth another try. */
  readonly passing: boolean;
  constructor(message: string, passing = false) {
    super(message);
    this.passing = passing;
  }
}

/** The repository is there, this revision of it is not. */
export class HubNoRevision extends HubError {}

/** There is no such repository, as far as this token can see. */
export class HubMissing extends HubError {
  override readonly name = 'HubMissing';
}

/** The proxy that requests to this address go through, as HTTPS_PROXY and the like say, without its password. */
export function proxyOf(
  url: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  const { protocol, hostname, port } = new URL(url);
  const [name, proxy] =
    protocol === 'https:'
      ? ['HTTPS_PROXY', env.https_proxy || env.HTTPS_PROXY || env.http_proxy || env.HTTP_PROXY]
      : ['HTTP_PROXY', env.http_proxy || env.HTTP_PROXY];
  if (!proxy) return undefined;
  const without = (env.no_proxy || env.NO_PROXY || '').split(/[,\s]+/).filter((item) => item !== '');
  const direct = without.some((item) => {
    const [host = '', only] = item.replace(/^\*?\.?(?=.)/, '').split(':');
    if (item === '*') return true;
    return (hostname === host || hostname.endsWith(`.${host}`)) && (only === undefined || only === port);
  });
  if (direct) return undefined;
  try {
    return `${new URL(proxy).host} (${name})`;
  } catch {
    throw new HubError(`${name} is not an address. Expected something like http://proxy.example:3128.`);
  }
}

const PASSING = new Set([
  'ECONNRESET',
  'EPIPE',
  'UND_ERR_SOCKET',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);

/** Why fetch failed, from the causes it hides. */
export function unreachable(error: unknown, url: string): HubUnreachable {
  const { host } = new URL(url);
  let inner = error as { message?: string; code?: string; cause?: unknown; errors?: unknown[] };
  while (inner.cause instanceof Error || inner.errors?.[0] instanceof Error)
    inner = (inner.cause ?? inner.errors?.[0]) as typeof inner;
  const { code = '', message = String(error) } = inner;
  const proxy = proxyOf(url);
  const refused = /Proxy response \((\d+)\)/.exec(message)?.[1];
  if (proxy !== undefined)
    return new HubUnreachable(
      refused
        ? `The proxy ${proxy} refused the way to ${host} (HTTP ${refused}${refused === '407' ? ': it wants a user and a password, http://user:password@…' : ''}). Correct the variable, or add ${host} to NO_PROXY.`
        : `${host} was not reached through the proxy ${proxy}: ${code || message}. Correct the variable, or add ${host} to NO_PROXY.`,
    );
  return new HubUnreachable(
    `${host} was not reached: ${code || message}. Check the connection; behind a proxy set HTTPS_PROXY.`,
    PASSING.has(code),
  );
}

/** The answer when it is one; else the error that it means. */
export async function answer(hub: Hub, id: HubId, response: Response, what: string): Promise<Response> {
  if (response.ok) return response;
  const code = response.headers.get('x-error-code') ?? '';
  const said = response.headers.get('x-error-message') ?? '';
  await response.body?.cancel();
  throw await describe(hub, id, { status: response.status, code, said, what });
}

type Refusal = {
  readonly status: number;
  readonly code: string;
  readonly said: string;
  readonly what: string;
};

async function describe(hub: Hub, id: HubId, { status, code, said, what }: Refusal): Promise<HubError> {
  const { endpoint, token } = hub;
  const { name, revision, type } = id;
  const page = `${endpoint}/${repoPath(id)}`;
  const withToken = token
    ? 'A token was sent; it is not allowed to read this.'
    : `Then make a token that may read at ${endpoint}/settings/tokens and set it as HF_TOKEN.`;
  if (code === 'GatedRepo' || (status === 403 && code === ''))
    return new HubError(`${name} is gated. Accept its terms at ${page} while logged in. ${withToken}`);
  if (code === 'RevisionNotFound') {
    const names = await revisions(hub, id);
    return new HubNoRevision(`${name} has no revision "${revision}".${offer(nearestNames(revision, names))}`);
  }
  if (code === 'EntryNotFound') return new HubError(`${name} has no file ${what}.`);
  if (status === 401 || status === 404) {
    const near = await similar(hub, id).catch(() => []);
    const hidden = token ? '' : ' If it is private, set HF_TOKEN.';
    return new HubMissing(`${endpoint} has no ${type} ${name}.${offer(near)}${hidden}`);
  }
  const reason = said ? `: ${redact(said, token)}` : '';
  const message = `${new URL(endpoint).host} answered ${status} to ${what} of ${name}${reason}.`;
  return refusal(message, status);
}

/** As `answer`, of requests that change something on the hub or its storage. */
export async function answerToPush(hub: Hub, id: HubId, response: Response): Promise<Response> {
  if (response.ok) return response;
  const { status, headers } = response;
  const body = await response.text().catch(() => '');
  const said = redact(headers.get('x-error-message') ?? errorIn(body), hub.token).replace(/\.$/, '');
  const reason = said ? `: ${said}` : '';
  const tokens = `${hub.endpoint}/settings/tokens`;
  const { host } = new URL(response.url || hub.endpoint);
  if (host !== new URL(hub.endpoint).host)
    throw refusal(`The storage ${host} answered ${status}${reason}.`, status);
  if (status === 401)
    throw new HubError(
      `${host} does not accept the access token${reason}. It may be cut off, revoked or too old: make one that may write at ${tokens} and set it as HF_TOKEN.`,
    );
  if (status === 403)
    throw new HubError(
      `The access token may not write to ${id.name}${reason}. Give it that right at ${tokens}, ask ${id.name.split('/')[0]} for it, or push to a name of your own.`,
    );
  if (status === 404)
    throw new HubMissing(`${hub.endpoint} has no model ${id.name} that this access token may see${reason}.`);
  if (status === 409 || status === 412)
    throw new HubError(`${id.name} was changed by somebody else at this moment${reason}. Push again.`);
  throw refusal(`${host} answered ${status} for ${id.name}${reason}.`, status);
}

const refusal = (message: string, status: number): HubError =>
  isPassing(status) ? new HubUnreachable(`${message} Try again later.`) : new HubError(message);

function errorIn(body: string): string {
  try {
    const { error, message } = JSON.parse(body) as Record<string, unknown>;
    return [error, message].find((text) => typeof text === 'string') ?? '';
  } catch {
    return '';
  }
}

/** What a server says when it will answer better in a moment. */
export const isPassing = (status: number): boolean => status === 429 || status >= 500;

/** A server could send the token back to us; it must not reach a log. */
const redact = (text: string, token: string | undefined): string =>
  token === undefined ? text : text.replaceAll(token, '…');

const offer = (names: readonly string[]): string =>
  names.length === 0 ? '' : ` Did you mean ${names.join(' or ')}?`;

async function json(hub: Hub, path: string): Promise<unknown> {
  const response = await hub.fetch(`${hub.endpoint}/api/${path}`);
  return response.ok ? await response.json() : [];
}

/** Ids of the hub like this one: found by the whole name, else by its first word, else by the organisation. */
async function similar(hub: Hub, { type, name }: HubId): Promise<string[]> {
  const [org = '', short = ''] = name.split('/');
  for (const query of [
    `search=${encodeURIComponent(short)}`,
    `search=${encodeURIComponent(short.split(/[-_.]/)[0] ?? '')}`,
    `author=${encodeURIComponent(org)}`,
  ]) {
    const found = (await json(hub, `${type}s?${query}&limit=50`)) as { id?: unknown }[];
    const ids = found.map(({ id }) => id).filter((id): id is string => typeof id === 'string');
    const near = nearestNames(name, ids);
    if (near.length > 0) return near;
  }
  return [];
}

async function revisions(hub: Hub, { type, name }: HubId): Promise<string[]> {
  const refs = (await json(hub, `${type}s/${name}/refs`).catch(() => ({}))) as Record<
    string,
    { name?: string }[]
  >;
  return [...(refs.branches ?? []), ...(refs.tags ?? [])].flatMap(({ name: ref }) => ref ?? []);
}
