/**
 * Who may ask.
 *
 *     on this machine alone    Host must be a name of it: a page elsewhere whose name is made to mean this address (DNS rebinding) has another
 *     on any other address     a token: Authorization: Bearer TOKEN, or the cookie that /?token=TOKEN leaves
 *     everywhere               requests that change or compute something must not come from another site (Origin, Sec-Fetch-Site), and are JSON,
 *                              which a page of another site cannot send without asking first; the answer to that question is never yes
 */
import { timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import { ApiError } from '../errors.ts';

const COOKIE = 'saekit_token';
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);

const same = (given: string, token: string): boolean => {
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
};

function checkToken(c: Context, token: string): Response | undefined {
  const bearer = /^Bearer (.+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
  if (same(bearer ?? getCookie(c, COOKIE) ?? '', token)) return undefined;
  const url = new URL(c.req.url);
  if (c.req.method === 'GET' && same(url.searchParams.get('token') ?? '', token)) {
    setCookie(c, COOKIE, token, { httpOnly: true, sameSite: 'Strict', path: '/' });
    url.searchParams.delete('token');
    return c.redirect(`${url.pathname}${url.search}`, 303);
  }
  throw new ApiError(
    'A token is needed: Authorization: Bearer TOKEN. saekit serve printed it when it started.',
    {
      status: 401,
      code: 'invalid_api_key',
    },
  );
}

const forbidden = (message: string): ApiError => new ApiError(message, { status: 403, code: 'forbidden' });

/** @param token undefined where the server listens on this machine alone */
export function guard(token: string | undefined): MiddlewareHandler {
  return async (c, next) => {
    const host = c.req.header('host') ?? '';
    const { method } = c.req;
    if (token === undefined && !LOOPBACK.test(host))
      throw forbidden(
        `This server is for this machine alone: found Host ${host.slice(0, 100)}, expected localhost.`,
      );
    const origin = c.req.header('origin');
    if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`)
      throw forbidden(`Found Origin ${origin.slice(0, 100)}: pages of other sites cannot use this server.`);
    const writes = method !== 'GET' && method !== 'HEAD';
    const site = c.req.header('sec-fetch-site');
    if (writes && site !== undefined && site !== 'same-origin' && site !== 'none')
      throw forbidden('Pages of other sites cannot use this server.');
    if (token !== undefined) {
      const redirect = checkToken(c, token);
      if (redirect) return redirect;
    }
    if (
      (method === 'POST' || method === 'PUT') &&
      !/^application\/json\b/i.test(c.req.header('content-type') ?? '')
    )
      throw new ApiError(
        `Found Content-Type ${c.req.header('content-type') ?? 'none'}, expected application/json.`,
        { status: 415 },
      );
    await next();
    c.header('X-Content-Type-Options', 'nosniff');
    c.header('Referrer-Policy', 'no-referrer');
    c.header('Cross-Origin-Resource-Policy', 'same-origin');
  };
}
