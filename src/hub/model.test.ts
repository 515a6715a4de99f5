// Models from a hub of the tests' own, into a cache of their own.
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { gitId, HUB_TOKEN, sha256, startHub, type TestHub } from '../../test/fixtures/hub.ts';
import { writeTinyModel } from '../../test/fixtures/tiny-model.ts';
import { openModel } from '../models/index.ts';
import '../platform/node.ts';
import { openHubModel } from './model.ts';
import { parseModelId } from './settings.ts';

const random = (bytes: number): Uint8Array => {
  const out = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i += 32)
    out.set(
      createHash('sha256')
        .update(`${i}`)
        .digest()
        .subarray(0, Math.min(32, bytes - i)),
      i,
    );
  return out;
};

const SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
const index = JSON.stringify({ weight_map: { a: SHARDS[0], b: SHARDS[1], c: SHARDS[0] } });
const BIG = random(3_000_000);

let home: string;
let hub: TestHub;
let tiny: Record<string, Uint8Array>;

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'saekit-hub-model-'));
  writeTinyModel(folder);
  tiny = Object.fromEntries(
    readdirSync(folder).map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]),
  );
  rmSync(folder, { recursive: true });
  hub = await startHub({
    'models/tiny/llama': {
      files: {
        ...tiny,
        'README.md': '# read me',
        'pytorch_model.bin': 'not this',
        'tf_model.h5': 'nor this',
        'model.onnx': 'nor this',
        'onnx/model.onnx': 'nor this',
      },
    },
    'models/tiny/sharded': {
      files: {
        'config.json': '{"a": 1}',
        'chat_template.jinja': '{{ messages }}',
        'model.safetensors.index.json': index,
        [SHARDS[0]!]: random(1000),
        [SHARDS[1]!]: random(2000),
        'model.safetensors': 'a second copy',
        'model-other.safetensors': 'of another index',
      },
    },
    'models/tiny/big': { files: { 'config.json': '{}', 'model.safetensors': BIG } },
    'models/tiny/gated': { gated: true, files: { 'config.json': '{}', 'model.safetensors': random(10) } },
    'models/tiny/secret': { private: true, files: { 'config.json': '{}', 'model.safetensors': random(10) } },
    'models/tiny/quantised': { files: { 'README.md': 'x', 'tiny.Q4_0.gguf': 'x' } },
    'models/tiny/pickled': { files: { 'config.json': '{}', 'pytorch_model.bin': 'x' } },
  });
});
afterAll(() => hub.close());

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'saekit-hub-'));
  vi.stubEnv('HF_HOME', home);
  vi.stubEnv('HF_ENDPOINT', hub.url);
  for (const name of [
    'HF_HUB_OFFLINE',
    'HF_HUB_CACHE',
    'HF_TOKEN',
    'HTTP_PROXY',
    'http_proxy',
    'NO_PROXY',
    'no_proxy',
  ])
    vi.stubEnv(name, '');
  hub.seen.length = 0;
  hub.fault = () => undefined;
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true, force: true });
});

const open = (text: string, ...rest: [Parameters<typeof openHubModel>[1]?]) =>
  openHubModel(parseModelId(text)!, ...rest);
const cacheOf = (name: string): string => join(home, 'hub', `models--${name.replace('/', '--')}`);
const asked = (pattern: RegExp): string[] =>
  hub.seen.filter(({ path }) => pattern.test(path)).map(({ path }) => path);
const messageOf = async (promise: Promise<unknown>): Promise<string> =>
  await promise.then(
    () => 'no error',
    (error: Error) => error.message,
  );

