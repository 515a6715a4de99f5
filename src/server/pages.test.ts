// Pages, their .json, the description of the routes, the files of the app and live events.
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import '../platform/node.ts';
import { ask, RUN, servedFixture } from '../../test/fixtures/server.ts';
import { LONGEST_ADDRESS } from '../shared/address.ts';
import { operations } from './operations/all.ts';

const served = servedFixture();

describe('pages and events', () => {
  it('every page has a .json', async () => {
    for (const page of ['runs', `runs/${RUN}`, `features/${RUN}`, `feature/${RUN}/7`, 'lists'])
      expect((await ask(served.server, 'GET', `/${page}.json`)).body).toEqual(
        (await ask(served.server, 'GET', `/api/${page}`)).body,
      );
    expect((await ask(served.server, 'GET', `/features/${RUN}.json?limit=3`)).body.features).toHaveLength(3);
  });

  it('an address as long as the app makes them is read, a much longer one is not', async () => {
    const status = async (length: number) =>
      (
        await fetch(
          `${served.server.url}/openapi.json?text=${'x'.repeat(length - '/openapi.json?text='.length)}`,
        )
      ).status;
    expect(await status(LONGEST_ADDRESS)).toBe(200);
    expect(await status(2 * LONGEST_ADDRESS)).toBe(431);
  });

  it('openapi.json names every operation and answers to its paths', async () => {
    const { body } = await ask(served.server, 'GET', '/openapi.json');
    expect(body.openapi).toBe('3.1.0');
    const named = Object.entries(
      body.paths as Record<string, Record<string, { operationId: string }>>,
    ).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { operationId }]) => ({ path, method, operationId })),
    );
    expect(new Set(named.map(({ operationId }) => operationId)).size).toBe(named.length);
    for (const { name, path, method } of operations)
      expect(named).toContainEqual({ path, method, operationId: name });
    // None of them is unknown to the server.
    for (const { path, method } of named) {
      const { body: reply } = await ask(
        served.server,
        method.toUpperCase(),
        path.replaceAll(/\{\w+\}/g, '0'),
        method === 'get' ? undefined : {},
      );
      expect(reply.error?.code, `${method} ${path}`).not.toBe('not_found');
    }
    expect(body.paths['/api/feature/{run}/{latent}'].get.parameters[1]).toMatchObject({
      name: 'latent',
      in: 'path',
      required: true,
      schema: { type: 'integer' },
    });
  });

  it('a page says what is here, and what came from a file is inert in it', async () => {
    const evil = join(served.fixture.folder, '<img src=x onerror=alert(1)>');
    mkdirSync(evil);
    writeFileSync(join(evil, 'cfg.json'), '{"architecture": "<script>alert(1)</script>"}');
    const { status, headers, body } = await ask(served.server, 'GET', '/');
    expect([status, headers.get('content-type')]).toEqual([200, 'text/html; charset=UTF-8']);
    expect(headers.get('content-security-policy')).toContain("default-src 'self'");
    expect(body).toContain(RUN);
    expect(body).toContain('&lt;img src=x');
    expect(body).not.toMatch(/<img|<script/);
  });

  it('serves the built app, its pages, and no other file', async () => {
    const web = join(served.fixture.path, 'web');
    mkdirSync(join(web, 'assets'), { recursive: true });
    writeFileSync(join(web, 'index.html'), '<title>app</title>');
    writeFileSync(join(web, 'assets', 'a.js'), 'let a;');
    writeFileSync(join(served.fixture.path, 'secret.txt'), 'secret');
    const own = await served.fixture.start({}, { web });
    try {
      for (const page of ['/', '/runs', `/feature/${encodeURIComponent('x')}/7`, '/search?q=1'])
        expect((await ask(own, 'GET', page)).body).toBe('<title>app</title>');
      for (const page of ['/runs/', '/search/', '/steer/', '/lists/'])
        expect((await ask(own, 'GET', page)).status, page).toBe(200);
      // A mistyped address: a page for people, an error for programs.
      for (const path of ['/nope', '/lists/my-list', '/steer/x', '/feature/']) {
        const people = await ask(own, 'GET', path, undefined, { Accept: 'text/html,*/*;q=0.8' });
        expect([people.status, people.body], path).toEqual([404, '<title>app</title>']);
        const { status, body } = await ask(own, 'GET', path);
        expect([status, body.error.code], path).toEqual([404, 'not_found']);
      }
      for (const path of ['/api/nope', '/v1/nope', '/nope.json'])
        expect((await ask(own, 'GET', path, undefined, { Accept: 'text/html' })).body.error.code, path).toBe(
          'not_found',
        );
      const script = await ask(own, 'GET', '/assets/a.js');
      expect([script.body, script.headers.get('content-type')]).toEqual([
        'let a;',
        'text/javascript; charset=utf-8',
      ]);
      for (const path of [
        '/../secret.txt',
        '/%2e%2e/secret.txt',
        '/..%2fsecret.txt',
        '/assets/..%2f..%2fsecret.txt',
        '/assets/%5c..%5c..%5csecret.txt',
        '/etc/passwd.txt',
        '/a.js',
      ])
        expect((await ask(own, 'GET', path)).status, path).toBe(404);
    } finally {
      await own.close();
    }
  });

  it('live events: lines of metrics as they are written, from a step on, and the status', async () => {
    const run = join(served.fixture.folder, 'fresh');
    mkdirSync(run);
    const file = join(run, 'metrics.jsonl');
    const record = JSON.parse(readFileSync(join(served.fixture.folder, RUN, 'run.json'), 'utf8'));
    writeFileSync(join(run, 'run.json'), JSON.stringify({ ...record, status: 'running', step: 40 }));
    writeFileSync(file, '{"step":20,"fvu":0.5}\n{"step":40,"fvu":0.4}\n{"step":60,"f');
    const stop = new AbortController();
    const response = await fetch(`${served.server.url}/api/runs/fresh/events`, {
      headers: { 'Last-Event-ID': '20' },
      signal: stop.signal,
    });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let seen = '';
    const until = async (text: string): Promise<void> => {
      while (!seen.includes(text)) {
        const { done, value } = await reader.read();
        if (done) throw new Error(`ended without ${text}: ${seen}`);
        seen += value;
      }
    };
    await until('"step":40,"fvu":0.4');
    await until('"status":"running"');
    expect(seen).not.toContain('"step":20');
    expect(seen).not.toContain('"step":60');
    appendFileSync(file, 'vu":0.3}\n');
    await until('id: 60');
    expect(seen).toContain('data: {"step":60,"fvu":0.3}');
    writeFileSync(join(run, 'run.json'), JSON.stringify({ ...record, step: 60 }));
    await until('"status":"finished"');
    stop.abort();
    expect(
      (await ask(served.server, 'GET', '/api/runs/fresh/events', undefined, { 'Last-Event-ID': 'x' })).status,
    ).toBe(400);
    expect((await ask(served.server, 'GET', '/api/runs/nope/events')).status).toBe(404);
    // What has not finished cannot be used, and says why.
    expect((await ask(served.server, 'GET', '/api/feature/fresh/1')).body.error.message).toMatch(
      /fresh has no finished SAE yet/,
    );
    expect(existsSync(join(run, 'cfg.json'))).toBe(false);
  });
});
