// The command line against a hub of the tests' own: training on a model and data by id, the token, proxies.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readRun } from '../src/store/index.ts';
import { buildOnce, type Run, saekit } from './fixtures/command-line.ts';
import { HUB_TOKEN, startHub, type TestHub } from './fixtures/hub.ts';
import { startProxy, type TestProxy } from './fixtures/proxy.ts';
import { writeTinyCorpus, writeTinyModel } from './fixtures/tiny-model.ts';
import { root } from './repository.ts';

let place: string;
let hub: TestHub;
let homes = 0;
let environment: Record<string, string>;

beforeAll(async () => {
  buildOnce();
  place = mkdtempSync(join(tmpdir(), 'saekit-hub-cli-'));
  const model = writeTinyModel(join(place, 'model'));
  const files = Object.fromEntries(
    readdirSync(model).map((name) => [name, new Uint8Array(readFileSync(join(model, name)))]),
  );
  const corpus = new Uint8Array(readFileSync(writeTinyCorpus(join(place, 'corpus.jsonl'))));
  hub = await startHub({
    'models/tiny/llama': { gated: true, files },
    'datasets/tiny/texts': { private: true, files: { 'train.jsonl': corpus } },
  });
  environment = { HF_ENDPOINT: hub.url, HF_TOKEN: HUB_TOKEN, HF_HUB_OFFLINE: '' };
});
afterAll(async () => {
  await hub.close();
  rmSync(place, { recursive: true, force: true });
});

const newHome = (): string => {
  const home = join(place, `home-${homes++}`);
  mkdirSync(home);
  return home;
};
const steps = (count: number): string[] => [
  ...['--latents', '128', '--k', '8', '--batch-tokens', '256', '--tokens', String(count * 256)],
  ...['--shuffle-tokens', '1024', '--checkpoint-every-tokens', '1280', '--eval-tokens', '500'],
];
const train = (out: string, env: Record<string, string>, ...more: string[]): Promise<Run> =>
  saekit(
    [
      'train',
      '--model',
      'tiny/llama',
      '--data',
      'tiny/texts',
      '--out',
      join(place, out),
      ...steps(15),
      ...more,
    ],
    { cwd: place, env: { ...environment, ...env } },
  );

/** Every file under a folder, links followed. */
function* filesUnder(folder: string): Generator<string> {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* filesUnder(path);
    else yield path;
  }
}