describe('a model of the hub', () => {
  it('is opened by its id, as the same model from a folder', async () => {
    const model = await openModel('tiny/llama');
    const { cache } = await model.runWithCache('abc', 'blocks.1.hook_resid_post');
    await model.close();
    const folder = writeTinyModel(join(home, 'local'));
    const local = await openModel(folder);
    const expected = await local.runWithCache('abc', 'blocks.1.hook_resid_post');
    await local.close();
    expect(cache['blocks.1.hook_resid_post']!.data).toEqual(expected.cache['blocks.1.hook_resid_post']!.data);
    expect(model.info.hash).toBe(local.info.hash);
    expect(model.info.name).toBe('tiny/llama');
    expect(model.info.origin).toEqual({
      commit: hub.commitOf('models/tiny/llama'),
      files: {
        'config.json': gitId(tiny['config.json']!),
        'model.safetensors': sha256(tiny['model.safetensors']!),
        'tokenizer.json': gitId(tiny['tokenizer.json']!),
        'tokenizer_config.json': gitId(tiny['tokenizer_config.json']!),
      },
    });
  });

  it('brings what is read and nothing else', async () => {
    await open('tiny/llama');
    expect(
      asked(/resolve/)
        .map((path) => path.split('/').at(-1))
        .sort(),
    ).toEqual(Object.keys(tiny).sort());
  });

  it('takes the shards that the index names, and no second copy of the weights', async () => {
    const { path } = await open('tiny/sharded');
    expect(readdirSync(path).sort()).toEqual(
      ['chat_template.jinja', 'config.json', 'model.safetensors.index.json', ...SHARDS].sort(),
    );
  });

  it('lies in the cache as blobs by hash, links, and a reference', async () => {
    const { path } = await open('tiny/big');
    const commit = hub.commitOf('models/tiny/big');
    expect(path).toBe(join(cacheOf('tiny/big'), 'snapshots', commit));
    expect(readFileSync(join(cacheOf('tiny/big'), 'refs', 'main'), 'utf8')).toBe(commit);
    expect(readdirSync(join(cacheOf('tiny/big'), 'blobs')).sort()).toEqual([gitId('{}'), sha256(BIG)].sort());
    expect(readlinkSync(join(path, 'model.safetensors'))).toBe(join('..', '..', 'blobs', sha256(BIG)));
    expect(sha256(readFileSync(join(path, 'model.safetensors')))).toBe(sha256(BIG));
  });

  it('is not downloaded twice', async () => {
    await open('tiny/big');
    hub.seen.length = 0;
    await open('tiny/big');
    expect(asked(/resolve/)).toEqual([]);
  });

  it('tells how far it is, up to the bytes of what was missing', async () => {
    const heard: number[] = [];
    let total = 0;
    await open('tiny/big', {
      onDownload: (progress) => {
        heard.push(progress.done);
        total = progress.total;
      },
    });
    expect(total).toBe(BIG.length + 2);
    expect(heard.at(-1)).toBe(total);
    expect(heard).toEqual(heard.toSorted((a, b) => a - b));
    expect(heard.length).toBeGreaterThan(5);
  });

  it('is taken at a revision', async () => {
    Object.assign(hub.repos, {
      'models/tiny/versions': {
        files: { 'config.json': '{"v": 2}', 'model.safetensors': 'two' },
        branches: { v1: { 'config.json': '{"v": 1}', 'model.safetensors': 'one' } },
      },
    });
    const { path } = await open('tiny/versions@v1');
    expect(readFileSync(join(path, 'model.safetensors'), 'utf8')).toBe('one');
    const commit = hub.commitOf('models/tiny/versions', 'v1');
    const pinned = await open(`tiny/versions@${commit}`);
    expect(pinned.path).toBe(path);
    expect(await messageOf(open('tiny/versions@v3'))).toMatch(/no revision "v3"\. Did you mean v1\?/);
  });
});

