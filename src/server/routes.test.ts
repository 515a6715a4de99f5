// The routes of the app over HTTP: what comes back is what the library computes, and has the shape that openapi.json says.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../platform/node.ts';
import {
  ask,
  callOperation,
  createServerFixture,
  EARLY,
  LABELS,
  type Lab,
  MODEL,
  RUN,
} from '../../test/fixtures/server.ts';
import { root } from '../../test/repository.ts';
import { cardsOf, DNA, demoModel, GREEK, late } from '../../test/support/demo.ts';
import { type EncodedText, encodeTexts } from '../hooked/index.ts';
import { openModel } from '../models/open.ts';
import type { Model } from '../models/types.ts';
import { latentColumn, loadSae, type Sae } from '../sae/index.ts';
import type { FeatureCards } from '../shared/feature.ts';
import { type InterventionSpec, steer } from '../steer/index.ts';
import type { RunningServer } from './index.ts';

type Card = FeatureCards['cards'][0];
const TEXT = 'The meeting was held on the 4th of March.\nМы читали книгу о море\n{"id": 7}';
let fixture: Lab;
let server: RunningServer;
let model: Model;
const saes: Record<string, Sae> = {};
beforeAll(async () => {
  fixture = await createServerFixture();
  // Features come from cards here; tables have a test of their own (features/tables.test.ts).
  const features = join(fixture.folder, RUN, 'features');
  for (const name of readdirSync(features)) if (name !== 'cards.json') rmSync(join(features, name));
  server = await fixture.start();
  model = await openModel(`${root}/demo/model`, { threads: 1 });
  for (const run of [EARLY, RUN]) saes[run] = await loadSae(`${root}/demo/saes/${run}`);
}, 60_000);
afterAll(async () => {
  await server?.close();
  await model?.close();
  fixture?.remove();
});

const call = (name: string, input?: Record<string, unknown>) => callOperation(server, name, input);

