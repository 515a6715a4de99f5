/**
 * Requests to the hub. The token goes to the hub's own origin and nowhere else: redirects (to a content network) are followed here,
 * one by one. What fails for a moment (429, 5xx, a broken connection) is tried again; HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { HubError, HubUnreachable, isPassing, proxyOf, unreachable } from './errors.ts';
import { type HubSettings, hubSettings } from './settings.ts';
import type { HubAccess } from './types.ts';

const MAX_REDIRECTS = 6;
/** Tries after the first. The waits between them double from RETRY_MS: 0.4, 0.8, 1.6 s. */
export const RETRIES = 3;
const RETRY_MS = 400;

export type Hub = HubSettings &
  HubAccess & {
    /** Follows redirects and tries again. The answer may be an error of the server's. */
    readonly fetch: typeof fetch;
    /** Waits before try number `attempt` (1, 2, …). */
    pause(attempt: number): Promise<void>;
  };

let viaProxy: Promise<typeof fetch> | undefined;

/** Node's own fetch knows no proxies before version 24; undici's, which it is made of, does. */
function plainFetch(url: string): Promise<typeof fetch> {
  if (proxyOf(url) === undefined) return Promise.resolve(fetch);
  viaProxy ??= import('undici').then(({ EnvHttpProxyAgent, fetch: proxied }) => {
    const dispatcher = new EnvHttpProxyAgent();
    return ((input: string, init?: object) => proxied(input, { ...init, dispatcher })) as typeof fetch;
  });
  return viaProxy;
}

export function connectHub({ signal, onDownload, onNote }: HubAccess = {}): Hub {
  const settings = hubSettings();
  const { token, endpoint } = settings;
  const origin = new URL(endpoint).origin;
  const pause = async (attempt: number): Promise<void> => {
    await sleep(RETRY_MS * 2 ** (attempt - 1), undefined, signal ? { signal } : {});
  };

  async function follow(start: string, init: RequestInit): Promise<Response> {
    let url = start;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const headers = new Headers(init.headers);
      headers.delete('authorization');
      if (token !== undefined && new URL(url).origin === origin)
        headers.set('authorization', `Bearer ${token}`);
      headers.set('user-agent', 'saekit');
      const response = await (await plainFetch(url))(url, {
        ...init,
        headers,
        redirect: 'manual',
        ...(init.signal ? {} : signal ? { signal } : {}),
      });
      const location = response.headers.get('location');
      if (response.status < 300 || response.status > 399 || location === null) return response;
      await response.body?.cancel();
      url = new URL(location, url).href;
    }
    throw new HubError(`${new URL(start).host} redirects without end.`);
  }

  async function hubFetch(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    const url = String(input instanceof Request ? input.url : input);
    if (settings.offline)
      throw new HubUnreachable('HF_HUB_OFFLINE is set, so the hub is not asked. Unset it to go online.');
    // A commit must not be made twice; a part of a file may be put where it belongs again, unless its body can be read only once.
    const repeatable =
      ['GET', 'HEAD', 'PUT'].includes(init.method ?? 'GET') && !(init.body instanceof ReadableStream);
    const retries = repeatable ? RETRIES : 0;
    for (let attempt = 1; ; attempt++) {
      let failure: Error;
      try {
        const response = await follow(url, init);
        if (!isPassing(response.status) || attempt > retries) return response;
        await response.body?.cancel();
        failure = new Error();
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof HubError) throw error;
        failure = unreachable(error, url);
        if (!(failure as HubUnreachable).passing || attempt > retries) throw failure;
      }
      await pause(attempt);
    }
  }

  return {
    ...settings,
    ...(signal ? { signal } : {}),
    ...(onDownload ? { onDownload } : {}),
    ...(onNote ? { onNote } : {}),
    fetch: hubFetch as typeof fetch,
    pause,
  };
}
