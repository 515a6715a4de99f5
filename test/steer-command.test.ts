// `saekit generate --steer` with the bundled model and SAEs.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import '../src/platform/node.ts';
import { fromBytes } from '../src/platform/index.ts';
import { loadSae, saveSae } from '../src/sae/index.ts';
import { encodeVector, readVector } from '../src/steer/index.ts';
import { folderWriter } from '../src/store/index.ts';
import { saekit } from './fixtures/command-line.ts';
import { cardsOf, DNA, demoModel, early, GREEK, LATE, late } from './support/demo.ts';

const SAE = late.path;
/** A latent that no card is of. */
const UNKNOWN = [12, 13, 14, 15].find((f) => !cardsOf(LATE).some(({ latent }) => latent === f))!;
const generate = (...args: string[]) =>
  saekit(['generate', '--prompt', 'The meeting will be held', '--max-tokens', '12', ...args]);

describe('vector', () => {
  it('writes a direction from two files of texts, which generate steers with', async () => {
    const work = mkdtempSync(join(tmpdir(), 'saekit-vector-'));
    try {
      const [plus, minus, out] = ['plus.jsonl', 'minus.txt', 'v.safetensors'].map((name) =>
        join(work, name),
      ) as [string, string, string];
      writeFileSync(
        plus,
        '{"text": "Το βιβλίο είναι πάνω στο τραπέζι."}\n{"text": "Δεν ξέρω τι να κάνω."}\n',
      );
      writeFileSync(minus, 'The book is on the table.\nI do not know what to do.\n');
      const sets = ['--positive', plus, '--negative', minus];
      const args = ['--model', 'demo/model', '--hook', LATE, ...sets, '--out', out];
      const made = await saekit(['vector', ...args, '--method', 'probe', '--json']);
      expect(made.status, made.stderr).toBe(0);
      expect(JSON.parse(made.stdout)).toMatchObject({ method: 'probe', positive: '2', negative: '2' });
      const again = await saekit(['vector', ...args]);
      expect([again.status, again.stderr]).toEqual([
        2,
        expect.stringMatching(/is there already. Give a new name/),
      ]);
      // The file says which model it is for.
      const { stdout } = await generate('--temperature', '0', '--steer', `${out}=2`, '--json');
      expect((JSON.parse(stdout) as { with: string }).with).toMatch(/\p{Script=Greek}{3}/u);
      const seen = await saekit(['inspect', out]);
      expect(seen.status, seen.stderr).toBe(0);
      expect(seen.stdout).toMatch(
        new RegExp(`model +demo/model, hash \\w+.*\\n.*hook +${LATE}\\n.*width +${demoModel.D}\\n`),
      );
      const { vector, hook, metadata } = await readVector(fromBytes(readFileSync(out)), out);
      const other = join(work, 'other.safetensors');
      writeFileSync(
        other,
        encodeVector({ vector, hook, metadata: { ...metadata, model_hash: 'a'.repeat(64) } }),
      );
      const refused = await generate('--steer', `${other}=2`);
      expect([refused.status, refused.stderr]).toEqual([
        2,
        expect.stringMatching(/hash aaaa.*--allow-wrong/),
      ]);
      expect((await generate('--steer', `${other}=2`, '--allow-wrong')).status).toBe(0);
      const most = await generate('--steer', `${out}=1.5max`);
      expect([most.status, most.stderr]).toEqual([2, expect.stringMatching(/Give the value without max\./)]);
    } finally {
      rmSync(work, { recursive: true });
    }
  }, 60_000);
});

describe('generate --sae --latent', () => {
  const one = ['--json', '--temperature', '0', '--sae'];
  const latent = ['--latent', String(GREEK)];
  it('says the same as --steer with special tokens, of an SAE that normalises its rows, too, whose decoder rows are of another length', async () => {
    const work = mkdtempSync(join(tmpdir(), 'saekit-latent-'));
    try {
      const sae = await loadSae(SAE);
      const config = { ...sae.config, inputNorm: 'layer' as const };
      const W_dec = sae.W_dec.map((value) => value * 3);
      await saveSae(folderWriter(work), { ...sae, config, W_dec });
      const old = await generate('--model', 'demo/model', ...one, work, ...latent, '--strength', '2');
      expect(old.status, old.stderr).toBe(0);
      const steer = [{ sae: work, latent: GREEK, value: 2, specials: true }];
      writeFileSync(join(work, 'g.json'), JSON.stringify({ model: 'demo/model', temperature: 0, steer }));
      const now = await generate('--json', '--config', join(work, 'g.json'));
      expect(now.status, now.stderr).toBe(0);
      const [a, b] = [JSON.parse(old.stdout), JSON.parse(now.stdout)];
      expect([a.without, a.steered, a.random]).toEqual([b.without, b.with, b.random]);
      expect(a.steered).not.toBe(a.without);
    } finally {
      rmSync(work, { recursive: true });
    }
  }, 60_000);

  it.each([
    [[SAE, '--latent', '9999'], /Latent 9999 is not there/],
    [[SAE, ...latent, '--positions', 'generated'], /--positions and --no-keep-error go with --steer/],
  ] as const)(
    '%j is refused',
    async (args, message) => {
      const { status, stderr } = await generate(...one, ...args);
      expect(stderr).toMatch(message);
      expect(status).toBe(2);
    },
    20_000,
  );
});