describe('a download that is disturbed', () => {
  const weights = (path: string): boolean => path.endsWith('model.safetensors');

  it('goes on by range from the byte where the connection broke', async () => {
    let broken = 0;
    hub.fault = ({ host }) => (host === 'cdn' && broken++ < 2 ? { breakAfter: 1_000_000 } : undefined);
    const { path } = await open('tiny/big');
    expect(sha256(readFileSync(join(path, 'model.safetensors')))).toBe(sha256(BIG));
    const parts = hub.seen.filter(({ host }) => host === 'cdn');
    expect(parts.length).toBe(3);
    const starts = parts.map(({ range }) => Number(/\d+/.exec(range ?? '0')?.[0]));
    expect(starts[0]).toBe(0);
    expect(starts[1]).toBeGreaterThan(0);
    expect(starts[2]).toBeGreaterThan(starts[1]!);
    // Bytes that a broken connection swallowed are asked for again, and no others.
    expect(parts.at(-1)!.bytes).toBe(BIG.length - starts[2]!);
  });

  it('goes on where an earlier one was stopped', async () => {
    hub.fault = ({ host }) => (host === 'cdn' ? { breakAfter: 700_000 } : undefined);
    const stop = new AbortController();
    const stopped = open('tiny/big', {
      signal: stop.signal,
      onDownload: ({ done }) => {
        if (done > 500_000) stop.abort();
      },
    });
    await expect(stopped).rejects.toMatchObject({ name: 'AbortError' });
    hub.fault = () => undefined;
    hub.seen.length = 0;
    const { path } = await open('tiny/big');
    expect(sha256(readFileSync(join(path, 'model.safetensors')))).toBe(sha256(BIG));
    const [part] = hub.seen.filter(({ host }) => host === 'cdn');
    expect(part!.bytes).toBeLessThan(BIG.length - 400_000);
  });

  it('begins anew where the server knows no ranges', async () => {
    mkdirSync(join(cacheOf('tiny/big'), 'blobs'), { recursive: true });
    writeFileSync(join(cacheOf('tiny/big'), 'blobs', `${sha256(BIG)}.incomplete`), BIG.subarray(0, 1000));
    hub.fault = ({ host }) => (host === 'cdn' ? { noRanges: true } : undefined);
    const { path } = await open('tiny/big');
    expect(sha256(readFileSync(join(path, 'model.safetensors')))).toBe(sha256(BIG));
  });

  it('is thrown away when its hash is another, and is right the next time', async () => {
    mkdirSync(join(cacheOf('tiny/big'), 'blobs'), { recursive: true });
    const blob = join(cacheOf('tiny/big'), 'blobs', sha256(BIG));
    writeFileSync(`${blob}.incomplete`, random(999).fill(7));
    expect(await messageOf(open('tiny/big'))).toMatch(
      /model\.safetensors: its hash is .* the hub lists .* run again/,
    );
    expect(existsSync(blob) || existsSync(`${blob}.incomplete`)).toBe(false);
    const { path } = await open('tiny/big');
    expect(sha256(readFileSync(join(path, 'model.safetensors')))).toBe(sha256(BIG));
  });

  it('is tried again after 503, and given up in the end', async () => {
    let busy = 0;
    hub.fault = ({ path }) => (weights(path) && busy++ < 2 ? { status: 503 } : undefined);
    await open('tiny/llama');
    expect(busy).toBeGreaterThan(2);
    hub.fault = ({ path }) => (path.includes('/api/') ? { status: 502 } : undefined);
    expect(await messageOf(open('tiny/sharded'))).toMatch(/answered 502 .* Try again later/);
  });

  it('by several at once is whole for each', async () => {
    const whole = async (after: number): Promise<string> => {
      await new Promise((resolve) => setTimeout(resolve, after));
      const { path } = await open('tiny/big');
      // As soon as it has it: not only after the others are done.
      expect(sha256(readFileSync(join(path, 'model.safetensors')))).toBe(sha256(BIG));
      return path;
    };
    const paths = await Promise.all([0, 0, 3, 9, 20, 40].map(whole));
    expect(new Set(paths).size).toBe(1);
  });
});

