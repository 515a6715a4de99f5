// saekit steer-report on a tiny model: its numbers against plain sums over logits, every option, bad input, stopping and going on.
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  folderWriter,
  type Model,
  openModel,
  padBatch,
  type Sae,
  saveSae,
  steer,
  steerReport,
} from '../src/index.ts';
import { createRng } from '../src/shared/rng.ts';
import {
  type SteerReport,
  type SteerReportConfigInput,
  steerReportConfigSchema,
  steerReportSchema,
} from '../src/shared/steer-report.ts';
import { writeLabel } from '../src/store/index.ts';
import { writeTinyModel } from './fixtures/tiny-model.ts';

const HOOK = 'blocks.0.hook_resid_post';
const F = 48;
let place: string;
let model: Model;
let sae: Sae;
let base: SteerReportConfigInput;
let plain: SteerReport;
let folders = 0;

/** Numbers against words. */
function writeCorpus(path: string): string {
  const rng = createRng('corpus');
  const words = ['river', 'stone', 'light', 'salt', 'bridge'];
  const lines = Array.from({ length: 80 }, (_, i) => {
    const register = i % 3 === 0 ? 'sums' : 'words';
    const piece = () => (register === 'sums' ? `${rng.int(90)} + ${rng.int(90)}` : rng.pick(words));
    return JSON.stringify({ text: Array.from({ length: 12 }, piece).join(' '), register });
  });
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

async function report(change: Partial<SteerReportConfigInput> = {}, signal?: AbortSignal) {
  const out = change.out ?? join(place, `out-${folders++}`);
  const config = steerReportConfigSchema.parse({ ...base, out, ...change });
  let candidates = 0;
  const made = await steerReport(config, {
    ...(signal ? { signal } : {}),
    onProgress: ({ stage }) => (candidates += Number(stage === 'candidates')),
  });
  return { ...made, candidates };
}

beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), 'saekit-report-'));
  const modelPath = writeTinyModel(join(place, 'model'));
  model = await openModel(modelPath, { threads: 1 });
  const { D } = model.info;
  const rng = createRng('an SAE');
  const W_dec = Float32Array.from({ length: F * D }, () => rng.normal() / Math.sqrt(D));
  const metadata = { hook_name: HOOK, model_hash: model.info.hash };
  sae = {
    config: { architecture: 'topk', D, F, K: 8, metadata },
    ...{ W_enc: W_dec.slice(), b_enc: new Float32Array(F), W_dec, b_dec: new Float32Array(D) },
  };
  await saveSae(folderWriter(join(place, 'sae')), sae);
  base = {
    ...{ sae: join(place, 'sae'), model: modelPath, heldout: [writeCorpus(join(place, 'corpus.jsonl'))] },
    ...{ register: 'sums', strengths: [1, 3], samples: 4, maxTokens: 6, controls: 3, temperature: 1 },
    ...{ textTokens: 64, indexTokens: 2000, threads: 1 },
  };
  plain = (await report()).report;
}, 60_000);
afterAll(async () => {
  await model.close();
  rmSync(place, { recursive: true });
});