describe('training by id', () => {
  it('brings model and data, records what they were, and writes the token nowhere', async () => {
    const home = newHome();
    const { status, stdout, stderr } = await train('run', { HF_HOME: home });
    expect([status, stderr]).toEqual([0, '']);
    const { provenance, config } = await readRun(join(place, 'run'));
    expect([config.model, config.data]).toEqual(['tiny/llama', ['tiny/texts']]);
    expect(provenance.model).toMatchObject({ name: 'tiny/llama', commit: hub.commitOf('models/tiny/llama') });
    expect(provenance.data.map(({ path }) => path)).toEqual([
      `tiny/texts@${hub.commitOf('datasets/tiny/texts')}/train.jsonl`,
    ]);
    expect(Object.keys(provenance.model?.files ?? {})).toContain('model.safetensors');
    expect(stdout).not.toContain(HUB_TOKEN);
    for (const folder of [join(place, 'run'), home])
      for (const path of filesUnder(folder))
        expect([path, readFileSync(path).includes(HUB_TOKEN)]).toEqual([path, false]);
  });

  it('goes on with the commits that it began with, also when the hub has moved', async () => {
    const home = newHome();
    const env = { ...environment, HF_HOME: home };
    const full = await train('full', { HF_HOME: home });
    expect(full.status).toBe(0);
    const out = join(place, 'stopped');
    let asked = false;
    const stopped = await saekit(
      ['train', '--model', 'tiny/llama', '--data', 'tiny/texts', '--out', out, ...steps(15)],
      {
        cwd: place,
        env,
        watch: true,
        onOutput: (_, interrupt) => {
          if (asked || !existsSync(join(out, 'checkpoints'))) return;
          asked = true;
          interrupt();
        },
      },
    );
    expect(stopped.status).toBe(130);
    const { files } = hub.repos['datasets/tiny/texts']!;
    const model = hub.repos['models/tiny/llama']!;
    Object.assign(hub.repos, {
      'datasets/tiny/texts': { files: { 'train.jsonl': '{"text": "all new"}' }, branches: { before: files } },
      'models/tiny/llama': {
        files: { ...model.files, 'config.json': '{}' },
        branches: { before: model.files },
      },
    });
    const resumed = await saekit(['train', '--resume', out], { cwd: place, env });
    Object.assign(hub.repos, { 'datasets/tiny/texts': { files }, 'models/tiny/llama': model });
    expect([resumed.status, resumed.stderr]).toEqual([0, '']);
    const weights = (run: string): Buffer => readFileSync(join(place, run, 'sae_weights.safetensors'));
    expect(weights('stopped').equals(weights('full'))).toBe(true);
  });

  it('says what is wrong in one message with status 1, without the token', async () => {
    const home = newHome();
    for (const [args, pattern] of [
      [['--model', 'tiny/lama'], /tiny\/lama: no such folder\. .* Did you mean tiny\/llama\?/],
      [['--data', 'tiny/text'], /tiny\/text: no such file or folder\. .* Did you mean tiny\/texts\?/],
      [['--data', 'tiny/texts:nothing'], /no configuration "nothing"/],
    ] as const) {
      const { status, stderr } = await train('wrong', { HF_HOME: home }, ...args);
      expect(status).toBe(1);
      expect(stderr).toMatch(pattern);
      expect(stderr).not.toContain(HUB_TOKEN);
    }
  });

  it('says on a full disk how much is needed, keeps what came, and goes on later', async () => {
    const home = newHome();
    const full = {
      HF_HOME: home,
      FULL_DISK_UNDER: 'blobs',
      FULL_DISK_AFTER: '60000',
    };
    const { status, stderr } = await saekit(
      ['train', '--model', 'tiny/llama', '--data', 'tiny/texts', '--out', join(place, 'disk'), ...steps(5)],
      {
        cwd: place,
        env: { ...environment, ...full },
        preload: [pathToFileURL(join(root, 'test', 'fixtures', 'full-disk.mjs')).href],
      },
    );
    expect(status).toBe(1);
    expect(stderr).toMatch(/No space left for tiny\/llama\/model\.safetensors \(\d+ bytes\).*HF_HOME/);
    const later = await train('disk', { HF_HOME: home });
    expect([later.status, later.stderr]).toEqual([0, '']);
  });
});

describe('behind a proxy', () => {
  let proxy: TestProxy;
  beforeAll(async () => {
    proxy = await startProxy();
  });
  afterAll(() => proxy.close());
  beforeEach(() => Object.assign(proxy, { asked: [], refuse: false }));

  const generate = (env: Record<string, string>): Promise<Run> =>
    saekit(['generate', '--model', 'tiny/llama', '--prompt', 'abc', '--max-tokens', '2', '--json'], {
      cwd: place,
      env: { ...environment, HF_HOME: newHome(), ...env },
    });

  it('everything goes through it', async () => {
    const { status, stderr } = await generate({ HTTP_PROXY: proxy.url });
    expect([status, stderr]).toEqual([0, '']);
    expect(proxy.asked.map((url) => url.replace(/^http:\/\//, ''))).toContain(new URL(hub.url).host);
  });

  it('nothing goes through it for a host in NO_PROXY', async () => {
    proxy.refuse = true;
    const { status } = await generate({ HTTP_PROXY: proxy.url, NO_PROXY: '127.0.0.1' });
    expect(status).toBe(0);
    expect(proxy.asked).toEqual([]);
  });

  it('one that refuses is named, without its password', async () => {
    proxy.refuse = true;
    const { status, stderr } = await generate({ HTTP_PROXY: proxy.url });
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /The proxy 127\.0\.0\.1:\d+ \(HTTP_PROXY\) refused the way to 127\.0\.0\.1:\d+ \(HTTP 403\)/,
    );
    expect(stderr).not.toContain('hidden');
  });

  it('one that is not there is named', async () => {
    const { status, stderr } = await generate({ HTTP_PROXY: 'http://127.0.0.1:1' });
    expect(status).toBe(1);
    expect(stderr).toMatch(/was not reached through the proxy 127\.0\.0\.1:1 \(HTTP_PROXY\): ECONNREFUSED/);
  });
});
