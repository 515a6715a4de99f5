// What harvest stores, against the slow way: every packed row run alone through runWithCache, positions kept by the rules in words.
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeTinyCorpus, writeTinyModel } from '../../test/fixtures/tiny-model.ts';
import { openCorpus, packRows } from '../data/index.ts';
import { readSafetensors } from '../formats/index.ts';
import { openModel } from '../models/index.ts';
import type { Model } from '../models/types.ts';
import { openFile } from '../platform/node.ts';
import { activationDtypes } from '../shared/activations.ts';
import { type HarvestConfigInput, harvestConfigSchema } from '../shared/harvest.ts';
import { createRng } from '../shared/rng.ts';
import { lockFolder, openActivations, readActivationsManifest, verifyActivations } from '../store/index.ts';
import { type HarvestOptions, type HarvestResult, harvest } from './harvest.ts';
import { type HarvestPlan, requireRoom } from './harvest-plan.ts';
import { inspect } from './inspect.ts';

const T = 24;
const BOS = 256;
const hooks = ['blocks.0.hook_resid_post', 'blocks.1.mlp.hook_post'];
let work = '';
let modelPath = '';
let corpusPath = '';
let model: Model;
let folders = 0;
const newFolder = (): string => join(work, `new-${folders++}`);
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'saekit-harvest-'));
  modelPath = writeTinyModel(join(work, 'model'));
  corpusPath = writeTinyCorpus(join(work, 'corpus.jsonl'), 60);
  model = await openModel(modelPath);
});
afterAll(async () => {
  await model.close();
  await rm(work, { recursive: true });
});

async function run(
  folder: string,
  change: Partial<HarvestConfigInput> = {},
  options: Partial<HarvestOptions> = {},
): Promise<HarvestResult> {
  const config = harvestConfigSchema.parse({
    ...{ model: modelPath, data: [corpusPath], hooks, contextLength: T, dtype: 'f32', rowsPerShard: 300 },
    ...{ tokens: 1500, heldoutTokens: 200, excludeFirst: 2, seed: 3, ...change },
  });
  return await harvest(config, { folder, ...options });
}
const message = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error: Error) => error.message,
  );

/** Every file below a folder and its sha256. */
async function hashes(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found[relative(folder, path)] = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
  }
  return found;
}

describe('stored rows', () => {
  test('are those of runWithCache, in order, of training documents and of held-out ones', async () => {
    const out = newFolder();
    const result = await run(out);
    expect(result).toMatchObject({ status: 'finished' });
    const corpus = await openCorpus({ data: [corpusPath] });
    for (const [part, documents, seed, wanted] of [
      ['', corpus.train, 3, 1500],
      ['heldout', corpus.heldout, '3/heldout', 200],
    ] as const) {
      const packed = packRows({
        ...{ documents, seed, tokenizer: model.tokenizer!, contextLength: T, bosTokenId: BOS },
      });
      const expected = { x: hooks.map(() => [] as number[]), tokens: [] as number[], from: [] as number[] };
      const positions: number[] = [];
      while (expected.tokens.length < wanted) {
        const row = (await packed.next(1))!;
        const { cache } = await model.runWithCache({ ids: row.ids, mask: row.mask, B: 1, T }, hooks);
        for (let t = 2; t < T && expected.tokens.length < wanted; t++) {
          if (row.ids[t] === BOS) continue;
          expected.tokens.push(row.ids[t]!);
          expected.from.push(row.documents[t]!);
          positions.push(t);
          for (const [k, hook] of hooks.entries()) {
            const { data } = cache[hook]!;
            const width = data.length / T;
            expected.x[k]!.push(...data.subarray(t * width, (t + 1) * width));
          }
        }
      }
      for (const [k, hook] of hooks.entries()) {
        const folder = join(out, hook, part);
        const source = await openActivations(folder);
        expect(source.rows).toBe(wanted);
        const x = new Float32Array(wanted * source.D);
        await source.read(0, wanted, x);
        expect(x).toHaveLength(expected.x[k]!.length);
        let worst = 0;
        for (const [i, v] of expected.x[k]!.entries()) worst = Math.max(worst, Math.abs(v - x[i]!));
        expect(worst).toBeLessThan(2e-5);
        expect([...(await source.readTokens!(0, wanted))]).toEqual(expected.tokens);
        await source.close();
        const stored: Record<string, number[]> = { documents: [], positions: [] };
        for (const { file } of (await readActivationsManifest(folder))!.shards) {
          const shard = await readSafetensors(await openFile(join(folder, file)));
          for (const name of ['documents', 'positions'])
            stored[name]!.push(...((await shard.read(name)) as Int32Array));
          await shard.source.close?.();
        }
        expect(stored).toEqual({ documents: expected.from, positions });
      }
    }
    await corpus.close();
  });

  test('of all the data are every token once, held-out documents on their side only', async () => {
    const out = newFolder();
    const [hook] = hooks;
    await run(out, { hooks: [hook!], tokens: 1_000_000, heldoutTokens: 1_000_000, excludeFirst: 0 });
    const texts = (await readFile(corpusPath, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { text: string }).text);
    const isHeld = (text: string): boolean =>
      createHash('sha256').update(text).digest().readUInt32BE(0) % 20 === 0;
    const histogram = (bytes: Iterable<number>): number[] => {
      const count = new Array<number>(256).fill(0);
      for (const byte of bytes) count[byte]!++;
      return count;
    };
    // One token per byte, but for the tokenizer's own numbering of bytes.
    const bytesOf = (held: boolean): number[] =>
      texts.filter((text) => isHeld(text) === held).flatMap((text) => model.tokenizer!.encode(text));
    expect(bytesOf(true).length).toBeGreaterThan(100);
    for (const [folder, held] of [
      [out, false],
      [join(out, 'heldout'), true],
    ] as const) {
      const source = await openActivations(folder);
      const tokens = await source.readTokens!(0, source.rows);
      expect(histogram(tokens)).toEqual(histogram(bytesOf(held)));
      await source.close();
    }
    expect((await readActivationsManifest(out))!.finished).toBe(true);
  });

  test('are read in any order, over the ends of files', async () => {
    const out = newFolder();
    await run(out, { hooks: [hooks[0]!], dtype: 'int8', tokens: 1000, rowsPerShard: 170 });
    const source = await openActivations(out);
    const { D, rows } = source;
    const all = new Float32Array(rows * D);
    for (let i = 0; i < rows; i++) await source.read(i, 1, all.subarray(i * D, (i + 1) * D));
    await fc.assert(
      fc.asyncProperty(fc.nat(rows), fc.nat(rows), async (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        const part = new Float32Array((end - start) * D);
        await source.read(start, end - start, part);
        expect(part).toEqual(all.slice(start * D, end * D));
      }),
    );
    await source.close();
  });
});