describe('without the network', () => {
  it('the cache is used, and a note says so', async () => {
    await open('tiny/llama');
    const gone = await startHub({});
    await gone.close();
    vi.stubEnv('HF_ENDPOINT', gone.url);
    const notes: string[] = [];
    const model = await openModel('tiny/llama', { onNote: (text) => notes.push(text) });
    await model.close();
    expect(notes.join()).toMatch(
      /127\.0\.0\.1:\d+ was not reached: ECONNREFUSED.* Using tiny\/llama at [0-9a-f]{7} from the cache/,
    );
    expect(model.info.origin?.files['model.safetensors']).toBe(sha256(tiny['model.safetensors']!));
  });

  it('nothing is asked when HF_HUB_OFFLINE is set', async () => {
    await open('tiny/llama');
    hub.seen.length = 0;
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    const { files } = await open('tiny/llama');
    expect(files.length).toBe(4);
    expect(hub.seen).toEqual([]);
  });

  it('what is not whole in the cache is an error that names the cache', async () => {
    const { path } = await open('tiny/sharded');
    rmSync(join(path, SHARDS[1]!));
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await messageOf(open('tiny/sharded'))).toMatch(
      /HF_HUB_OFFLINE is set.*tiny\/sharded \(main\) is not whole in the cache/,
    );
    expect(await messageOf(openModel('tiny/never'))).toMatch(
      /^tiny\/never: no such folder\. HF_HUB_OFFLINE is set/,
    );
  });
});

describe('what the hub refuses', () => {
  it('an id that does not exist: the nearest are offered', async () => {
    expect(await messageOf(openModel('tiny/lama'))).toMatch(
      /no such folder\. .* has no model tiny\/lama\. Did you mean tiny\/llama\b/,
    );
    expect(await messageOf(open('tyni/llama'))).toMatch(/Did you mean tiny\/llama\b/);
  });

  it('a gated model: where to accept the terms and how to set the token', async () => {
    const message = await messageOf(open('tiny/gated'));
    expect(message).toContain(`Accept its terms at ${hub.url}/tiny/gated`);
    expect(message).toContain(`${hub.url}/settings/tokens`);
    expect(message).toContain('HF_TOKEN');
  });

  it('a model without safetensors: what it has', async () => {
    expect(await messageOf(open('tiny/quantised'))).toMatch(
      /Download one of its GGUF files and give the path/,
    );
    expect(await messageOf(open('tiny/pickled'))).toMatch(/no model\.safetensors.*converted first/);
  });

  it('names that would leave the cache', async () => {
    Object.assign(hub.repos, {
      'models/tiny/evil': {
        files: {
          'config.json': '{}',
          'model.safetensors.index.json': '{"weight_map": {"a": "../../../x"}}',
          '../../../x': 'x',
        },
      },
    });
    expect(await messageOf(open('tiny/evil'))).toMatch(/no plain path|has no/);
  });

  it('what looks like a path is not asked for', async () => {
    for (const path of ['./tiny/llama', 'nowhere/at/all', '/no/where', 'gpt3', 'src/modles'])
      expect(await messageOf(openModel(path))).toMatch(/no such folder/);
    expect(hub.seen).toEqual([]);
  });
});

describe('the token', () => {
  it.each(['HF_TOKEN', 'HF_HUB_TOKEN'])(
    '%s opens what is gated or private, and goes to the hub only',
    async (variable) => {
      vi.stubEnv(variable, HUB_TOKEN);
      await open('tiny/gated');
      await open('tiny/secret');
      expect(
        hub.seen
          .filter(({ host }) => host === 'hub')
          .every(({ authorization }) => authorization === `Bearer ${HUB_TOKEN}`),
      ).toBe(true);
      const cdn = hub.seen.filter(({ host }) => host === 'cdn');
      expect(cdn.length).toBe(2);
      expect(cdn.every(({ authorization }) => authorization === undefined)).toBe(true);
    },
  );

  it('is read from the file that logging in leaves', async () => {
    writeFileSync(join(home, 'token'), `${HUB_TOKEN}\n`);
    await open('tiny/secret');
    vi.stubEnv('HF_HUB_DISABLE_IMPLICIT_TOKEN', '1');
    expect(await messageOf(open('tiny/gated'))).toMatch(/is gated/);
  });

  it('is in no message, even when the server sends it back', async () => {
    vi.stubEnv('HF_TOKEN', HUB_TOKEN);
    hub.fault = () => ({ status: 400, headers: { 'x-error-message': `bad ${HUB_TOKEN}` } });
    const message = await messageOf(open('tiny/llama'));
    expect(message).toMatch(/answered 400 .*bad …/);
    expect(message).not.toContain(HUB_TOKEN);
  });
});
