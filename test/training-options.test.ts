// Options of training on the command line: each changes the result, survives Ctrl-C or is refused with what to do.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endOfStep } from '../src/formats/tfevents.ts';
import type { MetricsLine, Run } from '../src/shared/run.ts';
import { readRun, readRunMetrics } from '../src/store/index.ts';
import { saekit } from './fixtures/command-line.ts';
import { changed, createWorkspace, type Workspace } from './fixtures/workspace.ts';

let workspace: Workspace;
let plain: string;
beforeAll(async () => {
  workspace = createWorkspace();
  plain = workspace.newFolder();
  expect((await saekit(workspace.small(plain))).status).toBe(0);
}, 120_000);
afterAll(() => workspace.remove());

const weights = (folder: string): Buffer => readFileSync(join(folder, 'sae_weights.safetensors'));
async function trained(args: readonly string[]): Promise<{ folder: string; run: Run; log: MetricsLine[] }> {
  const folder = workspace.newFolder();
  const { status, stderr } = await saekit([...workspace.small(folder), ...args]);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return { folder, run: await readRun(folder), log: await readRunMetrics(folder) };
}

describe('--multi-topk', () => {
  it('adds its loss and trains other weights', async () => {
    const { folder, log } = await trained(['--multi-topk']);
    const [before] = await readRunMetrics(plain);
    expect(before!.multiTopkFvu).toBeUndefined();
    expect(log.at(-1)!.multiTopkFvu).toBeLessThan(Number(log[0]!.multiTopkFvu));
    expect(log[0]!.loss).toBeGreaterThan(Number(before!.loss));
    expect(weights(folder).equals(weights(plain))).toBe(false);
  }, 60_000);
});

describe('--ema', () => {
  it('exports other weights from the same training', async () => {
    const { folder, log } = await trained(['--ema', '0.9']);
    const before = await readRunMetrics(plain);
    expect(log.map(({ loss }) => loss)).toEqual(before.map(({ loss }) => loss));
    expect(weights(folder).equals(weights(plain))).toBe(false);
  }, 60_000);

  it('is saved on Ctrl-C and goes on with the same bits, with Multi-TopK too', async () => {
    const options = ['--ema', '0.9', '--multi-topk'];
    const whole = workspace.newFolder();
    expect((await saekit([...workspace.small(whole, 200), ...options])).status).toBe(0);
    const stopped = workspace.newFolder();
    let sent = false;
    const interrupted = await saekit([...workspace.small(stopped, 200), ...options], {
      onOutput: (_text, interrupt) => {
        if (sent || !existsSync(join(stopped, 'checkpoints', 'step-20'))) return;
        sent = true;
        interrupt();
      },
      watch: true,
    });
    expect(interrupted.status).toBe(130);
    expect((await saekit(['train', '--resume', stopped])).status).toBe(0);
    expect(weights(stopped).equals(weights(whole))).toBe(true);
  }, 120_000);
});

describe('--pipeline', () => {
  it('says which way the stages ran, and never changes a bit', async () => {
    const folders = { overlap: workspace.newFolder(), alternate: workspace.newFolder() };
    for (const [way, folder] of Object.entries(folders)) {
      const { status, stdout } = await saekit([...workspace.small(folder), '--pipeline', way]);
      expect(status).toBe(0);
      expect(stdout).toMatch(way === 'overlap' ? /SAE \d+ %, overlapping/ : /SAE \d+ %, in turns/);
      expect(weights(folder).equals(weights(plain)), way).toBe(true);
    }
  }, 60_000);
});

describe('--data-seed', () => {
  it('reads other text with the same start; by default it is the seed', async () => {
    const other = await trained(['--data-seed', '5']);
    expect(weights(other.folder).equals(weights(plain))).toBe(false);
    const same = await trained(['--data-seed', '0']);
    expect(weights(same.folder).equals(weights(plain))).toBe(true);
  }, 60_000);
});

describe('--tensorboard', () => {
  const eventFiles = (folder: string): string[] =>
    readdirSync(folder).filter((name) => name.includes('tfevents'));

  it('writes one event per line of metrics, in whole records', async () => {
    const { folder, log } = await trained(['--tensorboard']);
    const [name, ...others] = eventFiles(folder);
    expect(others).toEqual([]);
    expect(eventFiles(plain)).toEqual([]);
    const bytes = new Uint8Array(readFileSync(join(folder, name!)));
    const ends = [0, ...log.map(({ step }) => step)].map((step) => endOfStep(bytes, step));
    expect(new Set(ends).size).toBe(log.length + 1);
    expect(ends.at(-1)).toBe(bytes.length);
  }, 60_000);
});

describe('--log-to', () => {
  it('posts the lines of metrics.jsonl; the token is in no file', async () => {
    const bodies: string[] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        bodies.push(`${request.headers.authorization} ${request.headers['saekit-run']} ${body}`);
        response.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const folder = workspace.newFolder();
    const { status, stdout } = await saekit([...workspace.small(folder), '--log-to', url], {
      env: { SAEKIT_LOG_TOKEN: 'geheim-17' },
    });
    server.close();
    expect(status).toBe(0);
    expect(stdout).toMatch(/\n4 lines of metrics sent\n/);
    const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').trim().split('\n');
    expect(bodies).toEqual(lines.map((line) => `Bearer geheim-17 ${basename(folder)} ${line}`));
    for (const name of readdirSync(folder, { recursive: true, withFileTypes: true }))
      if (name.isFile())
        expect(readFileSync(join(name.parentPath, name.name)).includes('geheim-17'), name.name).toBe(false);
  }, 60_000);

  it('trains to the end when nobody listens, and says what was lost', async () => {
    const folder = workspace.newFolder();
    const { status, stdout } = await saekit([...workspace.small(folder), '--log-to', 'http://127.0.0.1:9/']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/0 lines of metrics sent, 4 lost: .*; all of them are in metrics.jsonl/);
    expect(await readRunMetrics(folder)).toHaveLength(4);
  }, 60_000);

  it('refuses what is no address before it makes the folder', async () => {
    const folder = workspace.newFolder();
    const { status, stderr } = await saekit([...workspace.small(folder), '--log-to', 'nowhere']);
    expect(status).toBe(2);
    expect(stderr).toMatch(/"nowhere" is no http or https URL/);
    expect(existsSync(folder)).toBe(false);
  }, 60_000);
});

describe('--init-from', () => {
  it('goes on where the SAE was, and run.json says which one that was', async () => {
    const { run, log } = await trained(['--init-from', plain, '--seed', '4']);
    const first = (await readRunMetrics(plain))[0]!;
    expect(log[0]!.fvu).toBeLessThan(0.9 * Number(first.fvu));
    const sha256 = createHash('sha256')
      .update(readFileSync(join(plain, 'cfg.json')))
      .update(weights(plain))
      .digest('hex');
    expect(run.provenance.initialSae).toEqual({ path: plain, sha256 });
    expect((await readRun(plain)).provenance.initialSae).toBeUndefined();
  }, 60_000);

  it('refuses an SAE of another size before it makes the folder, and says which flag', async () => {
    const folder = workspace.newFolder();
    const args = [...changed(workspace.small(folder), '--latents', '64'), '--init-from', plain];
    const { status, stderr } = await saekit(args);
    expect(stderr).toMatch(/run-0: .*F = 128, this run has 64. Use --latents 128/);
    expect(status).toBe(2);
    expect(existsSync(folder)).toBe(false);
  }, 60_000);
});