test.each(activationDtypes)(
  '%s: a harvest that is stopped again and again has the files of one that is not',
  async (dtype) => {
    const change = { dtype, tokens: 1200, rowsPerShard: 170 };
    const whole = newFolder();
    await run(whole, change);
    const rng = createRng(dtype);
    const out = newFolder();
    let stops = 0;
    for (;;) {
      const controller = new AbortController();
      // Before the first model run, too.
      let runs = rng.int(5);
      if (runs === 0) controller.abort(new Error('no reading is going on here'));
      const { status } = await run(out, change, {
        signal: controller.signal,
        onProgress: () => {
          if (--runs === 0) controller.abort();
        },
      }).catch((error: Error) => {
        expect(error.message).toBe('no reading is going on here');
        return { status: 'interrupted' };
      });
      if (status === 'finished') break;
      stops++;
    }
    expect(stops).toBeGreaterThan(3);
    expect(await hashes(out)).toEqual(await hashes(whole));
    for (const hook of hooks) await verifyActivations(join(out, hook));
  },
);

test('hooks that were stopped at different rows go on together; finished ones stay, new ones join', async () => {
  const whole = newFolder();
  await run(whole);
  const out = newFolder();
  const [first, second] = hooks.map((hook) => join(out, hook));
  await run(out, { hooks: [hooks[0]!, 'blocks.0.hook_resid_pre'], tokens: 1500 });
  const early = await hashes(first!);
  await rm(join(out, 'blocks.0.hook_resid_pre'), { recursive: true });
  await run(out);
  expect(await hashes(out)).toEqual(await hashes(whole));
  expect(await hashes(first!)).toEqual(early);
  // As after a kill between the two hooks' first files.
  for (const [folder, shards] of [
    [first!, 3],
    [second!, 1],
  ] as const)
    await goBack(folder, shards);
  await run(out);
  expect(await hashes(out)).toEqual(await hashes(whole));
});

/** Brings the training rows of a folder back to its first `shards` files, with the manifest that a harvest stopped there has. */
async function goBack(folder: string, shards: number): Promise<void> {
  const stopped = newFolder();
  const controller = new AbortController();
  const { origin } = (await readActivationsManifest(folder))!;
  const rows = shards * origin.rowsPerShard;
  await run(
    stopped,
    { hooks: [origin.hook] },
    {
      signal: controller.signal,
      onProgress: (done) => {
        if (done >= 200 + rows) controller.abort();
      },
    },
  );
  await rm(folder, { recursive: true });
  await cp(stopped, folder, { recursive: true });
  expect((await readActivationsManifest(folder))!.shards).toHaveLength(shards);
}

