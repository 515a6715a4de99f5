// `saekit push` to a hub of the tests' own: what is shown, what is sent, what is refused, and that what was sent opens again.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { joinChunks, writeSafetensors } from '../src/formats/index.ts';
import { loadSae, type PushRunOptions, planPush, pushPlanned } from '../src/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { runSchema } from '../src/shared/run.ts';
import { readRun } from '../src/store/index.ts';
import { buildOnce, type Run, saekit } from './fixtures/command-line.ts';
import { HUB_TOKEN, type PushedCommit, type Seen, startHub, type TestHub } from './fixtures/hub.ts';
import { startProxy } from './fixtures/proxy.ts';
import { writeTinyCorpus, writeTinyModel } from './fixtures/tiny-model.ts';
import { root } from './repository.ts';

const FILES = [
  'cfg.json',
  'eval.json',
  'features/cards.json',
  'metrics.jsonl',
  'run.json',
  'sae_weights.safetensors',
];
const FOREIGN = join(root, 'test', 'golden', 'sae', 'saelens-switches');

let place: string;
let hub: TestHub;
let cli: Record<string, string>;
/** Trained on a model and text of this disk, and on ones of the hub. */
let localRun: string;
let hubRun: string;

beforeAll(async () => {
  buildOnce();
  place = mkdtempSync(join(tmpdir(), 'saekit-push-'));
  const model = writeTinyModel(join(place, 'deep', 'tiny-llama'));
  const corpus = writeTinyCorpus(join(place, 'deep', 'texts.jsonl'));
  const heldout = writeTinyCorpus(join(place, 'deep', 'kept back.jsonl'), 90);
  hub = await startHub(
    {
      'models/tiny/llama': {
        files: Object.fromEntries(
          readdirSync(model).map((name) => [name, new Uint8Array(readFileSync(join(model, name)))]),
        ),
      },
      'datasets/tiny/texts': { files: { 'train.jsonl': new Uint8Array(readFileSync(corpus)) } },
    },
    { partSize: 16_000 },
  );
  const home = join(place, 'home');
  mkdirSync(home);
  cli = { HF_ENDPOINT: hub.url, HF_HOME: home, HF_TOKEN: HUB_TOKEN, HF_HUB_OFFLINE: '' };
  [localRun, hubRun] = [join(place, 'runs', 'local'), join(place, 'runs', 'hub')];
  const train = async (out: string, of: readonly string[]): Promise<void> => {
    const size = ['--latents', '128', '--k', '8', '--batch-tokens', '256', '--tokens', '2560'];
    const speed = ['--shuffle-tokens', '1024', '--checkpoint-every-tokens', '1280', '--eval-tokens', '500'];
    const { status, stderr } = await saekit(['train', ...of, ...size, ...speed, '--out', out], { env: cli });
    expect([status, stderr]).toEqual([0, '']);
  };
  await train(localRun, ['--model', model, '--data', corpus, '--heldout', heldout, '--tensorboard']);
  await train(hubRun, ['--model', 'tiny/llama', '--data', 'tiny/texts']);
}, 60_000);
afterAll(async () => {
  await hub.close();
  rmSync(place, { recursive: true, force: true });
});

let name: string;
let names = 0;
beforeEach(() => {
  name = `lab/sae-${names++}`;
  for (const [key, value] of Object.entries(cli)) vi.stubEnv(key, value);
  for (const key of ['HTTP_PROXY', 'http_proxy', 'HF_HUB_CACHE']) vi.stubEnv(key, undefined);
  hub.seen.length = 0;
  hub.commits.length = 0;
  hub.fault = () => undefined;
});
afterEach(() => vi.unstubAllEnvs());

const push = async (folder: string, options: PushRunOptions & { repo?: string } = {}) =>
  await pushPlanned(await planPush(folder, options.repo ?? name, options), options);
const messageOf = async (promise: Promise<unknown>): Promise<string> =>
  await promise.then(
    () => 'no error',
    (error: Error) => error.message,
  );
