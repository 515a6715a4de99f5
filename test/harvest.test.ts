// saekit harvest as a person meets it: stopped and killed at any moment, a full disk, numbers that cannot be stored.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { joinChunks, writeSafetensors } from '../src/formats/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { inspect } from '../src/workflows/index.ts';
import { saekit } from './fixtures/command-line.ts';
import { tinyTensors, writeTinyCorpus, writeTinyModel } from './fixtures/tiny-model.ts';
import { changed, createWorkspace, type Workspace } from './fixtures/workspace.ts';
import { root } from './repository.ts';

let workspace: Workspace;
let corpus: string;
beforeAll(() => {
  workspace = createWorkspace();
  corpus = writeTinyCorpus(join(workspace.path, 'long.jsonl'), 500);
}, 120_000);
afterAll(() => workspace.remove());

const hooks = ['blocks.0.hook_resid_post', 'blocks.1.hook_resid_post'];
/** 24 files at each of two hooks. */
const harvest = (out: string): string[] => [
  ...[
    'harvest',
    '--model',
    workspace.model,
    '--data',
    corpus,
    '--out',
    out,
    '--hooks',
    'blocks.*.hook_resid_post',
  ],
  ...['--tokens', '10k', '--heldout-tokens', '2000', '--rows-per-shard', '500', '--dtype', 'int8'],
];

/** Every file below a folder and its sha256. */
function hashes(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(folder, name);
    if (statSync(path).isFile()) found[name] = createHash('sha256').update(readFileSync(path)).digest('hex');
  }
  return found;
}
/** Names only: files come and go while they are counted. */
const files = (folder: string): number =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
        name.endsWith('.safetensors'),
      ).length
    : 0;

/** Runs the command line and sends a signal some milliseconds after `when`; resolves with its exit status, or the signal it died of. */
function stopped(
  args: readonly string[],
  { signal, when, delay }: { signal: NodeJS.Signals; when: () => boolean; delay: number },
): Promise<{ end: number | NodeJS.Signals | null; stderr: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, 'dist', 'cli', 'main.js'), ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const timer = setInterval(() => {
      if (!when()) return;
      clearInterval(timer);
      setTimeout(() => child.kill(signal), delay);
    }, 3);
    child.on('close', (status, died) => {
      clearInterval(timer);
      resolve({ end: status ?? died, stderr });
    });
  });
}

it('killed or interrupted anywhere, the same command goes on to the same bytes', async () => {
  const [whole, out] = [workspace.newFolder(), workspace.newFolder()];
  expect((await saekit(harvest(whole))).status).toBe(0);
  expect(files(whole)).toBe(48);
  const rng = createRng('kills');
  const ends: unknown[] = [];
  for (let i = 0; i < 5; i++) {
    const until = files(out) + 1 + rng.int(8);
    const signal = i % 3 === 2 ? 'SIGINT' : 'SIGKILL';
    const when = (): boolean => files(out) >= until;
    const { end, stderr } = await stopped(harvest(out), { signal, when, delay: rng.int(40) });
    ends.push(end);
    if (end === 130)
      expect(stderr).toMatch(/Stopped with [\d,]+ rows for training and 2,000 held out, at each of 2 hooks/);
    // Whatever the manifests count is whole.
    expect(await inspect(out, { verify: true })).toMatchObject({ kind: 'harvest', writer: undefined });
  }
  expect(ends).toEqual(['SIGKILL', 'SIGKILL', 130, 'SIGKILL', 'SIGKILL']);
  const last = await saekit([...harvest(out), '--json']);
  expect(last.stderr).toMatch(/needed beyond what is there/);
  expect(JSON.parse(last.stdout)).toMatchObject({
    status: 'finished',
    hooks: hooks.map((hook) => ({ hook, D: 32, rows: 10_000, heldoutRows: 2000 })),
  });
  expect(hashes(out)).toEqual(hashes(whole));
  const again = await saekit(harvest(out));
  expect(again.stdout).toMatch(/at each of 2 hooks, finished earlier/);
}, 120_000);