async function encoded(run: string): Promise<EncodedText> {
  for await (const text of encodeTexts(model, saes[run]!, TEXT)) return text;
  throw new Error('nothing');
}
describe('texts', () => {
  it('screened codes come from a server that was started so', async () => {
    const screening = await fixture.start({ screen: 'int8' });
    try {
      const { body } = await ask(screening, 'POST', '/api/activation/all', { run: RUN, text: TEXT });
      const values = async (screen?: 'int8') => {
        for await (const { code } of encodeTexts(model, saes[RUN]!, TEXT, { screen }))
          return Array.from({ length: code.B }, (_, t) =>
            [...code.indices.subarray(t * code.K, (t + 1) * code.K)]
              .map((latent, k) => ({ latent, value: code.values[t * code.K + k]! }))
              .filter(({ value }) => value > 0),
          );
        return [];
      };
      expect(body.values).toEqual(await values('int8'));
      expect(body.values).not.toEqual(await values());
    } finally {
      await screening.close();
    }
  });

  it('activation/all equals encodeTexts, token by token', async () => {
    const { body } = await call('activations_of_text', { run: RUN, text: TEXT });
    const { tokens, ids, code } = await encoded(RUN);
    expect(body.tokens).toHaveLength(tokens.length);
    expect(body.tokens.slice(1).join('')).toBe(TEXT);
    expect(body.values[0]).toEqual([]);
    for (const [t, values] of body.values.entries()) {
      const expected = [...code.indices.subarray(t * code.K, (t + 1) * code.K)]
        .map((latent, k) => ({ latent, value: code.values[t * code.K + k]! }))
        .filter(({ value }) => value > 0);
      expect(values).toEqual(expected);
    }
    const fired = new Set([...code.indices].filter((_, i) => code.values[i]! > 0));
    expect(new Set(body.features.map(({ latent }: { latent: number }) => latent))).toEqual(fired);
    expect(ids.length).toBe(body.tokens.length);
    // The most surprising first, and by the formula.
    const card = cardsOf(RUN).find(({ latent }) => latent === body.features[0].latent)!;
    const maximum = Math.max(...card.examples.map(({ value }) => value));
    expect(body.features[0].surprise).toBeCloseTo(
      (body.features[0].inText / maximum) * -Math.log(card.density),
      9,
    );
    const surprises = body.features.map(({ surprise }: { surprise: number }) => surprise);
    expect(surprises).toEqual([...surprises].sort((a, b) => b - a));
  });

  it('ignoreBos: false shows the special tokens, densityThreshold leaves out what is dense', async () => {
    const { body } = await call('activations_of_text', { run: RUN, text: TEXT, ignoreBos: false });
    expect(body.values[0].length).toBeGreaterThan(0);
    const { body: rare } = await call('activations_of_text', {
      run: RUN,
      text: TEXT,
      densityThreshold: 0.01,
    });
    const dense = cardsOf(RUN)
      .filter(({ density }) => density > 0.01)
      .map(({ latent }) => latent);
    const shown = rare.features.map(({ latent }: { latent: number }) => latent);
    expect(shown.filter((latent: number) => dense.includes(latent))).toEqual([]);
    expect(shown.length).toBeLessThan(body.features.length);
  });

  it('activation/new equals the column of one latent', async () => {
    const { code } = await encoded(RUN);
    const latent = code.indices[5 * code.K]!;
    const { body } = await call('activations_of_feature', { run: RUN, text: TEXT, latent });
    const column = [...latentColumn(code, latent)];
    expect(body.values).toEqual(column);
    expect([body.maxValue, body.maxValueTokenIndex]).toEqual([
      Math.max(...column),
      column.indexOf(Math.max(...column)),
    ]);
  });

  it('search-all finds the largest activations of all layers', async () => {
    const all: { run: string; latent: number; value: number }[] = [];
    for (const run of [EARLY, RUN]) {
      const { code } = await encoded(run);
      for (let latent = 0; latent < saes[run]!.config.F; latent++)
        all.push({ run, latent, value: Math.max(...latentColumn(code, latent)) });
    }
    const best = all.sort((a, b) => b.value - a.value).slice(0, 12);
    const { body } = await call('search_by_text', { text: TEXT, numResults: 12 });
    expect(
      body.result.map(({ run, latent, maxValue }: Record<string, unknown>) => ({
        run,
        latent,
        value: maxValue,
      })),
    ).toEqual(best);
    const { body: one } = await call('search_by_text', {
      text: TEXT,
      numResults: 5,
      runs: [RUN],
      sortIndexes: [3],
    });
    const { body: top } = await call('top_features_by_token', { run: RUN, text: TEXT, numResults: 5 });
    expect(one.result.map(({ latent }: { latent: number }) => latent)).toEqual(
      top.results[3].topFeatures.map(({ latent }: { latent: number }) => latent),
    );
  });

  it('search-topk-by-token gives the strongest of every token', async () => {
    const { code } = await encoded(RUN);
    const { body } = await call('top_features_by_token', { run: RUN, text: TEXT, numResults: 3 });
    const shown = body.results.map(({ topFeatures }: { topFeatures: { latent: number }[] }) =>
      topFeatures.map(({ latent }) => latent),
    );
    expect(shown).toEqual(
      Array.from({ length: code.B }, (_, t) =>
        t === 0 ? [] : [...code.indices.subarray(t * code.K, t * code.K + 3)],
      ),
    );
  });

  it('are cut at the context, and too long ones refused', async () => {
    const { body } = await call('activations_of_text', { run: RUN, text: 'word '.repeat(300) });
    expect(body.tokens).toHaveLength(256);
    expect(body.cut).toBe(model.tokenizer!.encode('word '.repeat(300), { bos: true }).length - 256);
    const { status, body: refused } = await call('activations_of_text', {
      run: RUN,
      text: 'x'.repeat(200_001),
    });
    expect([status, refused.error.param]).toEqual([400, 'text']);
  });

  it('of two models cannot be searched at once', async () => {
    const { status, body } = await call('search_by_text', { text: 'a', runs: [RUN, 'tiny'] });
    expect([status, body.error.param]).toEqual([400, 'runs']);
  });
});

