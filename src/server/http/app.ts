/** All routes of the server. */
import { createMcpHandler } from '@modelcontextprotocol/server';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { Closing } from '../closing.ts';
import { ApiError, answerTo } from '../errors.ts';
import type { Lab } from '../lab.ts';
import { createMcp } from '../mcp.ts';
import { addOpenAiRoutes } from '../openai/routes.ts';
import { operations } from '../operations/all.ts';
import { addEventRoutes } from './events.ts';
import { check, fromText, readBody } from './input.ts';
import { openApi } from './openapi.ts';
import { addPages } from './pages.ts';
import { guard } from './security.ts';

export type AppParts = {
  readonly lab: Lab;
  readonly version: string;
  /** Asked for at addresses that are not this machine alone. */
  readonly token: string | undefined;
  /** Where the built app lies, if it does. */
  readonly web: string;
  readonly closing: Closing;
  /** Gets errors that are nobody's request. */
  readonly onError: (error: unknown) => void;
};

export function createApp({ lab, version, token, web, closing, onError }: AppParts): Hono {
  const app = new Hono();

  app.onError((error, c) => {
    const { status, body, retryAfter } = answerTo(error);
    if (status === 500) onError(error);
    if (retryAfter !== undefined) c.header('Retry-After', String(retryAfter));
    return c.json(body, status as 400);
  });
  app.use(guard(token));
  app.use(
    bodyLimit({
      maxSize: lab.config.maxBodyBytes,
      onError: () => {
        throw new ApiError(`The body is larger than ${lab.config.maxBodyBytes} bytes.`, {
          status: 413,
          code: 'body_too_large',
        });
      },
    }),
  );

  for (const { method, path, input, run } of operations) {
    const handle = async (c: Context): Promise<Response> => {
      const inBody = method === 'post' || method === 'put';
      const texts = { ...(inBody ? {} : c.req.query()), ...c.req.param() };
      const given = { ...(inBody ? await readBody(c) : {}), ...fromText(input, texts) };
      const checked = check(input, given);
      const output = await closing.run([c.req.raw.signal], (signal) => run(lab, checked, signal));
      return c.json(output);
    };
    app.on(method.toUpperCase(), path.replace(/\{(\w+)\}/g, ':$1'), handle);
  }
  addEventRoutes(app, lab, closing);
  addOpenAiRoutes(app, { lab, closing, onError });

  const description = openApi(version);
  app.get('/openapi.json', (c) => c.json(description));

  const mcp = createMcpHandler(() => createMcp(lab, version, closing), {
    maxRequestBodySize: lab.config.maxBodyBytes,
  });
  app.all('/mcp', (c) => mcp.fetch(c.req.raw));

  addPages(app, lab, web);
  app.all('*', (c) => {
    throw new ApiError(`There is nothing for ${c.req.method} at ${c.req.path.slice(0, 200)}.`, {
      status: 404,
      code: 'not_found',
    });
  });
  return app;
}