it('says what is in a folder, and which file is damaged', async () => {
  const out = workspace.newFolder();
  const small = changed(changed(harvest(out), '--hooks', hooks[0]!), '--tokens', '1500');
  const made = await saekit(small);
  expect(made.stdout).toMatch(
    /rows +1,500 for training and 2,000 held out, 48 bytes each \(int8\), context 64/,
  );
  expect(made.stdout).toMatch(/disk +[\d.]+ [kM]B needed, [\d.]+ [MG]B free/);
  const shown = await saekit(['inspect', out, '--verify']);
  expect(shown.stdout).toMatch(/state +finished/);
  expect(shown.stdout).toMatch(/checksums +7 files, 17\d kB: all as they were written/);
  expect(shown.stdout).toMatch(/\. +training +1,500 +32 +int8 +3, 7\d\.\d kB/);
  expect(shown.stdout).toMatch(/heldout +held out +2,000 +32 +int8 +4, 9\d\.\d kB/);
  const shard = join(out, 'heldout', 'shard-00002.safetensors');
  const bytes = readFileSync(shard);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(shard, bytes);
  const damaged = await saekit(['inspect', out, '--verify']);
  expect(damaged.status).toBe(1);
  expect(damaged.stderr).toMatch(/Checksum differs .*shard-00002\.safetensors \(rows 1000 to 1499 of 2000\)/);
  truncateSync(join(out, 'shard-00001.safetensors'), 700);
  expect((await saekit(['inspect', out])).stderr).toMatch(
    /shard-00001\.safetensors \(rows 500 to 999 of 1500\) has 700 bytes.*cut off/,
  );
  rmSync(join(out, 'shard-00001.safetensors'));
  expect((await saekit(['inspect', out])).stderr).toMatch(/\(rows 500 to 999 of 1500\) is missing/);
  expect((await saekit(['inspect', corpus, '--verify'])).status).toBe(2);
}, 60_000);

it('shows activations of other programs', async () => {
  const npy = join(root, 'test', 'golden', 'activations', 'npy', 'fortran.npy');
  expect((await saekit(['inspect', npy])).stdout).toMatch(
    /format +npy\nrows +20 of width 6, without token ids\nsample +20 rows: mean \|x\| 11\.09, largest 8\.000/,
  );
  const cut = join(workspace.path, 'cut.npy');
  writeFileSync(cut, readFileSync(npy).subarray(0, 400));
  const { status, stderr } = await saekit(['inspect', cut]);
  expect(status).toBe(1);
  expect(stderr).toMatch(/cut\.npy: truncated: F32 \[20, 6\] ends at byte 608, the file has 400/);
}, 60_000);

describe('numbers that cannot be stored', () => {
  const modelWith = (change: (tensors: ReturnType<typeof tinyTensors>) => void): string => {
    const folder = writeTinyModel(workspace.newFolder());
    const tensors = tinyTensors();
    change(tensors);
    writeFileSync(join(folder, 'model.safetensors'), joinChunks(writeSafetensors(tensors)));
    return folder;
  };
  /** Documents of which one has a "~", whose embedding is filled with this. */
  const withTilde = (out: string, value: number, dtype: string): string[] => {
    const file = join(workspace.path, `tilde-${dtype}.jsonl`);
    const lines = readFileSync(corpus, 'utf8').trim().split('\n').slice(0, 60);
    writeFileSync(file, [...lines, JSON.stringify({ id: 'odd', text: 'rivers, a ~ and stones' })].join('\n'));
    const model = modelWith((tensors) =>
      tensors.get('model.embed_tokens.weight')!.data.fill(value, 126 * 32, 127 * 32),
    );
    let args = changed(changed(harvest(out), '--model', model), '--data', file);
    args = changed(changed(args, '--dtype', dtype), '--heldout-tokens', '0');
    return args;
  };

  it('NaN: names hook, document and position', async () => {
    const { status, stderr } = await saekit(withTilde(workspace.newFolder(), Number.NaN, 'bf16'));
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /Activation 0 at blocks\.0\.hook_resid_post is NaN \(document odd, position \d+ of its row/,
    );
  }, 60_000);

  it('beyond float16: names hook, document and position, and bf16 holds it', async () => {
    const out = workspace.newFolder();
    const { status, stderr } = await saekit(withTilde(out, 70_000, 'f16'));
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /blocks\.0\.hook_resid_post, document odd, position \d+ of its row: Activation \d+ is \d{5,}[\d.]*, beyond float16, .*--dtype bf16/,
    );
    expect((await saekit(withTilde(workspace.newFolder(), 70_000, 'bf16'))).status).toBe(0);
  }, 60_000);
});

it('a disk that fills up: says so, and the same command goes on when there is room', async () => {
  const [whole, out] = [workspace.newFolder(), workspace.newFolder()];
  const args = changed(harvest(out), '--tokens', '5000');
  const { status, stderr } = await saekit(args, {
    preload: [pathToFileURL(join(root, 'test', 'fixtures', 'full-disk.mjs')).href],
    env: { FULL_DISK_UNDER: out, FULL_DISK_AFTER: '400000' },
  });
  expect(status).toBe(1);
  expect(stderr).toMatch(/No space left on the disk while writing shard-\d+\.safetensors to .* needed/);
  expect(files(out)).toBeGreaterThan(8);
  expect((await saekit(args)).status).toBe(0);
  expect((await saekit(changed(args, '--out', whole))).status).toBe(0);
  expect(hashes(out)).toEqual(hashes(whole));
}, 60_000);
