// A feature from tables, against the tables and the documents that they were made from.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../../platform/node.ts';
import { join } from 'node:path';
import { ask, createServerFixture, LABELS, type Lab, RUN } from '../../../test/fixtures/server.ts';
import { root } from '../../../test/repository.ts';
import { cardsOf, DNA, GREEK } from '../../../test/support/demo.ts';
import { openCorpus } from '../../data/index.ts';
import { loadSae, saveSae } from '../../sae/index.ts';
import { indexConfigSchema } from '../../shared/feature-tables.ts';
import { folderWriter, openFeatureTables } from '../../store/index.ts';
import { indexSae } from '../../workflows/index.ts';
import type { RunningServer } from '../index.ts';
import { operations } from '../operations/all.ts';

const OTHER = 7;
/** One that no text makes fire. */
const DEAD = [0, 1, 2].find((latent) => latent !== DNA && latent !== GREEK)!;
let fixture: Lab;
let server: RunningServer;
beforeAll(async () => {
  fixture = await createServerFixture();
  const run = join(fixture.folder, RUN);
  const sae = await loadSae(run);
  sae.b_enc[DEAD] = -1e6;
  await saveSae(folderWriter(run), sae);
  // Named: these tables take the place of those of all latents.
  const out = join(run, 'features');
  await indexSae(indexConfigSchema.parse({ sae: run, out, latents: [DEAD, OTHER, DNA], maxTokens: 6000 }));
  server = await fixture.start();
}, 120_000);
afterAll(async () => {
  await server?.close();
  fixture?.remove();
});

const get = async (path: string) => (await ask(server, 'GET', path)).body;
type Example = {
  left: string[];
  peak: string;
  right: string[];
  activations: number[];
  value: number;
  kind: string;
  document: number;
  register: string;
};

describe('a latent that never fired', () => {
  it('has no largest activation, and is not steered in units of one', async () => {
    const body = await get(`/api/feature/${RUN}/${DEAD}`);
    expect(body).toMatchObject({ indexed: true, density: 0, guess: 'never fired' });
    const [name] = (await get(`/api/features/${RUN}?query=%23${DEAD}`)).features;
    expect(name).toMatchObject({ latent: DEAD, density: 0 });
    for (const one of [body, name]) expect(one).not.toHaveProperty('maximum');
    const steered = (feature: object) =>
      ask(server, 'POST', '/api/steer', {
        ...{ prompt: 'The meeting', maxTokens: 2, features: [{ run: RUN, latent: DEAD, ...feature }] },
      });
    const refused = await steered({ unit: 'max', value: 3.5 });
    expect(refused.status).toBe(400);
    expect(refused.body.error).toMatchObject({
      message: expect.stringContaining('it never fired in the text that was indexed'),
      param: 'features[0].unit',
    });
    expect((await steered({ value: 35 })).status).toBe(200);
  });
});