describe('the report', () => {
  it('is what its schema says, and its page needs nothing but itself', async () => {
    const { folder, report: again } = await report();
    expect(steerReportSchema.parse(JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')))).toEqual(
      again,
    );
    const page = readFileSync(join(folder, 'report.html'), 'utf8');
    expect(again.selfTest?.state).toMatch(/measured|verified/);
    expect(page).toMatch(/<p>SAE (measured|verified).*L0 /);
    expect(page).not.toMatch(/<script|https?:|<link|src=|@import|url\(/);
    for (const { latent } of again.features) expect(page).toContain(`#${latent} `);
    // A line per candidate, 6 of 7 measures: nobody judges, no checker is called `sums`.
    expect(page.match(/<figure>/g)?.length).toBe(again.features.length * 5);
  });

  it('target and KL are plain sums over the logits of the clamped model', async () => {
    const feature = plain.features[0]!;
    const { latent, largest } = feature;
    const point = feature.points.find(({ arm, strength }) => arm === 'latent' && strength === 3)!;
    // The documents that are measured on: found by what the report says of them, n and the values.
    const texts = readFileSync(base.heldout![0]!, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const { encode, tokenStrings } = model.tokenizer!;
    const negative = texts.filter(({ register }) => register === 'words');
    const ids = negative.map(({ text }) => [0, ...encode(text).slice(0, 32)]);
    expect(model.info.bosTokenId === undefined || model.info.bosTokenId >= 0).toBe(true);
    const direction = sae.W_dec.subarray(latent * sae.config.D, (latent + 1) * sae.config.D);
    const targets = new Set(feature.targets);
    const own: { target: number; kl: number }[] = [];
    for (const row of ids) {
      row[0] = model.info.bosTokenId ?? row[1]!;
      const batch = padBatch([model.info.bosTokenId === undefined ? row.slice(1) : row]);
      const before = (await model.run(batch, { logits: true })).logits!.data;
      // The clamp by hand: z of the TopK code, moved to the value.
      const { cache } = await model.runWithCache(batch, HOOK);
      const h = cache[HOOK]!.data.slice();
      const D = sae.config.D;
      for (let t = 0; t < batch.T; t++) {
        if (model.tokenizer!.specialIds.has(batch.ids[t]!)) continue;
        const pre = Array.from({ length: F }, (_, f) =>
          h.subarray(t * D, (t + 1) * D).reduce((sum, x, d) => sum + x * sae.W_enc[f * D + d]!, 0),
        );
        const bound = pre.toSorted((a, b) => b - a)[7]!;
        const z = pre[latent]! >= bound ? Math.max(0, pre[latent]!) : 0;
        for (let d = 0; d < D; d++) h[t * D + d]! += (3 * largest - z) * direction[d]!;
      }
      const after = (await model.runFrom(HOOK, { data: h, dims: [1, batch.T, D] }, batch)).data;
      const { V } = model.info;
      const sums = { target: 0, kl: 0 };
      for (let t = 0; t < batch.T; t++) {
        const softmax = (logits: Float32Array) => {
          const e = Array.from(logits.subarray(t * V, (t + 1) * V), (x) => Math.exp(x));
          const total = e.reduce((a, b) => a + b, 0);
          return e.map((x) => x / total);
        };
        const [p, q] = [softmax(before), softmax(after)] as [number[], number[]];
        for (let v = 0; v < V; v++) {
          if (targets.has(tokenStrings([v])[0]!)) sums.target += q[v]! / batch.T;
          sums.kl += (p[v]! * Math.log(p[v]! / q[v]!)) / batch.T;
        }
      }
      own.push(sums);
    }
    // Two documents were measured (64 tokens of at most 32 each), of those: some pair has both means.
    const { target, kl } = point.measures;
    expect(kl!.n).toBe(2);
    const pairs = own.flatMap((a, i) => own.slice(i + 1).map((b) => [a, b] as const));
    const near = pairs.filter(
      ([a, b]) => Math.abs((a.kl + b.kl) / 2 - kl!.value!) < 1e-4 * Math.abs(kl!.value!),
    );
    expect(near.some(([a, b]) => Math.abs((a.target + b.target) / 2 - target!.value!) < 1e-4)).toBe(true);
  });

  it('without a push there is no KL, and the texts are those of the plain model', async () => {
    const [none] = plain.features[0]!.unsteered;
    expect(Math.abs(none!.measures.kl!.value!)).toBeLessThan(1e-6);
    const [text] = await model.generateBatch([''], { maxNewTokens: 6, temperature: 1, seed: ['0/sample 0'] });
    expect(none!.samples[0]).toBe(text!.text);
  });

  it('texts that were written in one batch are those of each push alone', async () => {
    const { latent, largest, matched, points } = plain.features[0]!;
    const norm = (f: number) => Math.hypot(...sae.W_dec.subarray(f * sae.config.D, (f + 1) * sae.config.D));
    const textsOf = (arm: string) =>
      points.find((point) => point.arm === arm && point.strength === 3)!.samples;
    const alone = async (f: number, value: number): Promise<string[]> => {
      const interventions = await steer(model, [{ sae, latent: f, mode: 'clamp', value }]);
      const seed = [0, 1, 2, 3].map((i) => `0/sample ${i}`);
      const options = { maxNewTokens: 6, temperature: 1, seed, interventions };
      return (await model.generateBatch(['', '', '', ''], options)).map(({ text }) => text);
    };
    expect(textsOf('latent')).toEqual(await alone(latent, 3 * largest));
    expect(textsOf('sign flip')).toEqual(await alone(latent, -3 * largest));
    const first = matched[0]!;
    const other = await alone(first, (3 * largest * norm(latent)) / norm(first));
    expect(textsOf('matched latents')).toEqual(other);
    expect(other).not.toEqual(textsOf('latent'));
  });

  it('ranks the latent among its matched ones and corrects for the number of tests', () => {
    const tests = plain.features.flatMap((feature) => feature.tests);
    for (const { value, controls, p, adjusted } of tests) {
      expect(controls.length).toBe(3);
      expect(p).toBe((1 + controls.filter((other) => other >= value).length) / 4);
      expect(adjusted).toBeGreaterThanOrEqual(p);
    }
    expect(tests.some(({ adjusted, p }) => adjusted > p) || tests.every(({ p }) => p === tests[0]!.p)).toBe(
      true,
    );
    for (const { latent, matched } of plain.features) expect(matched).not.toContain(latent);
  });
});

it("the selectivity of a latent's own concept is counted over the texts on which it fires most", async () => {
  const latent = 3;
  const own = { register: undefined, latents: [latent], indexTokens: 1e6, strengths: [1], controls: 1 };
  const { report: made, folder } = await report({ ...own, samples: 2, maxTokens: 2 });
  const counts: { fired: number; tokens: number }[] = [];
  for (const line of readFileSync(base.heldout![0]!, 'utf8').trim().split('\n')) {
    const ids = model.tokenizer!.encode(JSON.parse(line).text, { bos: true });
    const batch = padBatch([ids.slice(0, model.info.contextLength)]);
    const h = (await model.runWithCache(batch, HOOK)).cache[HOOK]!.data;
    let fired = 0;
    for (let t = 0; t < batch.T; t++) {
      if (model.tokenizer!.specialIds.has(batch.ids[t]!)) continue;
      const pre = Array.from({ length: F }, (_, f) =>
        h
          .subarray(t * sae.config.D, (t + 1) * sae.config.D)
          .reduce((sum, x, d) => sum + x * sae.W_enc[f * sae.config.D + d]!, 0),
      );
      // TopK by hand: of 48, fewer than 8 are larger.
      fired += Number(pre[latent]! > 0 && pre.filter((x) => x > pre[latent]!).length < 8);
    }
    counts.push({ fired, tokens: batch.T });
  }
  counts.sort((a, b) => b.fired / b.tokens - a.fired / a.tokens);
  const [chosen, others] = [counts.slice(0, 8), counts.slice(8)];
  // A tie at the border makes no difference: texts that are cut are equally long.
  expect(counts.every(({ tokens }) => tokens === model.info.contextLength)).toBe(true);
  const share = (list: typeof counts) =>
    list.reduce((sum, { fired }) => sum + fired, 0) / list.reduce((sum, { tokens }) => sum + tokens, 0);
  const [feature] = made.features;
  expect(feature!.density).toBeCloseTo(share(counts), 10);
  expect(feature!.selectivity).toBeCloseTo(share(chosen) - share(others), 10);
  expect(feature!.selectivity).toBeGreaterThan(0);
  expect(made.notes.join()).toContain('own concept');
  expect(plain.notes.join()).not.toContain('own concept');
  expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('selectivity');
});

/** What a person sees, without the time and the config. */
const shown = ({ features, hook, notes }: SteerReport) => JSON.stringify({ features, hook, notes });

/** A change of every option, and what it changes. */
const changes: { readonly [name in keyof SteerReportConfigInput]?: () => Partial<SteerReportConfigInput> } = {
  hook: () => ({ hook: 'blocks.1.hook_resid_post' }),
  latents: () => ({ latents: [plain.features[0]!.matched[0]!] }),
  choose: () => ({ choose: 2 }),
  register: () => ({ register: 'words' }),
  positive: () => {
    const path = join(place, 'positive.jsonl');
    const lines = ['aaaa bbbb aaaa', 'cccc aaaa aaaa', 'aaaa cccc bbbb', 'bbbb aaaa aaaa'];
    writeFileSync(path, lines.map((text) => JSON.stringify({ text })).join('\n'));
    return { register: undefined, positive: [path] };
  },
  negative: () => {
    const path = join(place, 'negative.jsonl');
    const lines = ['xxx yyy zzz xxx', 'zzz xxx yyy yyy', 'yyy yyy xxx zzz', 'xxx zzz zzz yyy'];
    writeFileSync(path, lines.map((text) => JSON.stringify({ text })).join('\n'));
    return { negative: [path] };
  },
  checker: () => ({ checker: 'dna' }),
  target: () => ({ target: ['q', 'z'] }),
  prompt: () => ({ prompt: 'the river' }),
  conceptPrompt: () => ({ conceptPrompt: 'one two three' }),
  mode: () => ({ mode: 'add' }),
  strengths: () => ({ strengths: [2] }),
  samples: () => ({ samples: 3 }),
  maxTokens: () => ({ maxTokens: 4 }),
  temperature: () => ({ temperature: 0.3 }),
  topP: () => ({ topP: 0.2 }),
  controls: () => ({ controls: 4 }),
  textTokens: () => ({ textTokens: 96 }),
  indexTokens: () => ({ indexTokens: 1100 }),
  seed: () => ({ seed: 1 }),
  heldout: () => {
    const path = join(place, 'other.jsonl');
    const lines = readFileSync(base.heldout![0]!, 'utf8').trim().split('\n');
    writeFileSync(path, lines.slice(0, 40).join('\n'));
    return { heldout: [path] };
  },
  data: () => ({ data: base.heldout!, heldout: undefined }),
  textField: () => {
    const path = join(place, 'fields.jsonl');
    writeFileSync(path, readFileSync(base.heldout![0]!, 'utf8').replaceAll('"text"', '"body"'));
    return { heldout: [path], textField: 'body' };
  },
};
/** Where, or with how many threads; tested by others, or in the cases of this file. */
const elsewhere = ['$schema', 'sae', 'model', 'allowWrong', 'device', 'lowMemory', 'threads', 'out'];

describe('options', () => {
  it('are all here', () => {
    const names = [...Object.keys(changes), ...elsewhere].sort();
    expect(names).toEqual(Object.keys(steerReportConfigSchema.shape).sort());
  });

  it.each(Object.entries(changes).filter(([name]) => name !== 'textField' && name !== 'data'))(
    '%s',
    async (_, change) => {
      // Into the folder of the plain one, whose candidates are found again: what does not depend on the option is not measured twice,
      // and what does is.
      const { report: changed } = await report({ out: join(place, 'out-0'), ...change() });
      expect(shown(changed)).not.toBe(shown(plain));
    },
  );

  it('textField names the field: the same texts give the same report', async () => {
    expect(shown((await report(changes.textField!())).report)).toBe(shown(plain));
  });

  it('data: their held-out part is read', async () => {
    const { heldout: _, ...rest } = base;
    const out = join(place, 'of-data');
    const config = steerReportConfigSchema.parse({ ...rest, data: base.heldout, controls: 2, out });
    // 80 documents have 4 held out, and a concept needs texts on both sides.
    await expect(steerReport(config)).rejects.toThrow(/no held-out document is of it|too few/);
  });
});

describe('bad input', () => {
  it.each([
    [{ register: undefined }, /--latents, or a concept/],
    [{ register: 'sum' }, /no held-out document is of it. Did you mean "sums"\? There are: sums, words/],
    [{ checker: 'dnaa' }, /no such checker. Did you mean "dna"\?/],
    [{ target: ['two words'] }, /"two words" is 9 tokens/],
    [{ latents: [F] }, /latents 0 to 47/],
    [{ controls: 200 }, /only \d+ others are as frequent/],
    [{ register: undefined, latents: [3], target: ['two words'] }, /"two words" is 9 tokens/],
    [{ register: undefined, latents: [3], controls: 200 }, /only \d+ others are as frequent/],
    [{ hook: 'blocks.9.hook_resid_post' }, /blocks.9/],
  ] as const)('%o', async (change, message) => {
    const out = join(place, `refused-${folders++}`);
    await expect(report({ ...(change as Partial<SteerReportConfigInput>), out })).rejects.toThrow(message);
    expect(existsSync(out)).toBe(false);
  });
});

it('stops on a signal with what was measured kept, and the same call goes on to the same report', async () => {
  const out = join(place, 'stopped');
  const controller = new AbortController();
  const config = steerReportConfigSchema.parse({ ...base, out });
  let measured = 0;
  const running = steerReport(config, {
    signal: controller.signal,
    onProgress: ({ stage, done }) => {
      // The two that are unsteered, and the first batch of others.
      if (stage === 'candidates' && done > 2) controller.abort(new Error('enough'));
      if (stage === 'candidates') measured = done;
    },
  });
  await expect(running).rejects.toThrow('enough');
  expect(existsSync(join(out, 'report.json'))).toBe(false);
  expect(readFileSync(join(out, 'arms.jsonl'), 'utf8').trim().split('\n').length).toBe(measured);
  // Of the first strength, not of the second.
  expect(measured).toBe(2 + 3 + 3 + 3);
  // A crash in the middle of a line: its whole batch is measured again, and has the same bits.
  writeFileSync(join(out, 'arms.jsonl'), readFileSync(join(out, 'arms.jsonl'), 'utf8').slice(0, -20));
  const { report: whole } = await report({ out });
  expect(shown(whole)).toBe(shown(plain));
  const lines = readFileSync(join(out, 'arms.jsonl'), 'utf8').trim().split('\n');
  const keys = lines.flatMap((line) => {
    try {
      return [(JSON.parse(line) as string[])[0]];
    } catch {
      return [];
    }
  });
  expect(new Set(keys).size).toBe(keys.length);
});

it('what was measured of another SAE or other texts under the same names is not taken for this', async () => {
  const out = join(place, 'again');
  const own = join(place, 'own.jsonl');
  const given = { ...base, heldout: [own], sae: join(place, 'changed'), strengths: [1], controls: 1, out };
  const arms = () => readFileSync(join(out, 'arms.jsonl'), 'utf8').trim().split('\n').length;
  cpSync(join(place, 'corpus.jsonl'), own);
  await saveSae(folderWriter(given.sae), sae);
  await report(given);
  const once = arms();
  await report(given);
  expect(arms()).toBe(once);
  // The same decoder.
  await saveSae(folderWriter(given.sae), { ...sae, config: { ...sae.config, K: 9 } } as Sae);
  await report(given);
  expect(arms()).toBe(2 * once);
  writeFileSync(own, readFileSync(own, 'utf8').split('\n').slice(6).join('\n'));
  await report(given);
  expect(arms()).toBe(3 * once);
});

it('an SAE of another model is refused; with allowWrong its report is the same', async () => {
  const other = join(place, 'other-model');
  const metadata = { ...sae.config.metadata, model_hash: 'a'.repeat(64) };
  await saveSae(folderWriter(other), { ...sae, config: { ...sae.config, metadata } });
  await expect(report({ sae: other })).rejects.toThrow(/with hash aaaa.*--allow-wrong/);
  expect(shown((await report({ sae: other, allowWrong: true })).report)).toBe(shown(plain));
});

it('a judge of the caller is asked about every text', async () => {
  const config = steerReportConfigSchema.parse({
    ...base,
    out: join(place, 'judged'),
    strengths: [1],
    controls: 1,
  });
  const asked: string[] = [];
  const { report: judged } = await steerReport(config, {
    judge: async (text) => {
      asked.push(text);
      return text.length;
    },
  });
  const candidates = judged.features.length * (2 + 3 + 1 + 3);
  // The unsteered model is measured once for all features.
  expect(asked.length).toBeLessThanOrEqual(4 * candidates);
  expect(asked.length).toBeGreaterThan(4 * (candidates - 4));
  const [none] = judged.features[0]!.unsteered;
  expect(none!.measures.judge!.value).toBeCloseTo(
    asked.slice(0, 4).reduce((sum, { length }) => sum + length, 0) / 4,
    10,
  );
});

it('of a transcoder, latents are read where it reads, and everything is pushed where it writes, at its width', async () => {
  const [reads, writes] = ['blocks.1.hook_resid_mid', 'blocks.1.hook_mlp_out'];
  const { D } = model.info;
  const rng = createRng('a transcoder');
  const rows = () => Float32Array.from({ length: F * D }, () => rng.normal() / Math.sqrt(D));
  const metadata = { hook_name: reads, hook_name_out: writes, model_hash: model.info.hash };
  const transcoder: Sae = {
    config: { architecture: 'jumprelu', D, Dout: D, F, metadata },
    ...{ W_enc: rows(), b_enc: new Float32Array(F), W_dec: rows(), b_dec: new Float32Array(D) },
    threshold: new Float32Array(F).fill(0.1),
  };
  await saveSae(folderWriter(join(place, 'transcoder')), transcoder);
  await writeLabel(join(place, 'transcoder'), 5, { latent: 5, label: 'stones', checked: 'me, today' });
  const given = { sae: join(place, 'transcoder'), latents: [5] };
  await expect(report(given)).rejects.toThrow(/not used\. It explains nothing .* --allow-wrong/s);
  const { report: made, folder } = await report({
    ...{ ...given, mode: 'add', strengths: [2], controls: 2, allowWrong: true },
  });
  expect(readFileSync(join(folder, 'report.html'), 'utf8')).toMatch(/<p>SAE wrong \(L0 .*explains nothing/);
  const [feature] = made.features;
  expect(feature!.label).toBe('stones');
  expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('#5 <span>stones</span>');
  // KL of the latent by hand: its decoder row, so many times, is added to what the MLP gives.
  const texts = readFileSync(base.heldout![0]!, 'utf8').trim().split('\n');
  const kls: number[] = [];
  for (const line of texts) {
    const { text, register } = JSON.parse(line);
    if (register !== 'words') continue;
    const bos = model.info.bosTokenId === undefined ? [] : [model.info.bosTokenId];
    const batch = padBatch([[...bos, ...model.tokenizer!.encode(text).slice(0, 32)]]);
    const steer = {
      hook: writes,
      directions: transcoder.W_dec.slice(5 * D, 6 * D),
      strengths: Float32Array.of(2 * feature!.largest),
    };
    const [before, after] = [
      (await model.run(batch, { logits: true })).logits!.data,
      (await model.run(batch, { logits: true, steer })).logits!.data,
    ];
    const { V } = model.info;
    let sum = 0;
    for (let t = 0; t < batch.T; t++) {
      const logs = (logits: Float32Array) => {
        const row = Array.from(logits.subarray(t * V, (t + 1) * V));
        const z = Math.log(row.reduce((all, x) => all + Math.exp(x), 0));
        return row.map((x) => x - z);
      };
      const [p, q] = [logs(before), logs(after)] as [number[], number[]];
      sum += p.reduce((all, x, v) => all + Math.exp(x) * (x - q[v]!), 0);
    }
    kls.push(sum / batch.T);
  }
  const { kl } = feature!.points.find(({ arm }) => arm === 'latent')!.measures;
  expect(kl!.n).toBe(2);
  const near = kls.flatMap((a, i) => kls.slice(i + 1).map((b) => Math.abs((a + b) / 2 - kl!.value!)));
  expect(Math.min(...near)).toBeLessThan(1e-3 * kl!.value!);
  expect(feature!.points.some(({ arm }) => arm === 'difference of means')).toBe(true);
});