const onDisk = (folder: string, file: string): Buffer => readFileSync(join(folder, file));
const lastCommit = (): PushedCommit => hub.commits.at(-1)!;
const textOf = ({ put }: PushedCommit, file: string): string => put[file]!.toString('utf8');
const asked = (pattern: RegExp): Seen[] =>
  hub.seen.filter(({ method, path }) => pattern.test(`${method} ${path}`));
const run = (...args: string[]): Promise<Run> => saekit(['push', ...args], { env: cli });
/** A copy of a run whose run.json says something else. */
async function changedRun(change: object, file?: [string, string]): Promise<string> {
  const folder = join(place, 'runs', `changed-${names++}`);
  cpSync(localRun, folder, { recursive: true });
  writeFileSync(join(folder, 'run.json'), JSON.stringify({ ...(await readRun(folder)), ...change }));
  if (file) writeFileSync(join(folder, file[0]), file[1]);
  return folder;
}

describe('without --upload', () => {
  it('shows files, sizes and the card, asks nobody, and needs no token', async () => {
    const { status, stdout, stderr } = await saekit(['push', localRun, name, '--private'], {
      env: { ...cli, HF_TOKEN: '' },
    });
    expect([status, stderr]).toEqual([0, '']);
    for (const file of FILES) expect(stdout).toContain(`  ${file} `);
    expect(stdout).toContain((await planPush(localRun, name)).card);
    expect(stdout).toMatch(/Not sent: checkpoints\/, events\.out\.tfevents\.\S+$/m);
    expect(stdout).toMatch(
      /private; .*Nothing was sent\. To send it: .* push .*--private --upload\n.*HF_TOKEN/s,
    );
    expect(hub.seen).toEqual([]);
  });

  it('gives the same as one JSON value', async () => {
    const { stdout } = await run(localRun, `${name}@v2`, '--json');
    const { files, ...rest } = JSON.parse(stdout) as {
      files: { path: string; bytes: number }[];
      card: string;
    };
    expect(rest).toMatchObject({ uploaded: false, repo: name, revision: 'v2', private: false });
    expect(files.map(({ path }) => path).sort()).toEqual(['README.md', ...FILES]);
    expect(files.find(({ path }) => path === 'README.md')?.bytes).toBe(Buffer.byteLength(rest.card));
    expect(hub.seen).toEqual([]);
  });
});

