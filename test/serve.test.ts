// `saekit serve` as a person starts it: the line it prints, Ctrl-C, what is said when it cannot start, and what each option does.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { InferenceSession } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type RunningServer, serve } from '../src/server/index.ts';
import { locateModel } from '../src/server/runs.ts';
import { serveConfigSchema } from '../src/shared/serve.ts';
import '../src/platform/node.ts';
import { buildOnce, saekit } from './fixtures/command-line.ts';
import { ask, createServerFixture, type Lab, MODEL, type Reply, RUN } from './fixtures/server.ts';
import { root } from './repository.ts';
import { late } from './support/demo.ts';

let fixture: Lab;
beforeAll(async () => {
  buildOnce();
  fixture = await createServerFixture();
}, 120_000);
afterAll(() => fixture?.remove());

/** Starts the command line, runs `use` once it says where it is, and stops it with Ctrl-C. */
async function started(
  args: readonly string[],
  use: (printed: string) => Promise<void> = async () => {},
  options: Parameters<typeof saekit>[1] = {},
) {
  let all = '';
  let used: Promise<void> | undefined;
  const run = await saekit(['serve', ...args], {
    ...options,
    killAfterMs: 60_000,
    onOutput(text, interrupt) {
      all += text;
      if (used === undefined && /Ctrl-C stops|"url"/.test(all)) used = use(all).finally(interrupt);
    },
  });
  await used;
  return run;
}

describe('saekit serve', () => {
  it('prints where it is, answers there, and ends with status 0 at Ctrl-C', async () => {
    let runs: Reply | undefined;
    const { status, stdout, stderr } = await started([fixture.folder, '--port', '0'], async (printed) => {
      runs = await ask({ url: printed.split('\n')[0]! }, 'GET', '/api/runs');
    });
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^http:\/\/localhost:\d+\n/);
    expect(stdout).toContain(`${RUN}  ${MODEL}  ${RUN}  ${late.F} latents`);
    expect(runs!.body.runs).toHaveLength(3);
  });

  it('without folders serves the bundled runs and runs/, on port 4317 by default', async () => {
    expect(serveConfigSchema.parse({}).port).toBe(4317);
    const { status, stdout } = await started(['--port', '0', '--json']);
    expect(status).toBe(0);
    const { url, token, runs } = JSON.parse(stdout.split('\n')[0]!) as {
      url: string;
      token: null;
      runs: { run: string }[];
    };
    expect([url.startsWith('http://localhost:'), token]).toEqual([true, null]);
    expect(runs.map(({ run }) => run)).toContain(RUN);
  });

  it('at another address prints a link with a token', async () => {
    const { stdout } = await started([fixture.folder, '--port', '0', '--host', '0.0.0.0'], async () => {}, {
      env: { SAEKIT_TOKEN: 'mine' },
    });
    expect(stdout).toMatch(/^http:\/\/0\.0\.0\.0:\d+\/\?token=mine\n/);
  });

  it('says why it cannot start', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    const run = await saekit(['serve', fixture.folder, '--port', String(port)], { killAfterMs: 30_000 });
    expect([run.status, run.stdout], run.stderr).toEqual([2, '']);
    expect(run.stderr).toContain(`Port ${port} is taken`);
    taken.close();
    const config = serveConfigSchema.parse({ port: 0 });
    const start = async (folder: string, host = '127.0.0.1') =>
      await serve([folder], { ...config, host }, { version: '0' });
    await expect(start(join(fixture.path, 'nothing'))).rejects.toThrow(/nothing: no such folder/);
    await expect(
      serve([fixture.folder], { ...config, model: 'demo/modell' }, { version: '0' }),
    ).rejects.toThrow(/--model demo\/modell: no such folder or file. Did you mean "demo\/model"/);
    await expect(start(fixture.folder, '203.0.113.7')).rejects.toThrow(
      /203.0.113.7 is no address of this machine/,
    );
  });
});

