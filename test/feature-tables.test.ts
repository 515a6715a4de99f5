// saekit index against a slow pass over the same text: what every latent does is counted again from the codes of all tokens.
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parquetReadObjects } from 'hyparquet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { joinChunks, writeSafetensors } from '../src/formats/index.ts';
import * as library from '../src/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { saekit } from './fixtures/command-line.ts';
import { writeTinyCorpus, writeTinyModel } from './fixtures/tiny-model.ts';

const HOOK = 'blocks.0.hook_resid_post';
const T = 32;
const F = 96;
const TOKENS = 3000;
let work: string;
let model: library.Model;
let sae: library.Sae;
let tables: library.FeatureTables;
let config: library.IndexConfig;
/** Every token: its codes, or undefined where it does not count. */
let truth: (Map<number, number> | undefined)[];
let text: Awaited<ReturnType<library.FeatureTables['text']>>;
let documents: library.DocumentSet;
let corpus: library.Corpus;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'saekit-index-'));
  const modelPath = writeTinyModel(join(work, 'model'));
  const data = [writeTinyCorpus(join(work, 'corpus.jsonl'))];
  model = await library.openModel(modelPath, { threads: 1 });
  const { D } = model.info;
  const rng = createRng('an SAE to index');
  const normal = (n: number) => Float32Array.from({ length: n }, () => rng.normal());
  const metadata = { hook_name: HOOK, context_size: T };
  sae = {
    config: { architecture: 'topk', D, F, K: 8, metadata },
    ...{ W_enc: normal(F * D), b_enc: new Float32Array(F), W_dec: normal(F * D), b_dec: new Float32Array(D) },
  };
  await library.saveSae(library.folderWriter(join(work, 'sae')), sae);
  config = library.indexConfigSchema.parse({
    ...{ sae: join(work, 'sae'), model: modelPath, data, maxTokens: TOKENS, out: join(work, 'tables') },
    // Random weights explain nothing, and are indexed like others.
    allowWrong: true,
  });
  await library.indexSae(config);
  tables = await library.openFeatureTables(join(work, 'tables'));

  corpus = await library.openCorpus({ data, heldout: data });
  documents = corpus.heldout;
  text = await tables.text(0, tables.manifest.positions);
  const mask = Uint8Array.from(text.documents, (d) => (d < 0 ? 0 : 1));
  const special = new Set(model.tokenizer!.specialIds);
  truth = new Array(text.ids.length);
  let counted = 0;
  for (let row = 0; row < text.ids.length; row += 8 * T) {
    const ids = text.ids.slice(row, row + 8 * T);
    const { cache } = await model.run(
      { ids, mask: mask.slice(row, row + 8 * T), B: ids.length / T, T },
      { hooks: [HOOK] },
    );
    const { K, values, indices } = await library.encode(sae, cache[HOOK]!.data as Float32Array);
    for (let i = 0; i < ids.length; i++) {
      if (mask[row + i] === 0 || special.has(ids[i]!) || counted === TOKENS) continue;
      counted++;
      const codes = Array.from({ length: K }, (_, k) => [indices[i * K + k]!, values[i * K + k]!] as const);
      truth[row + i] = new Map(codes.filter(([, value]) => value > 0));
    }
  }
}, 60_000);
afterAll(async () => {
  await tables.close();
  await model.close();
  await corpus.close();
  rmSync(work, { recursive: true });
});

/** Places and values of a latent, strongest first. */
const firings = (latent: number): { at: number; value: number }[] =>
  truth
    .flatMap((codes, at) => (codes?.has(latent) ? [{ at, value: codes.get(latent)! }] : []))
    .sort((a, b) => b.value - a.value || a.at - b.at);