describe('what is sent', () => {
  it('is one commit with exactly the bytes of the run and the card that was shown', async () => {
    const { status, stdout, stderr } = await run(hubRun, name, '--upload', '--json');
    expect([status, stderr]).toEqual([0, expect.stringMatching(/^Sending 7 files, 1\d\d kB, to \S+\n$/)]);
    expect(hub.commits.length).toBe(1);
    const { put, branch, removed, summary } = lastCommit();
    expect([branch, removed, summary]).toEqual([
      'main',
      [],
      'SAE at blocks.0.hook_resid_post: TopK, D 32, F 128, K 8',
    ]);
    expect(Object.keys(put).sort()).toEqual(['README.md', ...FILES]);
    for (const file of FILES) expect([file, put[file]!.equals(onDisk(hubRun, file))]).toEqual([file, true]);
    const said = JSON.parse(stdout) as { card: string };
    expect(said).toMatchObject({
      uploaded: true,
      created: true,
      url: `${hub.url}/${name}`,
      commit: hub.commitOf(`models/${name}`),
    });
    expect(textOf(lastCommit(), 'README.md')).toBe(said.card);
  });

  it('names no path of this machine', async () => {
    await push(localRun);
    const { put } = lastCommit();
    for (const [file, bytes] of Object.entries(put))
      for (const part of [basename(place), tmpdir(), 'deep'])
        expect([file, part, bytes.includes(part)]).toEqual([file, part, false]);
    const published = runSchema.parse(JSON.parse(textOf(lastCommit(), 'run.json')));
    const original = await readRun(localRun);
    expect(published.config).toEqual({
      ...original.config,
      model: 'tiny-llama',
      data: ['texts.jsonl'],
      heldout: ['kept back.jsonl'],
    });
    expect(published.provenance.split).toMatch(/^held-out files: kept back\.jsonl(;|$)/);
    expect(published.provenance.data.map(({ sha256 }) => sha256)).toEqual(
      original.provenance.data.map(({ sha256 }) => sha256),
    );
    // Nothing of these is a path.
    for (const file of ['features/cards.json', 'metrics.jsonl', 'sae_weights.safetensors'])
      expect(put[file]!.equals(onDisk(localRun, file))).toBe(true);
  });

  it('has the token in the requests to the hub and nowhere else', async () => {
    const { stdout, stderr } = await run(localRun, name, '--upload');
    expect(stdout + stderr).not.toContain(HUB_TOKEN);
    for (const { host, authorization, path, body } of hub.seen) {
      expect(authorization).toBe(host === 'hub' ? `Bearer ${HUB_TOKEN}` : undefined);
      expect(path + body.toString('latin1')).not.toContain(HUB_TOKEN);
    }
    expect(asked(/^PUT/).length).toBeGreaterThan(1);
  });

  it('opens again, by name and by branch, as the same SAE', async () => {
    await push(localRun);
    await push(hubRun, { revision: 'more/tokens' });
    for (const [id, folder] of [
      [name, localRun],
      [`${name}@more/tokens`, hubRun],
    ] as const) {
      const [ours, theirs] = [await loadSae(folder), await loadSae(id)];
      for (const tensor of ['W_enc', 'b_enc', 'W_dec', 'b_dec'] as const)
        expect([id, tensor, ours[tensor]]).toEqual([id, tensor, theirs[tensor]]);
    }
    expect(hub.repos[`models/${name}`]!.files['sae_weights.safetensors']).toEqual(
      onDisk(localRun, 'sae_weights.safetensors'),
    );
  });

  it('steers from the hub, with the model that its run.json names; eval, which writes, says what to do', async () => {
    await push(hubRun);
    const steer = ['--latent', '3', '--prompt', 'the river', '--max-tokens', '3', '--json'];
    const [there, here] = await Promise.all(
      [name, hubRun].map((sae) => saekit(['generate', '--sae', sae, ...steer], { env: cli })),
    );
    const { sae: _, ...rest } = JSON.parse(there!.stdout) as { sae: string; steered: string };
    // Where it was trained its record vouches for it; what a hub has could be anything until it has seen activations.
    const { selfTest, ...own } = JSON.parse(here!.stdout);
    expect(selfTest).toMatchObject({ state: 'verified', by: 'training' });
    expect({ ...rest, sae: hubRun }).toEqual({ ...own, selfTest: { state: 'unverified', reasons: [] } });
    const { status, stderr } = await saekit(['eval', name], { env: cli });
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/is on the hub\. Copy what is in .* name that/),
    ]);
  });

  it('goes through a proxy', async () => {
    const proxy = await startProxy();
    const env = { ...cli, HTTP_PROXY: proxy.url };
    const { status, stderr } = await saekit(['push', localRun, name, '--upload'], { env });
    await proxy.close();
    expect([status, stderr]).toEqual([0, '']);
    expect(proxy.asked).toEqual(expect.arrayContaining([new URL(hub.url).host, new URL(hub.cdn).host]));
    expect(lastCommit().put['sae_weights.safetensors']).toEqual(onDisk(localRun, 'sae_weights.safetensors'));
  });

  it('may be a run on stored activations; the card says what is not known', async () => {
    const rng = createRng('rows');
    const data = Float32Array.from({ length: 4000 * 8 }, () => rng.normal());
    const rows = join(place, 'deep', 'rows.safetensors');
    writeFileSync(rows, joinChunks(writeSafetensors({ x: { dtype: 'F32', shape: [4000, 8], data } })));
    const folder = join(place, 'runs', 'stored');
    const size = ['--latents', '32', '--k', '4', '--batch-tokens', '256', '--tokens', '2560'];
    const trained = await saekit(['train', '--activations', rows, ...size, '--out', folder], { env: cli });
    expect([trained.status, trained.stderr]).toEqual([0, '']);
    await push(folder);
    const card = textOf(lastCommit(), 'README.md');
    expect(card).toMatch(/Stored activations `rows\.safetensors` \(safetensors\): 4,000 rows of width 8/);
    expect(card).toMatch(/\| FVU ↓ \| \*\*0\.\d+\*\* \[/);
    expect(card).not.toMatch(/undefined|NaN|n\/a|ΔCE|special tokens|Hash of the model|another model than/);
    for (const bytes of Object.values(lastCommit().put)) expect(bytes.includes(basename(place))).toBe(false);
  });

  it('may be an SAE of SAELens without a run, with a smaller card', async () => {
    await push(FOREIGN);
    const { put } = lastCommit();
    expect(Object.keys(put).sort()).toEqual(['README.md', 'cfg.json', 'sae_weights.safetensors']);
    expect(put['cfg.json']).toEqual(onDisk(FOREIGN, 'cfg.json'));
    const card = textOf(lastCommit(), 'README.md');
    expect(card).toMatch(/Not measured on held-out text\./);
    expect(card).not.toMatch(/## (Data|Training|Provenance|Features)|undefined|NaN/);
  });
});