test('who opens a folder gets its training rows, and where its held-out rows lie', async () => {
  const out = newFolder();
  await run(out, { hooks: [hooks[0]!] });
  const source = await openActivations(out);
  expect(source).toMatchObject({ rows: 1500, meta: { part: 'train', hook: hooks[0] } });
  const heldout = await openActivations(source.heldout!);
  expect(heldout).toMatchObject({ rows: 200, meta: { part: 'heldout' } });
  expect(heldout.heldout).toBeUndefined();
  const byName = await openActivations(`${out}#heldout`);
  expect(byName.fingerprint).toBe(heldout.fingerprint);
  for (const one of [source, heldout, byName]) await one.close();

  // Held-out rows of other data beside training rows would be a leak.
  const other = newFolder();
  await run(other, { hooks: [hooks[0]!], data: [writeTinyCorpus(join(work, 'other.jsonl'), 40)] });
  await rm(join(out, 'heldout'), { recursive: true });
  await cp(join(other, 'heldout'), join(out, 'heldout'), { recursive: true });
  expect(await message(openActivations(out))).toMatch(
    /heldout holds rows of another model, hook or data than/,
  );
});

test('a mixture is harvested until each part was read once, by its weights', async () => {
  const out = newFolder();
  const small = writeTinyCorpus(join(work, 'small.jsonl'), 20);
  const weights = { hooks: [hooks[0]!], excludeFirst: 0, heldoutTokens: 0, tokens: 1_000_000 };
  await run(out, { ...weights, data: [`${corpusPath}=0.5`, `${small}=0.5`] });
  const manifest = (await readActivationsManifest(out))!;
  const { rows } = manifest;
  await run(newFolder(), { ...weights });
  const alone = (await readActivationsManifest(join(work, `new-${folders - 1}`)))!.rows;
  // The small part comes again until the large one is through; both have half of the rows.
  expect(rows / alone).toBeGreaterThan(1.9);
  expect(rows / alone).toBeLessThan(2.2);
  expect(manifest.origin.documents).toMatch(/mixed 0\.5:0\.5/);
});

describe('refused', () => {
  test('while another process writes, and what is another harvest, a hook folder or a heap of files', async () => {
    const out = newFolder();
    await run(out, { hooks: [hooks[0]!] });
    const unlock = await lockFolder(out);
    expect(await message(run(out))).toMatch(/is being written by this process/);
    expect(await inspect(out)).toMatchObject({ kind: 'harvest', writer: process.pid });
    await unlock();
    expect(await message(run(out))).toMatch(/holds activations of one hook, and 2 need a folder each/);
    expect(await message(run(out, { hooks: [hooks[0]!], textField: 'id' }))).toMatch(/different .*documents/);
    expect(await message(run(out, { hooks: [hooks[0]!], seed: 4 }))).toMatch(/different seed/);
    const full = newFolder();
    await cp(modelPath, full, { recursive: true });
    expect(await message(run(full))).toMatch(/is not empty \(config\.json, .*--out/);
    expect(await message(run(full, { hooks: [hooks[0]!] }))).toMatch(/is not empty \(config\.json, .*--out/);
    expect((await readdir(full)).sort()).toEqual((await readdir(modelPath)).sort());
  });

  test('hooks that are not there or no vector per token, a context that is too long, rows that no disk holds', async () => {
    const out = newFolder();
    expect(await message(run(out, { hooks: ['blocks.1.hook_resid_psot'] }))).toMatch(
      /Nearest: blocks\.1\.hook_resid_post/,
    );
    expect(await message(run(out, { hooks: ['blocks.*.attn.hook_pattern'] }))).toMatch(
      /one vector per token, \[B,T,D\]/,
    );
    expect(await message(run(out, { contextLength: 65 }))).toMatch(/reads at most 64 positions/);
    expect(await message(run(out, { tokens: 1e15 }))).toMatch(
      /\d+\.0 GB are needed, [\d.]+ GB are free on its disk: room for about \d+ rows/,
    );
    const plan = { folder: out, bytes: 12e6, free: 6e6, tokens: 900, heldoutTokens: 100 };
    expect(() => requireRoom(plan as HarvestPlan)).toThrow(
      /12 MB are needed, 6 MB are free .* about 500 rows/,
    );
    expect(await message(run(out, { excludeFirst: 24 }))).toMatch(/leaves nothing of rows of 24 positions/);
    await expect(readdir(out)).rejects.toThrow('ENOENT');
  });

  test('data of which no token is kept', async () => {
    const file = join(work, 'short.txt');
    await writeFile(file, 'a<|endoftext|>b');
    expect(await message(run(newFolder(), { data: [file], heldoutTokens: 0, excludeFirst: 20 }))).toMatch(
      /leave no token to store.*excludeFirst 20/,
    );
  });
});
