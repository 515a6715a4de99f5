import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { checkLogUrl, urlSink } from './url.ts';

type Seen = { readonly body: string; readonly headers: IncomingMessage['headers'] };
let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

/** A server that answers the n-th request, from 0, with what `answer` does. */
async function serve(
  answer: (n: number, response: ServerResponse) => void,
): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      seen.push({ body, headers: request.headers });
      answer(seen.length - 1, response);
    });
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/log`, seen };
}

const ok = (response: ServerResponse): void => void response.writeHead(204).end();
const steps = (seen: readonly Seen[]): number[] =>
  seen.map(({ body }) => (JSON.parse(body) as { step: number }).step);
const fast = { run: 'r', firstRetryMs: 5, longestRetryMs: 20, timeoutMs: 1000, closeMs: 3000 };

describe('metrics to a URL', () => {
  it('posts every line as it is, in order, with the name of the run and the token', async () => {
    const { url, seen } = await serve((_, response) => ok(response));
    const sink = urlSink(url, { ...fast, run: 'runs/größe', token: 'secret' });
    for (let step = 1; step <= 5; step++) await sink.append({ step, loss: step / 4 });
    await sink.close();
    expect(seen.map(({ body }) => body)).toEqual(
      [1, 2, 3, 4, 5].map((step) => `{"step":${step},"loss":${step / 4}}`),
    );
    expect(seen[0]!.headers).toMatchObject({
      authorization: 'Bearer secret',
      'content-type': 'application/json',
      'saekit-run': 'runs%2Fgr%C3%B6%C3%9Fe',
    });
    expect(sink.report()).toEqual({ sent: 5, dropped: 0, reason: undefined });
  });

  it('tries again after errors and time-outs, and nothing is lost or doubled in order', async () => {
    const { url, seen } = await serve((n, response) => {
      if (n === 0) response.writeHead(503).end();
      else if (n === 1) response.writeHead(429).end();
      else if (n === 2) response.destroy();
      else if (n > 3) ok(response); // the fourth is never answered
    });
    const sink = urlSink(url, fast);
    await sink.append({ step: 1 });
    await sink.append({ step: 2 });
    await sink.close();
    expect(steps(seen)).toEqual([1, 1, 1, 1, 1, 2]);
    expect(sink.report()).toMatchObject({ sent: 2, dropped: 0 });
  });

  it('drops a line that is refused, goes on with the next, and says why', async () => {
    const { url, seen } = await serve((n, response) =>
      n === 0 ? void response.writeHead(401).end() : ok(response),
    );
    const sink = urlSink(url, { ...fast, token: 'wrong' });
    await sink.append({ step: 1 });
    await sink.append({ step: 2 });
    await sink.close();
    expect(steps(seen)).toEqual([1, 2]);
    expect(sink.report()).toEqual({ sent: 1, dropped: 1, reason: 'HTTP 401' });
  });

  it('does not follow a redirect with the token', async () => {
    const { url, seen } = await serve(
      (_, response) => void response.writeHead(302, { location: '/else' }).end(),
    );
    const sink = urlSink(url, { ...fast, token: 'secret' });
    await sink.append({ step: 1 });
    await sink.close();
    expect(seen).toHaveLength(1);
    expect(sink.report()).toEqual({ sent: 0, dropped: 1, reason: 'HTTP 302' });
  });

  it('holds nobody up while the server is slow: the oldest of a full queue go, and are counted', async () => {
    // It answers nothing until all lines are in: who waited for it would wait for ever.
    const answers = new Set<() => void>();
    let silent = true;
    const { url, seen } = await serve((_, response) => {
      if (silent) answers.add(() => ok(response));
      else ok(response);
    });
    const sink = urlSink(url, { ...fast, capacity: 3, timeoutMs: 30_000, closeMs: 30_000 });
    for (let step = 1; step <= 100; step++) await sink.append({ step });
    while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    silent = false;
    for (const answer of answers) answer();
    await sink.close();
    expect(steps(seen)).toEqual([1, 98, 99, 100]);
    expect(sink.report()).toMatchObject({ sent: 4, dropped: 96 });
  });

  it('gives up when it is closed and nobody listens, in the time that it was given', async () => {
    const { url } = await serve((_, response) => ok(response));
    server!.close();
    const sink = urlSink(url, { ...fast, closeMs: 400 });
    for (let step = 1; step <= 3; step++) await sink.append({ step });
    const before = performance.now();
    await sink.close();
    expect(performance.now() - before).toBeLessThan(3000);
    expect(sink.report()).toEqual({ sent: 0, dropped: 3, reason: 'ECONNREFUSED' });
  });

  it('gives up on a server that never answers', async () => {
    const { url, seen } = await serve(() => {});
    const sink = urlSink(url, { ...fast, timeoutMs: 50 });
    await sink.append({ step: 1 });
    await sink.close();
    expect(seen.length).toBeGreaterThan(1);
    expect(sink.report()).toEqual({ sent: 0, dropped: 1, reason: 'no answer within 0.05 s' });
  });

  it('refuses addresses that are none, and passwords in them without repeating them', () => {
    expect(() => checkLogUrl('localhost:80')).toThrow(/no http or https URL/);
    expect(() => checkLogUrl('file:///tmp/x')).toThrow(/no http or https URL/);
    let message = '';
    try {
      checkLogUrl('http://me:geheim@host/');
    } catch (error) {
      ({ message } = error as Error);
    }
    expect(message).toMatch(/SAEKIT_LOG_TOKEN/);
    expect(message).not.toMatch(/geheim/);
  });
});