describe('generate --steer', () => {
  it('writes the text without, with and with random directions', async () => {
    const written = async (...args: string[]) => {
      const { status, stdout, stderr } = await generate('--json', ...args);
      expect(status, stderr).toBe(0);
      return JSON.parse(stdout) as Record<string, string>;
    };
    const much = await written('--steer', `${SAE}:${DNA}=clamp:2max at generated`, `${SAE}:${GREEK}=scale:1`);
    expect(new Set([much.without, much.with, much.random]).size).toBe(3);
    // Its rule never holds; the SAE stands in place of the activations.
    const ruled = ['--steer', `${SAE}:${DNA}=clamp:60 if 3>1e9`, '--no-keep-error'];
    const spliced = await written(...ruled);
    expect(spliced.without).toBe(much.without);
    expect(spliced.with).not.toBe(much.without);
  }, 60_000);

  it('of another model is refused with the way to go on, and goes on', async () => {
    const work = mkdtempSync(join(tmpdir(), 'saekit-other-'));
    try {
      const other = join(work, 'other');
      cpSync(SAE, other, { recursive: true });
      const cfg = JSON.parse(readFileSync(join(other, 'cfg.json'), 'utf8'));
      cfg.metadata.model_hash = 'a'.repeat(64);
      writeFileSync(join(other, 'cfg.json'), JSON.stringify(cfg));
      const args = ['--model', 'demo/model', '--json', '--steer'];
      const refused = await generate(...args, `${other}:${DNA}=clamp:8`);
      expect([refused.status, refused.stderr]).toEqual([
        2,
        expect.stringMatching(/hash aaaa.*--allow-wrong/),
      ]);
      const [taken, own] = await Promise.all([
        generate('--allow-wrong', ...args, `${other}:${DNA}=clamp:8`),
        generate(...args, `${SAE}:${DNA}=clamp:8`),
      ]);
      expect(taken.status, taken.stderr).toBe(0);
      expect(JSON.parse(taken.stdout).with).toBe(JSON.parse(own.stdout).with);
    } finally {
      rmSync(work, { recursive: true });
    }
  }, 60_000);

  it.each([
    [[`${SAE}:9999=8`], 2, new RegExp(`Latent 9999 is not there.*${LATE}.*0 to ${late.F - 1}`)],
    [['runs/nothing:1=8'], 1, /runs\/nothing: no such folder/],
    [
      [`${SAE}:${UNKNOWN}=2max`],
      2,
      new RegExp(
        `largest activation of latent ${UNKNOWN} .* is not known: its 48 feature cards are of other`,
      ),
    ],
    [[`${early.path}:12=8 if ${SAE}:1>3`], 2, /computed later/],
    [[`${SAE}:12=mean:<|bos|>`], 2, /mean of "<\|bos\|>": all of its 2 tokens are special/],
    [[`${SAE}:12=nan`], 2, /no change "nan"/],
    [[`${SAE}:12=8`, '--sae', SAE, '--latent', '12'], 2, /--sae with --latent, or --steer/],
    [
      [`${SAE}:12=8`, '--strength', '4'],
      2,
      /--strength goes with --sae and --latent: with --steer write it behind/,
    ],
    [[`${SAE}:12=8`, '--positions', 'x'], 2, /--positions: "x" is no place/],
    [
      [`${early.path}:12=8`, '--model', 'test/golden/models/llama-untied'],
      2,
      new RegExp(`width ${demoModel.D}, but .* has width`),
    ],
  ] as const)(
    '%j is refused',
    async (args, code, message) => {
      const { status, stderr } = await generate('--steer', ...args);
      expect(stderr).toMatch(message);
      expect(status).toBe(code);
    },
    20_000,
  );
});
