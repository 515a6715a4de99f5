// What a server must bear: more requests than it can do, clients that hang up, garbage, and pages of other sites.
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../platform/node.ts';
import { ask, createServerFixture, type Lab, MODEL, RUN } from '../../test/fixtures/server.ts';
import { createRng } from '../shared/rng.ts';
import type { RunningServer } from './index.ts';
import { operations } from './operations/all.ts';

let fixture: Lab;
let server: RunningServer;
const errors: unknown[] = [];
beforeAll(async () => {
  fixture = await createServerFixture();
  server = await fixture.start(
    { running: 1, queue: 1, maxBodyBytes: 50_000 },
    { onError: (error) => errors.push(error) },
  );
}, 60_000);
afterAll(async () => {
  await server?.close();
  fixture?.remove();
});

const long = { model: MODEL, prompt: 'The', max_tokens: 250, temperature: 1, seed: 1 };
const short = { model: MODEL, prompt: 'The', max_tokens: 1, temperature: 0 };
const write = (body: object, init: RequestInit = {}) =>
  fetch(`${server.url}/v1/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    ...init,
  });

/** Waits until a state holds. */
async function until(holds: () => boolean, ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (!holds()) {
    if (performance.now() > end)
      throw new Error(`not within ${ms} ms: ${JSON.stringify(server.lab.writers.state)}`);
    await sleep(2);
  }
}
const idle = () => server.lab.writers.state.running === 0 && server.lab.writers.state.waiting === 0;

describe('the queue', () => {
  it('lets one write, one wait, and sends the third away with Retry-After; then all is as before', async () => {
    await (await write(short)).json();
    const gone = new AbortController();
    const first = write({ ...long, n: 4 }, { signal: gone.signal });
    first.catch(() => {});
    await until(() => server.lab.writers.state.running === 1, 5000);
    const second = write(short);
    await until(() => server.lab.writers.state.waiting === 1, 5000);
    const third = await write(short);
    expect(third.status).toBe(503);
    expect(Number(third.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(((await third.json()) as { error: object }).error).toMatchObject({
      code: 'overloaded',
      type: 'server_error',
    });
    // Streams wait in the same line.
    expect((await write({ ...short, stream: true })).status).toBe(503);
    gone.abort();
    expect((await second).status).toBe(200);
    await until(idle, 2000);
  });
});

describe('a client that hangs up', () => {
  const forWhole = async (): Promise<number> => {
    const start = performance.now();
    await (await write({ ...long, n: 4 })).json();
    return performance.now() - start;
  };
  it('while it waits, mid-stream or before the answer: what it asked for ends at once', async () => {
    const whole = await forWhole();
    for (const stream of [true, false]) {
      const gone = new AbortController();
      const pending = write({ ...long, n: 4, stream }, { signal: gone.signal });
      pending.catch(() => {});
      if (stream) {
        const reader = (await pending).body!.getReader();
        for (let i = 0; i < 3; i++) await reader.read();
        reader.closed.catch(() => {});
      } else await until(() => server.lab.writers.state.running === 1, 5000);
      const waiting = new AbortController();
      const queued = write(short, { signal: waiting.signal });
      queued.catch(() => {});
      await until(() => server.lab.writers.state.waiting === 1, 5000);
      waiting.abort();
      await until(() => server.lab.writers.state.waiting === 0, 1000);
      expect(server.lab.writers.state.running).toBe(1);
      const start = performance.now();
      gone.abort();
      await until(idle, 5000);
      // A token or two, not the rest of the text.
      expect(performance.now() - start, `of ${whole} ms`).toBeLessThan(Math.max(300, whole / 3));
    }
    expect((await write(short)).status).toBe(200);
    expect(errors).toEqual([]);
  });
});

/** Sends bytes as they are and reads what comes until the other side ends, or for a while. */
function raw(bytes: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    let text = '';
    socket.setTimeout(300, () => socket.destroy());
    socket.on('data', (data) => (text += data.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
    socket.write(bytes);
  });
}

describe('garbage', () => {
  it('1,000 garbage requests: none is a 500, and the server goes on', async () => {
    const rng = createRng('garbage');
    const paths = [
      ...operations.map(({ path }) => path),
      '/v1/completions',
      '/v1/chat/completions',
      '/v1/models',
      '/mcp',
      '/openapi.json',
      '/nothing',
      '/',
    ];
    const values = [
      null,
      true,
      -1,
      1e308,
      '',
      'x',
      '\u0000',
      '😀'.repeat(30),
      [],
      {},
      [[[]]],
      { __proto__: 1 },
      RUN,
      MODEL,
      '../../etc/passwd',
      'constructor',
      4096,
      0.5,
    ];
    const good = {
      ...short,
      messages: [{ role: 'user', content: 'a' }],
      run: RUN,
      latent: 3,
      text: 'abc',
      features: { steer: [{ run: RUN, latent: 1, value: 2 }] },
    };
    const counts = new Map<number, number>();
    const body = (): string => {
      const object: Record<string, unknown> = rng.int(4) === 0 ? {} : { ...good };
      for (let i = rng.int(4); i >= 0; i--)
        object[rng.pick([...Object.keys(good), 'stream', 'n', 'zzz', '__proto__', 'toString'])] =
          rng.pick(values);
      const json = JSON.stringify(object);
      return rng.int(5) === 0 ? json.slice(0, rng.int(json.length)) : json;
    };
    const one = async (): Promise<void> => {
      const path = rng
        .pick(paths)
        .replace(/\{(\w+)\}/g, () => encodeURIComponent(String(rng.pick([...values, RUN, '7'])) || 'x'));
      const method = rng.pick(['GET', 'POST', 'POST', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'HEAD']);
      const withBody = !['GET', 'HEAD'].includes(method);
      const headers: Record<string, string> = {
        'Content-Type': rng.pick([
          'application/json',
          'application/json',
          'application/json',
          'text/plain',
          '',
        ]),
      };
      if (rng.int(20) === 0) headers.Origin = 'https://evil.example';
      if (rng.int(20) === 0) headers['Last-Event-ID'] = 'ü'.repeat(3).replaceAll('ü', '?');
      const response = await fetch(`${server.url}${path}`, {
        method,
        headers,
        redirect: 'manual',
        ...(withBody ? { body: body() } : {}),
      });
      const text = await response.text();
      expect(
        response.status === 503 || response.status < 500,
        `${method} ${path} ${response.status} ${text}`,
      ).toBe(true);
      counts.set(response.status, (counts.get(response.status) ?? 0) + 1);
    };
    for (let i = 0; i < 900; i += 15) await Promise.all(Array.from({ length: 15 }, one));
    const bytes = () => Buffer.from(Array.from({ length: 1 + rng.int(400) }, () => rng.int(256)));
    const heads = [
      'GET / HTTP/1.1\r\n',
      'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n{',
      'POST /api/steer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
      'GET http://[::1/ HTTP/1.1\r\nHost: [\r\n\r\n',
      '\r\n\r\n',
    ];
    for (let i = 0; i < 100; i += 25)
      await Promise.all(Array.from({ length: 25 }, () => raw(rng.int(2) === 0 ? bytes() : rng.pick(heads))));
    // Most were refused, for several reasons.
    expect([...counts.values()].reduce((a, b) => a + b)).toBe(900);
    for (const status of [400, 403, 404, 415])
      expect(counts.get(status), JSON.stringify([...counts])).toBeGreaterThan(5);
    expect(errors).toEqual([]);
    await until(idle, 10_000);
    expect((await write(short)).status).toBe(200);
  }, 60_000);

  it('bodies that are too large are not read', async () => {
    const { status, body } = await ask(server, 'POST', '/api/activation/all', {
      run: RUN,
      text: 'a'.repeat(60_000),
    });
    expect([status, body.error.code]).toEqual([413, 'body_too_large']);
    // Without a length announced, too.
    const chunks = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode('a'.repeat(10_000))),
    });
    const init = {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: chunks,
      duplex: 'half',
    };
    const status2 = await fetch(`${server.url}/v1/completions`, init as RequestInit).then(
      ({ status }) => status,
      () => 413,
    );
    expect(status2).toBe(413);
    expect((await ask(server, 'GET', '/api/runs')).status).toBe(200);
  });
});

describe('who may ask', () => {
  it('only under names of this machine: DNS rebinding', async () => {
    const port = new URL(server.url).port;
    const under = async (host: string) =>
      (await raw(`GET /api/runs HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).split(' ')[1];
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`, 'LOCALHOST'])
      expect(await under(host), host).toBe('200');
    for (const host of [
      'evil.example',
      `localhost.evil.example:${port}`,
      '127.0.0.1.evil.example',
      'evil.example:4317',
      '',
    ])
      expect(await under(host), host).not.toBe('200');
  });
  it('no page of another site, to read or to write', async () => {
    const list = { features: [] };
    for (const headers of [
      { Origin: 'https://evil.example' },
      { Origin: 'null' },
      { Origin: 'http://localhost:1' },
      { 'Sec-Fetch-Site': 'cross-site' },
      { 'Sec-Fetch-Site': 'same-site' },
    ])
      expect((await ask(server, 'PUT', '/api/lists/x', list, headers)).status, JSON.stringify(headers)).toBe(
        403,
      );
    // What a form of another site could send without being asked.
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])
      expect((await ask(server, 'PUT', '/api/lists/x', list, { 'Content-Type': type })).status, type).toBe(
        415,
      );
    expect((await ask(server, 'GET', '/api/lists')).body.lists).toEqual([]);
    expect((await ask(server, 'POST', '/mcp', {}, { Origin: 'https://evil.example' })).status).toBe(403);
    // The browser's question before such a request is not answered with leave.
    const asked = await ask(server, 'OPTIONS', '/api/lists/x', undefined, {
      'Access-Control-Request-Method': 'PUT',
    });
    expect(asked.headers.get('access-control-allow-origin')).toBeNull();
    expect(
      (
        await ask(server, 'PUT', '/api/lists/x', list, {
          Origin: server.url,
          'Sec-Fetch-Site': 'same-origin',
        })
      ).status,
    ).toBe(200);
  });
  it('at another address than this machine only with the token', async () => {
    const open = await fixture.start({ host: '0.0.0.0' }, { token: 'a-secret' });
    try {
      const at = { url: open.url.replace('0.0.0.0', '127.0.0.1') };
      expect(open.token).toBe('a-secret');
      for (const headers of [
        {},
        { Authorization: 'Bearer wrong' },
        { Authorization: 'Basic a-secret' },
        { Cookie: 'saekit_token=' },
      ] as Record<string, string>[])
        for (const path of ['/', '/api/runs', '/v1/models', '/openapi.json', '/mcp'])
          expect((await ask(at, 'GET', path, undefined, headers)).status, path).toBe(401);
      expect(
        (await ask(at, 'GET', '/v1/models', undefined, { Authorization: 'Bearer a-secret' })).status,
      ).toBe(200);
      // The link that is printed leaves a cookie that other sites' pages do not send.
      const { status, headers } = await ask(at, 'GET', '/runs?token=a-secret&x=1');
      expect([status, headers.get('location')]).toEqual([303, '/runs?x=1']);
      const cookie = headers.get('set-cookie')!;
      expect(cookie).toMatch(/HttpOnly.*SameSite=Strict/);
      expect((await ask(at, 'GET', '/api/runs', undefined, { Cookie: cookie.split(';')[0]! })).status).toBe(
        200,
      );
      expect((await ask(at, 'GET', '/runs?token=wrong')).status).toBe(401);
    } finally {
      await open.close();
    }
    const drawn = await fixture.start({ host: '0.0.0.0' });
    expect(drawn.token!.length).toBeGreaterThanOrEqual(20);
    await drawn.close();
  });
});

it('stops at once, also while it writes and while somebody listens', async () => {
  const own = await fixture.start();
  const body = JSON.stringify({ ...long, n: 4, stream: true });
  const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body };
  const response = await fetch(`${own.url}/v1/completions`, init);
  const events = await fetch(`${own.url}/api/runs/${RUN}/events`);
  const reader = response.body!.getReader();
  await reader.read();
  const start = performance.now();
  await own.close();
  expect(performance.now() - start).toBeLessThan(3000);
  await Promise.allSettled([reader.cancel(), events.body!.cancel()]);
  await expect(fetch(`${own.url}/api/runs`)).rejects.toThrow();
});