describe('a repository that is there', () => {
  it('gets one more commit; what it has is not sent again, and what no longer belongs to the SAE goes', async () => {
    expect((await push(localRun)).created).toBe(true);
    hub.seen.length = 0;
    expect((await push(localRun, { features: false })).created).toBe(false);
    expect(hub.commits.length).toBe(2);
    expect(lastCommit().removed).toEqual(['features/cards.json']);
    expect(asked(/^PUT/)).toEqual([]);
    expect(Object.keys(hub.repos[`models/${name}`]!.files).sort()).toEqual(
      ['.gitattributes', 'README.md', ...FILES].filter((file) => file !== 'features/cards.json'),
    );
    expect(textOf(lastCommit(), 'README.md')).not.toMatch(/## Features/);
  });

  it('is private when it was made so; a public one is refused', async () => {
    await push(localRun, { private: true });
    expect(hub.repos[`models/${name}`]!.private).toBe(true);
    await push(localRun, { private: true });
    await push(localRun);
    expect(hub.repos[`models/${name}`]!.private).toBe(true);
    expect(hub.commits.length).toBe(3);
    await push(localRun, { repo: 'lab/open' });
    expect(await messageOf(push(localRun, { repo: 'lab/open', private: true }))).toMatch(
      /lab\/open is there and public.*settings\. No commit was made\.$/,
    );
    expect(hub.commits.length).toBe(4);
  });

  it("keeps a person's README.md until told otherwise", async () => {
    const card = 'README.md';
    await push(localRun);
    const repo = (): { files: Record<string, Uint8Array | string> } => hub.repos[`models/${name}`]!;
    const edited = `${textOf(lastCommit(), card)}\nCite us.\n`;
    repo().files[card] = edited;
    expect(await messageOf(push(hubRun))).toMatch(/README\.md that was written or changed.*--card keep/);
    expect(hub.commits.length).toBe(1);
    await push(hubRun, { card: 'keep' });
    expect(repo().files[card]).toBe(edited);
    expect(lastCommit().removed).toEqual([]);
    await push(hubRun, { card: 'replace' });
    expect(String(repo().files[card])).not.toContain('Cite us');
    expect(await messageOf(push(hubRun))).toBe('no error');
  });

  it('has a branch made for it, and main is left as it was', async () => {
    await push(localRun);
    const before = hub.commitOf(`models/${name}`);
    const { url } = await push(FOREIGN, { repo: `${name}@v2` });
    expect(url).toBe(`${hub.url}/${name}/tree/v2`);
    expect(hub.commitOf(`models/${name}`)).toBe(before);
    expect(lastCommit()).toMatchObject({
      branch: 'v2',
      removed: ['run.json', 'eval.json', 'features/cards.json', 'metrics.jsonl'],
    });
    await push(FOREIGN, { revision: 'v2' });
    expect(asked(/^POST .*\/branch\//).length).toBe(1);
  });
});

describe('what goes wrong', () => {
  it('is said before anything is asked, with status 2, when the call is', async () => {
    for (const [args, pattern] of [
      [['no-org'], /"no-org" is no name on the hub\. Expected org\/name/],
      [[`https://huggingface.co/${name}`], /is no name on the hub/],
      [
        [name, '--license', 'My licence'],
        /"My licence" is no identifier of the hub\. Expected one such as apache-2\.0/,
      ],
      [[`${name}@a`, '--revision', 'b'], /names the branch a and --revision b/],
      [[name, '--revision', 'a'.repeat(40)], /is a commit, which cannot be changed/],
      [[name, '--revision', 'a b'], /"a b" is no name of a branch/],
    ] as const) {
      const { status, stderr } = await run(localRun, ...args, '--upload');
      expect([status, stderr]).toEqual([2, expect.stringMatching(pattern)]);
    }
    expect(hub.seen).toEqual([]);
  });

  it('is said of a folder that holds no finished run', async () => {
    const empty = join(place, 'empty');
    mkdirSync(empty, { recursive: true });
    for (const [folder, pattern] of [
      [
        await changedRun({ status: 'interrupted', step: 5 }),
        /not finished: interrupted at step 5 of 10\. .*train --resume/,
      ],
      [await changedRun({ status: 'running' }), /not finished: stopped without saying so.*--resume/],
      [
        await changedRun({}, [
          '.lock',
          JSON.stringify({ pid: process.pid, host: (await import('node:os')).hostname(), since: '' }),
        ]),
        /is being written by process \d+/,
      ],
      [await changedRun({}, ['sae_weights.safetensors', 'x']), /sae_weights\.safetensors/],
      [await changedRun({}, ['eval.json', '{}']), /eval\.json cannot be read.*saekit eval/],
      [join(place, 'deep'), /is no run and no SAE: it holds .*Expected run\.json, or cfg\.json/],
      [empty, /it holds nothing/],
      [join(place, 'none'), /no such folder/],
    ] as const)
      expect(await messageOf(push(folder))).toMatch(pattern);
    expect(hub.seen).toEqual([]);
  });

  it('without a token says how to get one', async () => {
    vi.stubEnv('HF_TOKEN', '');
    expect(await messageOf(push(localRun))).toMatch(
      /no access token\. Make one that may write at .*\/settings\/tokens .*HF_TOKEN.*hf auth login/,
    );
    expect(hub.seen).toEqual([]);
  });

  it('with a wrong token says so, without the token', async () => {
    vi.stubEnv('HF_TOKEN', 'hf_wrong');
    const message = await messageOf(push(localRun));
    expect(message).toMatch(
      /does not accept the access token: Invalid username or password\. .*settings\/tokens.* No commit was made\.$/,
    );
    expect(message).not.toContain('hf_wrong');
  });

  it('without the right to write says who can give it, wherever the hub says no', async () => {
    const answers = {
      status: 403,
      body: JSON.stringify({ error: `You may not, ${HUB_TOKEN}.` }),
      headers: { 'content-type': 'application/json' },
    };
    for (const step of [/repos\/create/, /preupload/, /objects\/batch/, /\/commit\//]) {
      hub.fault = ({ path }) => (step.test(path) ? answers : undefined);
      const message = await messageOf(push(localRun, { repo: `${name}-${names++}` }));
      expect(message).toMatch(
        /^The access token may not write to lab\/\S+: You may not, …\. .*ask lab for it.*No commit was made/,
      );
      expect(message.includes('is empty')).toBe(!step.test('repos/create'));
      expect(message).not.toContain(HUB_TOKEN);
    }
    hub.fault = ({ path }) =>
      path.startsWith('/api/models/')
        ? { ...answers, headers: { 'x-error-code': 'GatedRepo', 'x-error-message': 'Access is restricted' } }
        : undefined;
    expect(await messageOf(push(localRun))).toMatch(/may not write to .*: Access is restricted\./);
    expect(hub.commits).toEqual([]);
  });

  it('on a name that is taken by what the token may not see, says so', async () => {
    await push(localRun, { private: true });
    hub.fault = ({ method }) => (method === 'GET' ? { status: 404 } : undefined);
    expect(await messageOf(push(hubRun))).toMatch(
      /is there, and the access token may not see it\. .*another name/,
    );
    expect(hub.commits.length).toBe(1);
  });

  it('what the hub does not like about the card is passed on', async () => {
    hub.fault = ({ path }) =>
      /\/commit\//.test(path)
        ? { status: 400, headers: { 'x-error-message': '"license" must be one of ...' } }
        : undefined;
    expect(await messageOf(push(localRun, { license: 'nonsense' }))).toMatch(
      /answered 400 .*"license" must be one of \.\.\. No commit was made; lab\/\S+ was, and is empty\.$/,
    );
  });

  it('a storage that fails for a moment is asked again, and progress ends at the whole', async () => {
    let failures = 2;
    hub.fault = ({ method, path }) =>
      method === 'PUT' && failures > 0 && path.includes('part=00001')
        ? { status: failures-- > 1 ? 503 : 500 }
        : undefined;
    const seen: number[] = [];
    let all = 0;
    const onProgress: PushRunOptions['onProgress'] = ({ done, total }) => {
      seen.push(done);
      all = total;
    };
    await push(localRun, { onProgress });
    expect(failures).toBe(0);
    expect(lastCommit().put['sae_weights.safetensors']).toEqual(onDisk(localRun, 'sae_weights.safetensors'));
    expect([seen[0], seen.at(-1)]).toEqual([0, all]);
    expect(Math.max(...seen)).toBe(all);
  });

  it('broken off in the middle leaves nothing behind, and going on sends only the rest', async () => {
    hub.fault = ({ method, path }) =>
      method === 'PUT' && path.includes('part=00002') ? { status: 500 } : undefined;
    expect(await messageOf(push(localRun))).toMatch(
      /^The storage 127\.0\.0\.1:\d+ answered 500\. Try again later\. No commit was made; lab\/\S+ was, and is empty\. Push again; a large file that has arrived whole is not sent a second time\.$/,
    );
    expect(hub.commits).toEqual([]);
    hub.fault = () => undefined;
    expect((await push(localRun)).created).toBe(false);
    expect(hub.commits.length).toBe(1);
  });

  it('without a connection says so; when it breaks at the commit, that its end is not known', async () => {
    hub.fault = ({ path }) => (/\/commit\//.test(path) ? { status: 502 } : undefined);
    expect(await messageOf(push(localRun))).toMatch(
      /answered 502 .*Whether the commit was made is not known: look at http\S+\. Pushing again does no harm\.$/,
    );
    const gone = await startProxy();
    await gone.close();
    vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${new URL(gone.url).port}`);
    expect(await messageOf(push(localRun))).toMatch(
      /127\.0\.0\.1:\d+ was not reached: ECONNREFUSED.* No commit was made\.$/,
    );
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await messageOf(push(localRun))).toMatch(/HF_HUB_OFFLINE is set.*No commit was made/);
  });

  it('stopped by its signal makes no commit and says so', async () => {
    expect(await messageOf(push(localRun, { signal: AbortSignal.abort() }))).toMatch(/^Stopped\. No commit/);
    expect(hub.seen).toEqual([]);
    const controller = new AbortController();
    hub.fault = ({ method }) => {
      if (method === 'PUT') controller.abort();
      return undefined;
    };
    const error = await push(localRun, { signal: controller.signal }).catch((reason: Error) => reason);
    expect(error).toMatchObject({
      name: 'Interrupted',
      message: expect.stringMatching(/^Stopped\. No commit was made; .* Push again/),
    });
    expect(hub.commits).toEqual([]);
  });

  it('Ctrl-C ends with status 130', async () => {
    let stop = (): void => {};
    hub.fault = ({ method }) => {
      if (method === 'PUT') stop();
      return method === 'PUT' ? { status: 503 } : undefined;
    };
    const { status, stderr } = await saekit(['push', localRun, name, '--upload'], {
      env: cli,
      watch: true,
      onOutput: (_, interrupt) => {
        stop = interrupt;
      },
    });
    expect([status, stderr]).toEqual([130, expect.stringMatching(/^Stopped\. No commit was made/)]);
    expect(hub.commits).toEqual([]);
  });
});