describe('feature tables', () => {
  it('hold the text that was read: the documents in whole, their own characters', async () => {
    expect(tables.manifest.tokens).toBe(TOKENS);
    for (const at of [1, 70, 500]) {
      const { text: own } = await documents.get(text.documents[at]!);
      const [string] = model.tokenizer!.tokenStrings([text.ids[at]!]);
      if (text.ends[at]! > text.starts[at]!) expect(own.slice(text.starts[at], text.ends[at])).toBe(string);
    }
  });

  it('count what a slow pass counts, for every latent', async () => {
    for (let latent = 0; latent < F; latent++) {
      const slow = firings(latent);
      const row = await tables.latent(latent);
      expect(row.latent).toBe(latent);
      // A latent at the edge of the top K may come and go with the last bit of a product.
      expect(Math.abs(row.fired - slow.length)).toBeLessThanOrEqual(1);
      expect(row.density).toBeCloseTo(row.fired / TOKENS, 12);
      if (slow.length > 0) expect(row.max).toBeCloseTo(slow[0]!.value, 4);
      const { values, at } = await tables.activations(latent);
      expect(values).toHaveLength(row.fired);
      if (row.fired === slow.length) {
        const inText = slow.toSorted((a, b) => a.at - b.at);
        expect([...at]).toEqual(inText.map((f) => f.at));
        for (const [i, { value }] of inText.entries()) expect(values[i]).toBeCloseTo(value, 4);
      }
    }
  });

  it('show values around a place, zero where the latent does not fire', async () => {
    const { latent } = await busiest();
    const slow = new Map(firings(latent).map(({ at, value }) => [at, value]));
    const found = await tables.valuesAt(latent, 40, 104);
    for (const [i, value] of found.entries()) expect(value).toBeCloseTo(slow.get(40 + i) ?? 0, 4);
  });

  it('give places that are what their kind says', async () => {
    const { latent } = await busiest();
    const examples = await tables.examples(latent);
    const slow = new Map(firings(latent).map(({ at, value }) => [at, value]));
    expect(new Set(examples.map(({ kind }) => kind))).toEqual(
      new Set(['top', 'decile', 'interval', 'random', 'near_miss']),
    );
    const tokens = new Set([...slow.keys()].map((at) => text.ids[at]));
    for (const { kind, at, value } of examples)
      if (kind === 'near_miss') {
        expect([value, slow.has(at), tokens.has(text.ids[at]), truth[at] !== undefined]).toEqual([
          0,
          false,
          true,
          true,
        ]);
      } else expect(value).toBeCloseTo(slow.get(at)!, 4);
    expect(examples.find(({ kind }) => kind === 'top')!.at).toBe(firings(latent)[0]!.at);
  });

  it('rate groups as counting by document does', async () => {
    const { latent } = await busiest();
    const groups = await tables.groups(latent);
    expect(groups.map(({ value }) => value).sort()).toEqual(['dna', 'json', 'prose']);
    for (const { column, value, tokens, fired, rate, rate_rest, p, q } of groups) {
      expect(column).toBe('register');
      // What is not tested does not count among the tests.
      expect(q === null).toBe(p === null);
      if (p !== null) expect(q).toBeGreaterThanOrEqual(p);
      const inGroup = await Promise.all(
        truth.map(
          async (codes, at) => codes && (await documents.get(text.documents[at]!)).register === value,
        ),
      );
      const n = inGroup.filter(Boolean).length;
      const y = firings(latent).filter(({ at }) => inGroup[at]).length;
      expect([tokens, fired]).toEqual([n, y]);
      expect(rate).toBeCloseTo(y / n, 12);
      expect(rate_rest).toBeCloseTo((firings(latent).length - y) / (TOKENS - n), 12);
    }
  });

  it('name the output tokens and the neighbours that the library names', async () => {
    const row = await tables.latent(5);
    const [effects] = await library.logitEffects(model, sae, [5], { tokens: 12 });
    expect(row.raises).toEqual(effects!.raises.map(({ id }) => id));
    for (const [i, { effect }] of effects!.raises.entries()) expect(row.raises_by[i]).toBeCloseTo(effect, 3);
    expect(row.lowers).toEqual(effects!.lowers.map(({ id }) => id));
    expect(row.lowers_texts).toEqual(effects!.lowers.map(({ token }) => token));
    const { D } = sae.config;
    const unit = (f: number) => {
      const d = sae.W_dec.subarray(f * D, (f + 1) * D);
      return d.map((v) => v / Math.hypot(...d));
    };
    const nearest = Array.from({ length: F }, (_, g) => g)
      .filter((g) => g !== 5)
      .map((g) => ({ g, cos: unit(5).reduce((sum, v, i) => sum + v * unit(g)[i]!, 0) }))
      .sort((a, b) => b.cos - a.cos);
    expect(row.neighbours).toEqual(nearest.slice(0, 12).map(({ g }) => g));
  });

  it('are read in columns, and as any reader of Parquet reads them', async () => {
    const { latent, fired } = await tables.columns(['latent', 'fired']);
    expect([...latent]).toEqual(Array.from({ length: F }, (_, f) => f));
    const { buffer, byteOffset, byteLength } = readFileSync(join(work, 'tables', 'latents.parquet'));
    const rows = await parquetReadObjects({ file: buffer.slice(byteOffset, byteOffset + byteLength) });
    expect(rows.map((row) => row.fired)).toEqual([...fired]);
    expect(rows[5]!.raises).toEqual((await tables.latent(5)).raises);
  });

  it('of the first version, which had no intervals, are read', async () => {
    const out = join(work, 'first-version');
    cpSync(join(work, 'tables'), out, { recursive: true });
    const manifest = JSON.parse(readFileSync(join(out, 'index.json'), 'utf8'));
    expect(manifest.schemaVersion).toBe(2);
    writeFileSync(join(out, 'index.json'), JSON.stringify({ ...manifest, schemaVersion: 1 }));
    const first = await library.openFeatureTables(out);
    expect(first.manifest).toEqual(manifest);
    expect(await first.examples(5)).toEqual(await tables.examples(5));
    await first.close();
    writeFileSync(join(out, 'index.json'), JSON.stringify({ ...manifest, schemaVersion: 3 }));
    await expect(library.openFeatureTables(out)).rejects.toThrow('Update saekit');
  });

  it('are the same after a stop, which leaves no table', async () => {
    const out = join(work, 'stopped');
    for (const stopAt of ['tokens', 'latents']) {
      const controller = new AbortController();
      const run = library.indexSae(
        { ...config, out },
        {
          signal: controller.signal,
          onProgress: (stage, done) => {
            if (stage === stopAt && done > 40) controller.abort();
          },
        },
      );
      await expect(run).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
      expect(readdirSync(out).filter((name) => name !== '.index')).toEqual([]);
    }
    await library.indexSae({ ...config, out });
    expect(readdirSync(out).sort()).toEqual(readdirSync(join(work, 'tables')).sort());
    for (const name of readdirSync(out))
      expect(readFileSync(join(out, name)).equals(readFileSync(join(work, 'tables', name))), name).toBe(true);
  });

  it('of chosen latents have only those, equal to the same rows of all', async () => {
    const out = join(work, 'chosen');
    await library.indexSae({ ...config, latents: [70, 3, 3], out });
    const chosen = await library.openFeatureTables(out);
    expect([...(await chosen.columns(['latent'])).latent]).toEqual([3, 70]);
    const [some, all] = [await chosen.latent(70), await tables.latent(70)];
    // Where a row stands in its table, its rank among those that are there, and labels, which are scored on a sample that is drawn for all.
    const own = /_row$|^(rank|interest|guess|label.*)$/;
    const row = (latent: object) => Object.entries(latent).filter(([name]) => !own.test(name));
    expect(row(some)).toEqual(row(all));
    expect(some.together.length).toBeGreaterThan(0);
    await expect(chosen.latent(4)).rejects.toThrow('2 chosen latents');
    await chosen.close();
    await expect(library.indexSae({ ...config, latents: [F], out })).rejects.toThrow(`0 to ${F - 1}`);
  });

  it('of some latents never take the place of those of all, unless the folder is named', async () => {
    const own = join(work, 'sae', 'features');
    const { out: _, ...unnamed } = config;
    await library.indexSae(unnamed);
    await expect(library.indexSae({ ...unnamed, latents: [3] })).rejects.toThrow(
      new RegExp(`has the tables of all ${F} latents.*--out`),
    );
    expect((await library.indexSae({ ...unnamed, latents: [3], out: own })).latents).toEqual([3]);
    // What is there now is of some latents, and others may replace it.
    expect((await library.indexSae({ ...unnamed, latents: [4] })).latents).toEqual([4]);
    rmSync(own, { recursive: true });
  });

  it('have a column of its own for a field that is called like one of theirs', async () => {
    const data = [join(work, 'clashing.jsonl')];
    const rows = readFileSync(join(work, 'corpus.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line, i) => ({
        ...JSON.parse(line),
        ...{
          id: `own ${i}`,
          tokens: 20 + (i % 5),
          Document: i % 3,
          tokens_label: i % 2,
          meta: { id: i % 4 },
        },
      }));
    writeFileSync(data[0]!, rows.map((row) => JSON.stringify(row)).join('\n'));
    const out = join(work, 'clashing');
    await library.indexSae({ ...config, data, balance: ['tokens'], out });
    const own = await library.openFeatureTables(out);
    const { columns, notes, balance } = own.manifest;
    expect(columns).toEqual(['Document_label', 'id_label', 'register', 'tokens_label2', 'tokens_label']);
    expect(balance).toEqual(['tokens']);
    for (const [field, column] of [
      ['Document', 'Document_label'],
      ['id', 'id_label'],
      ['tokens', 'tokens_label2'],
    ])
      expect(notes.join('\n')).toContain(`"${field}" of the documents is the column "${column}"`);
    await own.close();
    const read = async (name: string) => {
      const { buffer, byteOffset, byteLength } = readFileSync(join(out, name));
      return await parquetReadObjects({ file: buffer.slice(byteOffset, byteOffset + byteLength) });
    };
    const documents = await read('documents.parquet');
    expect(documents).toHaveLength(rows.length);
    for (const [i, row] of documents.entries())
      expect(row).toMatchObject({
        ...{ document: i, id: `own ${i}`, id_label: String(i % 4), Document_label: String(i % 3) },
        ...{ tokens_label2: String(20 + (i % 5)), tokens_label: String(i % 2) },
      });
    const groups = await read('groups.parquet');
    expect(new Set(groups.map(({ column }) => column))).toEqual(new Set(columns));
  });

  it('are the same without int8 screening, up to the order of float32 sums', async () => {
    const out = join(work, 'whole');
    await library.indexSae({ ...config, screen: 'none', out });
    const whole = await library.openFeatureTables(out);
    let [compared, differing] = [0, 0];
    for (let latent = 0; latent < F; latent++) {
      const [own, plain] = [await tables.activations(latent), await whole.activations(latent)];
      expect(Math.abs(own.at.length - plain.at.length)).toBeLessThanOrEqual(1);
      if (own.at.length !== plain.at.length) continue;
      compared++;
      expect([...own.at]).toEqual([...plain.at]);
      for (const [i, value] of plain.values.entries()) {
        expect(own.values[i]).toBeCloseTo(value, 4);
        if (own.values[i] !== value) differing++;
      }
    }
    await whole.close();
    expect(compared).toBeGreaterThan(F - 5);
    // Another order of summation: it was screened.
    expect(differing).toBeGreaterThan(0);
    const signed = join(work, 'signed');
    await library.saveSae(library.folderWriter(signed), {
      ...sae,
      config: { ...sae.config, signed: true },
    } as library.Sae);
    await expect(library.indexSae({ ...config, sae: signed, screen: 'int8', out })).rejects.toThrow(
      'Signed codes cannot be screened',
    );
    await expect(
      library.indexSae({ ...config, directions: 'probe.safetensors', screen: 'int8', out }),
    ).rejects.toThrow('--screen is for the latents of an SAE');
  });

  it('of directions hold x · d where it is positive', async () => {
    const { D } = sae.config;
    const path = join(work, 'probe.safetensors');
    const data = sae.W_enc.slice(0, 2 * D);
    writeFileSync(path, joinChunks(writeSafetensors({ probe: { dtype: 'F32', shape: [2, D], data } })));
    const out = join(work, 'directions');
    await library.indexSae({ ...config, directions: path, out, maxTokens: 300 });
    const own = await library.openFeatureTables(out);
    expect(own.manifest.names).toEqual(['probe.0', 'probe.1']);
    const words = await own.text(0, 2 * T);
    const { cache } = await model.run(
      { ids: words.ids, mask: new Uint8Array(2 * T).fill(1), B: 2, T },
      { hooks: [HOOK] },
    );
    const x = cache[HOOK]!.data as Float32Array;
    const norm = Math.hypot(...data.subarray(D));
    const special = new Set(model.tokenizer!.specialIds);
    const values = await own.valuesAt(1, 0, 2 * T);
    for (const [i, value] of values.entries()) {
      let dot = 0;
      for (let d = 0; d < D; d++) dot += (x[i * D + d]! * data[D + d]!) / norm;
      expect(value).toBeCloseTo(special.has(words.ids[i]!) ? 0 : Math.max(0, dot), 4);
    }
    await own.close();
    const at = (hook: string) =>
      writeFileSync(
        path,
        joinChunks(writeSafetensors({ probe: { dtype: 'F32', shape: [2, D], data } }, { hook })),
      );
    at('blocks.0.hook_resid_pre');
    const elsewhere = { ...config, directions: path, out: join(work, 'elsewhere'), maxTokens: 300 };
    await expect(library.indexSae({ ...elsewhere, allowWrong: false })).rejects.toThrow(
      /probe\.safetensors is of another place: it was made at blocks\.0\.hook_resid_pre, this is /,
    );
    expect(existsSync(elsewhere.out)).toBe(false);
    at(HOOK);
    await library.indexSae({ ...elsewhere, allowWrong: false });
    const wrong = { probe: { dtype: 'F32' as const, shape: [3], data: new Float32Array(3) } };
    writeFileSync(path, joinChunks(writeSafetensors(wrong)));
    await expect(library.indexSae({ ...config, directions: path, out })).rejects.toThrow(
      `are [${D}] or [n, ${D}]`,
    );
  });

  it('with balance have as much text of every value, as far as it goes, before and after a stop', async () => {
    // 40 texts of one register, 12 of another, 2 of a third.
    const few = { prose: 40, json: 12, dna: 2 } as Record<string, number>;
    const lines = readFileSync(join(work, 'corpus.jsonl'), 'utf8').trim().split('\n');
    const kept = lines.filter((line) => few[(JSON.parse(line) as { register: string }).register]!-- > 0);
    const data = [join(work, 'uneven.jsonl')];
    writeFileSync(data[0]!, kept.join('\n'));
    const uneven = { ...config, data, maxTokens: 2500, balance: ['register'] };
    const out = join(work, 'balanced');
    await library.indexSae({ ...uneven, out });
    const balanced = await library.openFeatureTables(out);
    expect(balanced.manifest.balance).toEqual(['register']);
    expect(balanced.manifest.notes[0]).toContain('equal shares of every value of register');
    const { document, tokens } = await balanced.documents(['document', 'tokens']);
    const set = await library.openCorpus({ data, heldout: data });
    const read: Record<string, number> = {};
    const unread = new Set<string>();
    for (let i = 0; i < document!.length; i++) {
      const { register, text: own } = await set.heldout.get(Number(document![i]));
      if (Number(tokens![i]) > 0) read[register!] = (read[register!] ?? 0) + own.length;
      else unread.add(register!);
    }
    await set.close();
    await balanced.close();
    // Of the rarest all was read; of the other two as much, up to a text.
    expect([...unread].sort()).toEqual(['json', 'prose']);
    expect(Math.abs(read.json! - read.prose!)).toBeLessThan(300);
    expect(read.json).toBeGreaterThan(read.dna!);

    const controller = new AbortController();
    const again = join(work, 'balanced-stopped');
    const stopped = library.indexSae(
      { ...uneven, out: again },
      { signal: controller.signal, onProgress: (stage) => stage === 'latents' && controller.abort() },
    );
    await expect(stopped).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
    await library.indexSae({ ...uneven, out: again });
    for (const name of readdirSync(out))
      expect(readFileSync(join(out, name)).equals(readFileSync(join(again, name))), name).toBe(true);
  });

  it('are refused with the reason', async () => {
    await expect(library.indexSae({ ...config, balance: ['colour'], out: join(work, 'x') })).rejects.toThrow(
      'No document has a field "colour"; they have register',
    );
    await expect(library.openFeatureTables(join(work, 'sae'))).rejects.toThrow('saekit index');
    await expect(library.indexSae({ ...config, groups: ['colour'], out: join(work, 'x') })).rejects.toThrow(
      'No document has a field "colour"; they have register',
    );
    await expect(library.indexSae({ ...config, directions: 'd', out: undefined })).rejects.toThrow('--out');
  });

  it('come from the command line', async () => {
    const { status, stdout } = await saekit(
      `index ${work}/sae --model ${work}/model --data ${work}/corpus.jsonl --max-tokens 500 --groups register --seed 3 --allow-wrong --out ${work}/cli`.split(
        ' ',
      ),
    );
    expect([status, stdout]).toEqual([0, expect.stringMatching(/on 500 tokens.*SAE wrong \(L0 8\.0/s)]);
    const other = await library.openFeatureTables(join(work, 'cli'));
    expect(other.manifest.columns).toEqual(['register']);
    // Another seed reads the documents in another order.
    expect((await other.text(0, 64)).documents).not.toEqual(text.documents.subarray(0, 64));
    await other.close();
  });
});

async function busiest() {
  const { latent, fired } = await tables.columns(['latent', 'fired']);
  const place = fired.reduce((best, n, i) => (n > fired[best]! ? i : best), 0);
  return { latent: latent[place]! };
}