describe('runs and features', () => {
  it('runs are listed with their figures, an SAE alone too', async () => {
    const { body } = await call('list_runs');
    expect(body.runs.map(({ run }: { run: string }) => run)).toEqual([EARLY, RUN, 'tiny']);
    expect(body.runs[1]).toMatchObject({
      kind: 'run',
      status: 'finished',
      live: false,
      model: MODEL,
      hook: RUN,
      latents: late.F,
      D: demoModel.D,
      architecture: 'topk',
      l0: late.K,
    });
    expect(body.runs[2]).toMatchObject({ kind: 'sae', latents: 24, model: fixture.tiny });
    const { body: detail } = await call('get_run', { run: RUN });
    expect(detail.evaluation.candidates[0].fvu.value).toBe(detail.fvu);
    expect(detail).toMatchObject({
      indexed: cardsOf(RUN).length,
      config: { k: late.K },
      provenance: { model: { family: 'llama' } },
    });
  });

  it('a feature is its card, with label, neighbours and effects', async () => {
    const card = cardsOf(RUN).find(({ latent }) => latent === DNA)!;
    const { body } = await call('get_feature', { run: RUN, latent: card.latent });
    expect(body).toMatchObject({
      ...card,
      label: LABELS[DNA],
      indexed: true,
      run: RUN,
      model: MODEL,
      hook: RUN,
    });
    const {
      W_dec,
      config: { D, F },
    } = saes[RUN]!;
    const row = (f: number) => W_dec.subarray(f * D, (f + 1) * D);
    const cosine = (a: Float32Array, b: Float32Array) =>
      a.reduce((sum, v, d) => sum + v * b[d]!, 0) / (Math.hypot(...a) * Math.hypot(...b));
    const near = Array.from({ length: F }, (_, f) => ({ f, cosine: cosine(row(card.latent), row(f)) }))
      .filter(({ f }) => f !== card.latent)
      .sort((a, b) => b.cosine - a.cosine);
    expect(body.neighbours.map(({ latent }: { latent: number }) => latent)).toEqual(
      near.slice(0, 8).map(({ f }) => f),
    );
    expect(body.neighbours[0].cosine).toBeCloseTo(near[0]!.cosine, 5);
    // One without a card has its effects computed: those of a card, where there is one.
    const other = (await call('get_feature', { run: RUN, latent: 7 })).body;
    expect(other.indexed).toBe(false);
    expect(other.raises).toHaveLength(8);
  });

  it('effects that are computed are those of the cards', async () => {
    const bare = join(fixture.folder, 'bare');
    mkdirSync(bare);
    for (const file of ['cfg.json', 'sae_weights.safetensors'])
      writeFileSync(join(bare, file), readFileSync(`${root}/demo/saes/${RUN}/${file}`));
    const card = cardsOf(RUN)[0]!;
    const { body } = await call('get_feature', { run: 'bare', latent: card.latent });
    expect(body.raises.map(({ id }: { id: number }) => id)).toEqual(card.raises.map(({ id }) => id));
    expect(body.lowers.map(({ id }: { id: number }) => id)).toEqual(card.lowers.map(({ id }) => id));
  });

  /** What the first card of the early SAE has: a word, a token, a token that it raises. */
  const [one] = cardsOf(EARLY);
  const textsOf = ({ examples }: Card) =>
    examples.map(({ left, peak, right }) => [...left, peak, ...right].join(''));
  const word = /\p{L}{3,}/u.exec(textsOf(one!).join(' '))![0].toLowerCase();
  const token = one!.examples.map(({ peak }) => peak.trim()).find((text) => /^[^"\ufffd\s]+$/.test(text))!;
  const raised = one!.raises
    .map((effect) => effect.token.trim())
    .find((text) => /^[^"\ufffd\s]+$/.test(text))!;
  const peaksOf = ({ examples, peakTokens }: Card) => [
    ...peakTokens.map((peak) => peak.token),
    ...examples.map(({ peak }) => peak),
  ];
  const placeIn = (texts: readonly string[], wanted: string) =>
    texts.findIndex((text) => text.trim() === wanted);
  it.each<[string, (card: Card) => number]>([
    ['', () => 0],
    [
      word,
      (card) =>
        JSON.stringify([card.guess, textsOf(card)])
          .toLowerCase()
          .includes(word)
          ? 0
          : -1,
    ],
    [`token:"${token}"`, (card) => placeIn(peaksOf(card), token)],
    [
      `logit:"${raised}"`,
      ({ raises }) =>
        placeIn(
          raises.map((effect) => effect.token),
          raised,
        ),
    ],
  ])('search %s', async (query, place) => {
    const { body } = await call('search_features', { run: EARLY, query, limit: 100 });
    const expected = cardsOf(EARLY)
      .filter((card) => place(card) >= 0)
      .sort((a, b) => place(a) - place(b))
      .map(({ latent }) => latent);
    expect(expected.length).toBeGreaterThan(0);
    expect(body.features.map(({ latent }: { latent: number }) => latent)).toEqual(expected);
  });

  type Hit = { latent: number; match: { in: string; text?: string; value?: number } };

  it('white space is a token like others, written as in JSON, and each latent says which place it has', async () => {
    const newline = ({ raises }: Card) => raises.findIndex((effect) => effect.token === '\n');
    for (const query of ['logit:"\\n"', 'logit:"\n"', 'logit:\\n']) {
      const { body } = await call('search_features', { run: RUN, query });
      expect(body.features.map(({ latent, match }: Hit) => [latent, match])).toEqual(
        cardsOf(RUN)
          .filter((card) => newline(card) >= 0)
          .sort((a, b) => newline(a) - newline(b))
          .map((card) => [card.latent, { in: 'raises', text: '\n', value: newline(card) + 1 }]),
      );
      expect(body.total).toBeGreaterThan(0);
    }
    const { body } = await call('search_features', { run: RUN, query: 'token:" "' });
    expect(body.features.map(({ latent }: Hit) => latent)).toEqual(
      cardsOf(RUN)
        .filter((card) => peaksOf(card).includes(' '))
        .sort((a, b) => peaksOf(a).indexOf(' ') - peaksOf(b).indexOf(' '))
        .map(({ latent }) => latent),
    );
    expect(body.total).toBeGreaterThan(0);
  });

  it('every latent that words find says where they stand', async () => {
    const { body } = await call('search_features', { run: EARLY, query: word, limit: 100 });
    for (const { latent, match } of body.features as Hit[]) {
      expect(match.text!.toLowerCase()).toContain(word);
      const card = cardsOf(EARLY).find((one) => one.latent === latent)!;
      const own = { guess: [card.guess], passage: textsOf(card) }[match.in]!;
      const shown = match.text!.replace(/^…|…$/g, '').replaceAll('↵', '\n');
      expect(own.some((text) => text.includes(shown))).toBe(true);
    }
    const { body: labelled } = await call('search_features', { run: RUN, query: 'greek epsilon' });
    expect(labelled.features[0]).toMatchObject({
      latent: GREEK,
      match: { in: 'label', text: LABELS[GREEK] },
    });
  });

  it('latents alike are those of the largest cosines of all pairs, and say them', async () => {
    const { config, W_dec } = saes[RUN]!;
    const D = W_dec.length / config.F;
    const row = (f: number) => W_dec.subarray(f * D, (f + 1) * D);
    const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, d) => sum + value * b[d]!, 0);
    const cosines = Array.from(
      { length: config.F },
      (_, f) => dot(row(f), row(DNA)) / Math.sqrt(dot(row(f), row(f)) * dot(row(DNA), row(DNA))),
    );
    const expected = [...cosines.keys()]
      .filter((f) => f !== DNA)
      .sort((a, b) => cosines[b]! - cosines[a]!)
      .slice(0, 200);
    const { body } = await call('search_features', { run: RUN, query: `like:#${DNA}`, limit: 200 });
    expect(body.features.map(({ latent }: Hit) => latent)).toEqual(expected);
    for (const { latent, match } of body.features as Hit[]) {
      expect(match.in).toBe('writes');
      expect(match.value).toBeCloseTo(cosines[latent]!, 6);
    }
  });

  it('search by number, likeness, and in pages', async () => {
    expect((await call('search_features', { run: RUN, query: `#${GREEK}` })).body.features[0]).toMatchObject({
      latent: GREEK,
      label: LABELS[GREEK],
    });
    const { body: like } = await call('search_features', { run: RUN, query: `like:#${DNA}` });
    const { body: feature } = await call('get_feature', { run: RUN, latent: DNA });
    expect(like.features[0].latent).toBe(feature.neighbours[0].latent);
    const { body: page } = await call('search_features', { run: RUN, offset: 10, limit: 5 });
    expect([page.total, page.features.map(({ latent }: { latent: number }) => latent)]).toEqual([
      cardsOf(RUN).length,
      cardsOf(RUN)
        .slice(10, 15)
        .map(({ latent }) => latent),
    ]);
    for (const query of ['#x', 'like:', 'token:""'])
      expect((await call('search_features', { run: RUN, query })).body.error.param).toBe('query');
  });

  it('labels and notes go to labels.jsonl, and nothing else in it changes', async () => {
    const file = join(fixture.folder, RUN, 'labels.jsonl');
    const before = readFileSync(file, 'utf8');
    expect(
      (await call('label_feature', { run: RUN, latent: 5, label: ' months ', note: 'look again' })).body,
    ).toMatchObject({ label: 'months', note: 'look again' });
    const today = new Date().toISOString().slice(0, 10);
    const line = {
      latent: 5,
      label: 'months',
      note: 'look again',
      checked: `by a person, in saekit serve, ${today}`,
      origin: 'person',
    };
    expect(readFileSync(file, 'utf8')).toBe(`${before}${JSON.stringify(line)}\n`);
    expect((await call('get_feature', { run: RUN, latent: 5 })).body).toMatchObject({
      label: 'months',
      note: 'look again',
    });
    expect((await call('search_features', { run: RUN, query: 'look again' })).body.features[0].latent).toBe(
      5,
    );
    // What a person called so comes before the guesses.
    await call('label_feature', { run: RUN, latent: 5, label: 'a recipe' });
    const { body: recipes } = await call('search_features', { run: RUN, query: 'recipe' });
    expect(recipes.total).toBeGreaterThan(1);
    expect(recipes.features[0].latent).toBe(5);
    // A label that is taken away leaves the note, and without both the line goes.
    await call('label_feature', { run: RUN, latent: 5, label: '' });
    expect((await call('get_feature', { run: RUN, latent: 5 })).body).not.toHaveProperty('label');
    await call('label_feature', { run: RUN, latent: 5, note: '' });
    expect(readFileSync(file, 'utf8')).toBe(before);
    // Many at once: each is there.
    await Promise.all(
      Array.from({ length: 8 }, (_, i) => call('label_feature', { run: EARLY, latent: i, label: `n${i}` })),
    );
    expect(
      readFileSync(join(fixture.folder, EARLY, 'labels.jsonl'), 'utf8')
        .trim()
        .split('\n'),
    ).toHaveLength(8);
  });
});

describe('steer', () => {
  it('writes what the library writes, and a random control', async () => {
    const asked = {
      prompt: 'The meeting will be held',
      maxTokens: 16,
      temperature: 0.7,
      topP: 0.95,
      seed: 3,
    };
    const { body } = await call('steer', { ...asked, features: [{ run: RUN, latent: DNA, value: 60 }] });
    const text = async (specs: InterventionSpec[]) => {
      const { prompt, maxTokens: maxNewTokens, ...rest } = asked;
      return await model.generate(prompt, {
        ...rest,
        maxNewTokens,
        interventions: await steer(model, specs),
      });
    };
    expect(body.DEFAULT).toBe(await text([]));
    expect(body.STEERED).toBe(await text([{ sae: saes[RUN]!, latent: DNA, value: 60 }]));
    expect(new Set([body.DEFAULT, body.STEERED, body.RANDOM]).size).toBe(3);
  });
  it('takes every kind of intervention, of two layers at once, in units of the maximum, by a rule', async () => {
    const asked = { prompt: 'The meeting will be held', maxTokens: 12, temperature: 0 };
    const card = cardsOf(RUN).find(({ latent }) => latent === DNA)!;
    const max = Math.max(...card.examples.map(({ value }) => value));
    const { body } = await call('steer', {
      ...asked,
      features: [{ run: RUN, latent: DNA, mode: 'clamp', value: 2, unit: 'max', positions: 'generated' }],
    });
    const clamp = {
      sae: saes[RUN]!,
      latent: DNA,
      mode: 'clamp',
      value: 2 * max,
      positions: 'generated',
    } as const;
    const interventions = await steer(model, [clamp]);
    expect(body.STEERED).toBe(await model.generate(asked.prompt, { maxNewTokens: 12, interventions }));
    const { body: two } = await call('steer', {
      ...asked,
      features: [
        { run: EARLY, latent: 3, mode: 'at-least', value: 20 },
        { run: RUN, latent: DNA, mode: 'add', value: 60, when: { run: EARLY, latent: 3, above: 10 } },
      ],
    });
    const rule = await steer(model, [
      { sae: saes[EARLY]!, latent: 3, mode: 'at-least', value: 20 },
      { sae: saes[RUN]!, latent: DNA, value: 60, when: { sae: saes[EARLY]!, latent: 3, above: 10 } },
    ]);
    expect(two.STEERED).toBe(await model.generate(asked.prompt, { maxNewTokens: 12, interventions: rule }));
    // The SAE in place of the activations has no latent to replace: no control.
    const { body: spliced } = await call('steer', { ...asked, features: [{ run: RUN, mode: 'splice' }] });
    expect(spliced.STEERED).not.toBe('');
    expect(spliced).not.toHaveProperty('RANDOM');
  });
  it.each([
    [{ run: RUN, latent: 1 }, 'features[0]', /needs a value/],
    [{ run: RUN, value: 1 }, 'features[0]', /needs `latent`/],
    [
      { run: RUN, latent: 1, value: 1, unit: 'max' },
      'features[0].unit',
      /largest activation .* is not known/,
    ],
    [{ run: RUN, latent: late.F, value: 1 }, 'features[0].latent', new RegExp(`0 to ${late.F - 1}`)],
    [
      { run: RUN, latent: 1, value: 1, when: { latent: 9999, above: 1 } },
      'features[0].when.latent',
      new RegExp(`0 to ${late.F - 1}`),
    ],
    [
      { run: RUN, latent: 1, value: 1, when: { latent: 1 } },
      'features[0].when',
      /one of `above` and `below`/,
    ],
    [
      { run: RUN, latent: 1, value: 1, when: { run: 'nope', latent: 1, above: 1 } },
      'features',
      /no run "nope"/,
    ],
    [{ run: RUN, latent: 1, value: 1, sae: '/etc' }, 'features[0].sae', /Unknown field/],
    [{ run: RUN, latent: 1, mode: 'splice' }, 'features[0]', /splice takes a whole SAE/],
    [{ run: RUN, latent: 1, mode: 'mean', text: '' }, 'features[0]', /mean of "": .* special/],
    [{ run: RUN, mode: 'mean', text: '<|bos|>' }, 'features[0]', /mean of "<\|bos\|>": .* special/],
    [
      { run: RUN, latent: 1, value: 1, positions: [[5, 2]] },
      'features[0].positions[0]',
      /found \[5,2\], expected \[from, to\) with to behind from/,
    ],
    [{ run: RUN, latent: 1, value: 1, mode: 'explode' }, 'features[0].mode', /"explode"/],
  ])('refuses %j at %s', async (feature, param, message) => {
    const { status, body } = await call('steer', { prompt: 'a', features: [feature] });
    expect([status === 400 || status === 404, body.error?.param], JSON.stringify(body)).toEqual([
      true,
      param,
    ]);
    expect(body.error.message).toMatch(message);
  });
  it.each([
    [
      'a rule that looks ahead',
      [
        { run: RUN, latent: 1, value: 1 },
        { run: EARLY, latent: 1, value: 1, when: { run: RUN, latent: 1, above: 1 } },
      ],
      /computed later/,
    ],
    [
      'two SAEs or runs in place of a hook',
      [
        { run: RUN, mode: 'splice' },
        { run: RUN, mode: 'patch', text: 'other' },
      ],
      /replaced twice, by the reconstruction of .* and by rows of the run of another text/,
    ],
    [
      'two other runs in place of a hook',
      [
        { run: RUN, mode: 'patch', text: 'one' },
        { run: RUN, mode: 'patch', text: 'two' },
      ],
      /replaced twice/,
    ],
  ])('refuses %s at the second feature, also of completions', async (_, features, message) => {
    const { status, body } = await call('steer', { prompt: 'a', features });
    expect([status, body.error.param]).toEqual([400, 'features[1]']);
    expect(body.error.message).toMatch(message);
    const asked = { model: MODEL, prompt: 'a', max_tokens: 1, features: { steer: features } };
    const completed = await ask(server, 'POST', '/v1/completions', asked);
    expect([completed.status, completed.body.error.param]).toEqual([400, 'features.steer[1]']);
    expect(completed.body.error.message).toMatch(message);
  });
  it('refuses runs of two models, naming both', async () => {
    const { status, body } = await call('steer', {
      prompt: 'a',
      features: [
        { run: RUN, latent: 1, value: 1 },
        { run: 'tiny', latent: 1, value: 1 },
      ],
    });
    expect([status, body.error.param]).toEqual([400, 'features']);
    expect(body.error.message).toContain(MODEL);
    expect(body.error.message).toContain('tiny-model');
  });
});