describe('options', () => {
  const steer = {
    prompt: 'word '.repeat(20),
    maxTokens: 20,
    temperature: 0,
    features: [{ run: RUN, latent: 1, value: 1 }],
  };
  async function withServer<T>(
    config: Parameters<Lab['start']>[0],
    use: (server: RunningServer) => Promise<T>,
  ): Promise<T> {
    const server = await fixture.start(config);
    try {
      return await use(server);
    } finally {
      await server.close();
    }
  }
  const refusal = async (config: Parameters<Lab['start']>[0]) =>
    await withServer(config, async (server) => {
      const { status, body } = await ask(server, 'POST', '/api/steer', steer);
      return [status, body.error?.param ?? body.error?.code];
    });

  it('--max-body-bytes, --max-prompt-tokens and --max-new-tokens', async () => {
    expect(await refusal({})).toEqual([200, undefined]);
    expect(await refusal({ maxBodyBytes: 100 })).toEqual([413, 'body_too_large']);
    expect(await refusal({ maxPromptTokens: 10 })).toEqual([400, 'prompt']);
    expect(await refusal({ maxNewTokens: 19 })).toEqual([400, 'maxTokens']);
  });
  it('--running and --queue', async () => {
    const statuses = async (config: Parameters<Lab['start']>[0]) =>
      await withServer(config, async (server) => {
        const body = { model: MODEL, prompt: 'a', max_tokens: 60 };
        const all = await Promise.all(
          Array.from({ length: 4 }, () => ask(server, 'POST', '/v1/completions', body)),
        );
        return all.map(({ status }) => status).sort();
      });
    expect(await statuses({ running: 1, queue: 0 })).toEqual([200, 503, 503, 503]);
    expect(await statuses({ running: 2, queue: 0 })).toEqual([200, 200, 503, 503]);
    expect(await statuses({ running: 1, queue: 2 })).toEqual([200, 200, 200, 503]);
  });
  it('--model is the model of all runs', async () => {
    await withServer({ model: fixture.tiny }, async (server) => {
      expect((await ask(server, 'GET', '/v1/models')).body.data.map(({ id }: { id: string }) => id)).toEqual([
        fixture.tiny,
      ]);
      const asked = { run: RUN, latent: 1, text: 'a' };
      const { status, body } = await ask(server, 'POST', '/api/activation/new', asked);
      expect(status).toBe(400);
      expect(body.error.message).toContain(`The model has no hook "${RUN}"`);
    });
  });
  it('--lists', async () => {
    const lists = join(fixture.path, 'elsewhere', 'mine.json');
    await withServer(
      { lists },
      async (server) => void (await ask(server, 'PUT', '/api/lists/a', { features: [] })),
    );
    expect(JSON.parse(readFileSync(lists, 'utf8')).lists[0].name).toBe('a');
    expect(existsSync(join(fixture.folder, 'lists.json'))).toBe(false);
    writeFileSync(lists, '{"lists": 7}');
    await withServer({ lists }, async (server) => {
      const { status, body } = await ask(server, 'GET', '/api/lists');
      expect([status, body.error.message]).toEqual([
        500,
        expect.stringContaining('mine.json holds no lists that can be read'),
      ]);
    });
  });
  it('--threads, from --config or a flag', async () => {
    const config = join(fixture.path, 'serve.json');
    writeFileSync(config, JSON.stringify({ port: 0, threads: 2 }));
    const preload = [pathToFileURL(join(root, 'test/fixtures/say-threads.mjs')).href];
    const threads = async (...flags: string[]) => {
      const read = async (printed: string) =>
        void (await ask({ url: printed.split('\n')[0]! }, 'POST', '/api/activation/all', {
          run: RUN,
          text: 'a',
        }));
      const { stderr } = await started([fixture.folder, '--config', config, ...flags], read, { preload });
      // The model's session comes last; the self-test of the SAE has one of its own.
      return stderr.match(/^threads \d+/gm)?.at(-1);
    };
    expect([await threads(), await threads('--threads', '1')]).toEqual(['threads 2', 'threads 1']);
  });
  it('--device and --low-memory', async () => {
    const opened = vi.spyOn(InferenceSession, 'create');
    const read = async (config: Parameters<Lab['start']>[0]) =>
      await withServer(config, async (server) => {
        opened.mockClear();
        const { body } = await ask(server, 'POST', '/api/activation/all', { run: 'tiny', text: 'a' });
        const mapped = JSON.stringify(opened.mock.calls.map(([, options]) => options)).includes('prepacking');
        return { error: body.error?.message as string | undefined, mapped };
      });
    expect((await read({ device: 'cuda' })).error).toMatch(/cuda/i);
    expect(await read({})).toEqual({ error: undefined, mapped: false });
    expect(await read({ lowMemory: true })).toEqual({ error: undefined, mapped: true });
  });
});

it('a model that a run names by a relative path is found from the folders above the run', () => {
  const folder = join(root, 'demo', 'saes', RUN);
  expect(locateModel('demo/model', folder)).toBe('demo/model');
  expect(locateModel('model', folder)).toBe(join(root, 'demo', 'model'));
  expect(locateModel('org/name', folder)).toBe('org/name');
});
