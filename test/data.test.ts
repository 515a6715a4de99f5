// What a person says about data on the command line reaches the rows that are trained on.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Run } from '../src/index.ts';
import { saekit } from './fixtures/command-line.ts';
import { changed, createWorkspace, type Workspace } from './fixtures/workspace.ts';

let workspace: Workspace;
let work: string;
beforeAll(() => {
  workspace = createWorkspace();
  work = workspace.path;
}, 120_000);
afterAll(() => workspace.remove());
const table = fileURLToPath(new URL('golden/data/grouped.parquet', import.meta.url));

const weights = (run: string): string => readFileSync(join(run, 'sae_weights.safetensors'), 'hex');
const runOf = (run: string): Run => JSON.parse(readFileSync(join(run, 'run.json'), 'utf8')) as Run;

/** Six steps; the folder. */
async function train(flags: readonly string[], data?: string): Promise<string> {
  const out = workspace.newFolder();
  const args = workspace.small(out, 6);
  const done = await saekit([...(data === undefined ? args : changed(args, '--data', data)), ...flags]);
  expect(done.stderr).toBe('');
  expect(done.status).toBe(0);
  return out;
}

describe('tokenize', () => {
  it('gives the rows that train packs itself: the same SAE, bit for bit, and the same evaluation tokens', async () => {
    const tokens = join(work, 'tokens');
    const { model, corpus } = workspace;
    const written = await saekit(['tokenize', '--model', model, '--data', corpus, '--out', tokens, '--json']);
    expect(written.status).toBe(0);
    const manifest = JSON.parse(written.stdout) as {
      train: { tokens: number; rows: number };
      contextLength: number;
    };
    const seen = await saekit(['inspect', tokens]);
    const [tokenCount, rows] = [manifest.train.tokens, manifest.train.rows].map((n) =>
      n.toLocaleString('en'),
    );
    expect(seen.stdout).toContain(`${rows} rows, ${tokenCount} tokens`);
    expect(seen.stdout).toMatch(/tokenizer +\S+, sha256 \w{12}…\n.*row +64 positions/);
    const long = ['--out', join(work, 'long'), '--context-length', '96'];
    const longer = await saekit(['tokenize', '--model', model, '--data', corpus, ...long]);
    expect([longer.status, longer.stdout]).toEqual([
      0,
      expect.stringMatching(/Rows of 96 tokens are longer than the 64/),
    ]);
    expect(manifest.contextLength).toBe(64);
    expect(manifest.train.tokens).toBeGreaterThan(6 * 256 + 1024);
    const onText = await train([]);
    const onTokens = await train([], tokens);
    expect(weights(onTokens)).toBe(weights(onText));
    expect(runOf(onTokens).provenance.split).toBe(runOf(onText).provenance.split);
    expect((await saekit(['eval', onTokens, '--max-tokens', '300'])).status).toBe(0);

    const short = join(work, 'short');
    await saekit(['tokenize', '--model', model, '--data', corpus, '--out', short, '--context-length', '32']);
    const taken = await train([], short);
    expect(runOf(taken).config.contextLength).toBe(32);
    const wrong = changed(workspace.small(workspace.newFolder()), '--data', short);
    expect((await saekit([...wrong, '--context-length', '16'])).stderr).toMatch(
      /rows of 32 positions, and 16 are/,
    );
    expect((await saekit(['tokenize', '--model', model, '--data', corpus])).status).toBe(2);
    const mixed = ['tokenize', '--model', model, '--data', `${corpus}=1`, '--out', join(work, 'mixed')];
    expect((await saekit(mixed)).stderr).toMatch(/tokenize its parts one by one/);
  }, 60_000);
});

describe('conversations', () => {
  it('are written with the template of the model; --roles trains on other rows, --text-field names the column', async () => {
    const model = join(work, 'chat-model');
    cpSync(workspace.model, model, { recursive: true });
    const template =
      '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == "assistant" %}{{ eos_token }}{% endif %}\n{% endfor %}';
    const chats = Array.from({ length: 300 }, (_, i) => ({
      chat: [
        { from: 'human', value: `How much is ${i} and one, and what else do you know of it?` },
        { from: 'gpt', value: `It is ${i + 1}, which comes after ${i} in the order of numbers.` },
      ],
    }));
    const data = join(work, 'chats.jsonl');
    writeFileSync(data, chats.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const args = ['--model', model, '--text-field', 'chat'];
    const without = workspace.small(workspace.newFolder(), 6);
    const plain = await saekit([...changed(without, '--data', data), ...args]);
    expect(plain.stderr).toMatch(/chats\.jsonl.*no chat template\. Put chat_template\.jinja/);
    writeFileSync(join(model, 'chat_template.jinja'), template);
    const all = await train(args, data);
    const assistant = await train([...args, '--roles', 'assistant'], data);
    expect(runOf(assistant).config.roles).toEqual(['assistant']);
    expect(weights(assistant)).not.toBe(weights(all));
    const both = await train([...args, '--roles', 'user', 'assistant'], data);
    expect(weights(both)).not.toBe(weights(all));
    const none = changed(workspace.small(workspace.newFolder()), '--data', data);
    expect((await saekit([...none, ...args, '--roles', 'assistent'])).stderr).toMatch(
      /no role "assistent".*Did you mean "assistant"/,
    );
    const text = workspace.small(workspace.newFolder());
    expect((await saekit([...text, '--roles', 'user'])).stderr).toMatch(/--roles user is of conversations/);
  }, 60_000);
});

describe('Parquet and mixtures', () => {
  it('--stream reads by row group, --keep-near-duplicates keeps what is left out otherwise, weights mix', async () => {
    const scanned = await train([], table);
    const streamed = await train(['--stream'], table);
    expect(runOf(scanned).provenance.split).toMatch(/\d+ training documents left out as near-duplicates/);
    expect(runOf(streamed).provenance.split).toMatch(/read as training goes on/);
    expect(runOf(streamed).provenance.data[0]!.sha256).toMatch(/^footer:/);
    expect(weights(streamed)).not.toBe(weights(scanned));
    const kept = await train(['--keep-near-duplicates'], table);
    expect(runOf(kept).provenance.split).not.toMatch(/near-duplicates/);
    expect(weights(kept)).not.toBe(weights(scanned));
    const text = `${workspace.corpus}=0.3`;
    const out = workspace.newFolder();
    const mixed = await saekit([...changed(workspace.small(out, 6), '--data', text), `${table}=0.7`]);
    expect(mixed.status).toBe(2);
    const args = workspace
      .small(out, 6)
      .flatMap((word) => (word === workspace.corpus ? [text, `${table}=0.7`] : [word]));
    expect((await saekit(args)).status).toBe(0);
    expect(runOf(out).provenance.data).toHaveLength(2);
    expect(weights(out)).not.toBe(weights(scanned));
  }, 60_000);
});