describe('a feature from tables', () => {
  it('has the numbers of the tables and passages of the documents, with the activations of every token', async () => {
    const body = await get(`/api/feature/${RUN}/${DNA}`);
    operations.find(({ name }) => name === 'get_feature')!.output.parse(body);
    const tables = await openFeatureTables(join(fixture.folder, RUN, 'features'));
    const row = await tables.latent(DNA);
    expect(body).toMatchObject({
      indexed: true,
      label: LABELS[DNA],
      density: row.density,
      maximum: row.max,
      mean: row.mean,
      guess: row.guess,
    });
    expect(body.histogram.reduce((a: number, b: number) => a + b)).toBe(row.fired);
    expect(body.registers.reduce((sum: number, { share }: { share: number }) => sum + share, 0)).toBeCloseTo(
      1,
      6,
    );
    // The index read 6,000 tokens, the evaluation behind the card more.
    const card = cardsOf(RUN).find((one) => one.latent === DNA)!;
    expect(card.best!.positives).toBeGreaterThan(row.label_positives ?? 0);
    expect(body.best).toEqual(card.best);
    const other = await get(`/api/feature/${RUN}/${OTHER}`);
    expect([other.best?.label ?? null, other.best?.f1 ?? null]).toEqual(
      await tables.latent(OTHER).then((one) => [one.label, one.label_f1]),
    );
    const kinds = new Map<string, Example[]>();
    for (const example of body.examples as Example[])
      kinds.set(example.kind, [...(kinds.get(example.kind) ?? []), example]);
    expect([...kinds.keys()].sort()).toEqual(['interval', 'near_miss', 'random', 'spread', 'top']);
    const indexedOn = { tokens: 6000, documents: tables.manifest.documents };
    expect(body.indexedOn).toEqual(indexedOn);
    expect((await get(`/api/runs/${RUN}`)).indexedOn).toEqual(indexedOn);
    const corpus = await openCorpus({
      data: [`${root}/demo/corpus/train.jsonl.gz`],
      heldout: [`${root}/demo/corpus/heldout.jsonl.gz`],
    });
    const places = await tables.examples(DNA);
    for (const [i, example] of (body.examples as Example[]).entries()) {
      const { left, peak, right, activations, value, kind, document, register } = example;
      const from = places[i]!.at - left.length;
      expect(activations).toEqual([...(await tables.valuesAt(DNA, from, from + activations.length))]);
      expect(activations).toHaveLength(left.length + 1 + right.length);
      expect(activations[left.length]).toBe(value);
      if (kind === 'near_miss') expect(value).toBe(0);
      const source = await corpus.heldout.get(document);
      expect(source.register).toBe(register);
      expect(source.text).toContain([...left, peak, ...right].join('').replaceAll('\ufffd', ''));
    }
    await tables.close();
    await corpus.close();
  }, 60_000);

  it('is found by word, by token, by logit; what is not in the tables is not indexed', async () => {
    const found = async (query: string) =>
      (await get(`/api/features/${RUN}?query=${encodeURIComponent(query)}`)).features.map(
        ({ latent }: { latent: number }) => latent,
      );
    expect((await found('')).slice(0, 2).sort((a: number, b: number) => a - b)).toEqual([OTHER, DNA]);
    expect((await found('dna'))[0]).toBe(DNA);
    const body = await get(`/api/feature/${RUN}/${DNA}`);
    const plain = (list: readonly { token: string }[]) =>
      list.find(({ token }) => /^\w+$/.test(token))!.token;
    expect(await found(`logit:"${plain(body.raises)}"`)).toContain(DNA);
    expect(await found(`token:"${plain(body.peakTokens)}"`)).toContain(DNA);
    const body7 = await get(`/api/feature/${RUN}/${OTHER}`);
    const linesOf = (examples: Example[]) =>
      examples
        .filter(({ kind }) => kind !== 'near_miss')
        .map(({ left, peak, right }) => [...left, peak, ...right].join('').toLowerCase());
    const words = [
      ...new Set(linesOf(body7.examples).flatMap((line) => line.match(/[\p{L}\p{N}]{2,}/gu) ?? [])),
    ];
    const named = (latent: number) => `${LABELS[latent] ?? ''}${latent === DNA ? body.guess : body7.guess}`;
    let compared = 0;
    for (const word of words.slice(0, 40)) {
      const { features } = await get(`/api/features/${RUN}?query=${encodeURIComponent(word)}`);
      for (const [latent, { examples, best }] of [
        [OTHER, body7],
        [DNA, body],
      ] as const) {
        const expected = linesOf(examples).filter((line) => line.includes(word)).length;
        const hit = features.find((one: { latent: number }) => one.latent === latent);
        if (`${named(latent)}${best?.label ?? ''}`.toLowerCase().includes(word)) continue;
        expect([word, latent, hit?.passages ?? 0]).toEqual([word, latent, expected]);
        if (!hit) continue;
        // What is shown of it stands in the first passage that has the word.
        const shown = hit.match.text.replace(/^…|…$/g, '').replaceAll('↵', '\n').toLowerCase();
        expect([hit.match.in, shown.includes(word)]).toEqual(['passage', true]);
        expect(linesOf(examples).find((line) => line.includes(word))).toContain(shown);
        compared += expected;
      }
    }
    expect(compared).toBeGreaterThan(20);
    const other = await get(`/api/feature/${RUN}/${GREEK}`);
    expect([other.indexed, other.label]).toEqual([false, LABELS[GREEK]]);
  });
});
