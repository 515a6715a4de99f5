// OpenAI's own client against a real server; the numbers are those of the library.
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../platform/node.ts';
import { ask, createServerFixture, type Lab, MODEL, RUN } from '../../test/fixtures/server.ts';
import { root } from '../../test/repository.ts';
import { DNA, largest, late } from '../../test/support/demo.ts';
import { padBatch } from '../models/index.ts';
import { openModel } from '../models/open.ts';
import type { Model } from '../models/types.ts';
import { encode, loadSae, type Sae } from '../sae/index.ts';
import type { FeaturesResponse } from '../shared/openai.ts';
import { steer } from '../steer/index.ts';
import type { RunningServer } from './index.ts';

const PROMPT = 'The meeting will be held';
const [STRENGTH, THRESHOLD] = [2.5 * largest(DNA), largest(DNA) / 20];
let fixture: Lab;
let server: RunningServer;
let client: OpenAI;
let model: Model;
let sae: Sae;
beforeAll(async () => {
  fixture = await createServerFixture();
  server = await fixture.start({ maxNewTokens: 200 });
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  model = await openModel(`${root}/demo/model`, { threads: 1 });
  sae = await loadSae(`${root}/demo/saes/${RUN}`);
}, 60_000);
afterAll(async () => {
  await server?.close();
  await model?.close();
  fixture?.remove();
});

type Whole = FeaturesResponse & { readonly activations: NonNullable<FeaturesResponse['activations']> };
/** Fields that OpenAI's client does not know are sent as they are. */
const extra = (features: unknown): object => ({ features });
const featuresOf = (choice: unknown) => (choice as { features: Whole }).features;

describe('models', () => {
  it('are those of the runs', async () => {
    const ids = (await client.models.list()).data.map(({ id }) => id);
    expect(ids).toEqual([MODEL, fixture.tiny]);
    expect((await client.models.retrieve(MODEL)).id).toBe(MODEL);
    await expect(client.models.retrieve('demo/modell')).rejects.toThrow(/Did you mean "demo\/model"/);
  });
});

describe('completions', () => {
  const sampling = { maxNewTokens: 24, temperature: 0.8, topP: 0.9, topK: 50, minP: 0.01, seed: 7 };
  const asked = {
    model: MODEL,
    prompt: PROMPT,
    max_tokens: 24,
    temperature: 0.8,
    top_p: 0.9,
    seed: 7,
    ...{ top_k: 50, min_p: 0.01 },
  };

  it('write what the library writes, whole and in pieces', async () => {
    const expected = await model.generate(PROMPT, sampling);
    const whole = await client.completions.create(asked);
    expect(whole.choices[0]!.text).toBe(expected);
    expect(whole.choices[0]!.finish_reason).toBe('length');
    expect(whole.usage).toEqual({ prompt_tokens: 6, completion_tokens: 24, total_tokens: 30 });
    let text = '';
    let pieces = 0;
    let usage: unknown;
    const stream = await client.completions.create({
      ...asked,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? '';
      pieces++;
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(expected);
    expect(pieces).toBeGreaterThan(10);
    expect(usage).toEqual(whole.usage);
  });

  it('without a seed differ; n and lists of prompts give one choice each', async () => {
    const free = { model: MODEL, prompt: PROMPT, max_tokens: 24, temperature: 1 };
    const [a, b] = await Promise.all([client.completions.create(free), client.completions.create(free)]);
    expect(a.choices[0]!.text).not.toBe(b.choices[0]!.text);
    const several = await client.completions.create({ ...asked, prompt: [PROMPT, 'ACGT'], n: 2 });
    expect(several.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    const texts = several.choices.map(({ text }) => text);
    expect(new Set(texts).size).toBe(4);
    expect(texts[0]).toBe(await model.generate(PROMPT, sampling));
    const ids = model.tokenizer!.encode(PROMPT, { bos: true });
    expect((await client.completions.create({ ...asked, prompt: ids })).choices[0]!.text).toBe(texts[0]);
  });

  it('end at stop strings', async () => {
    const greedy = await model.generate(PROMPT, { maxNewTokens: 24 });
    const [, before, stop] = /^([\s\S]{6,}?\s)(\S+)/.exec(greedy)!;
    const text = greedy.slice(0, greedy.indexOf(stop!));
    expect(before!.startsWith(text)).toBe(true);
    const { choices } = await client.completions.create({ ...asked, temperature: 0, stop: [stop!] });
    expect(choices[0]).toMatchObject({ text, finish_reason: 'stop' });
  });

  it('are steered: as the library does, and by strength 0 not at all', async () => {
    const greedy = { model: MODEL, prompt: PROMPT, max_tokens: 20, temperature: 0 };
    const text = async (strength: number) =>
      (
        await client.completions.create({
          ...greedy,
          ...extra({ steer: [{ run: RUN, latent: DNA, value: strength }] }),
        })
      ).choices[0]!.text;
    const interventions = await steer(model, [{ sae, latent: DNA, value: STRENGTH }]);
    expect(await text(STRENGTH)).toBe(await model.generate(PROMPT, { maxNewTokens: 20, interventions }));
    expect(await text(STRENGTH)).not.toBe(await text(0));
    expect(await text(0)).toBe(await model.generate(PROMPT, { maxNewTokens: 20 }));
  });

  it('return activations, and alarms where they are above a threshold', async () => {
    const { choices } = await client.completions.create({
      ...{ model: MODEL, prompt: 'ATGCTGTTCTGGTGAACAACTTCCCATG', max_tokens: 20, temperature: 0 },
      ...extra({
        activations: { run: RUN, latents: [DNA, 0], prompt: true },
        alarms: [{ run: RUN, latent: DNA, threshold: THRESHOLD }],
      }),
    });
    const { activations, alarms } = featuresOf(choices[0]);
    const ids = model.tokenizer!.encode(`ATGCTGTTCTGGTGAACAACTTCCCATG`, { bos: true });
    const [made] = await model.generateBatch(padBatch([ids]), { maxNewTokens: 20 });
    // One pass over the finished text, all tokens at once.
    const { cache } = await model.run(padBatch([[...ids, ...made!.ids]]), { hooks: [RUN] });
    const code = await encode(sae, cache[RUN]!.data);
    const column = Array.from({ length: code.B }, (_, t) => {
      const k = code.indices.subarray(t * code.K, (t + 1) * code.K).indexOf(DNA);
      return k < 0 ? 0 : code.values[t * code.K + k]!;
    });
    expect(activations.tokens).toHaveLength(column.length);
    for (const [t, { position, features }] of activations.tokens.entries()) {
      expect([position, features.map(({ latent }) => latent)]).toEqual([t, [DNA, 0]]);
      expect(Math.abs(features[0]!.value - column[t]!)).toBeLessThan(1e-3);
    }
    const loud = column.flatMap((value, t) => (t >= ids.length && value > THRESHOLD ? [t] : []));
    expect(loud.length).toBeGreaterThan(1);
    expect(alarms.map(({ position }) => position)).toEqual(loud);
    expect(alarms[0]).toMatchObject({
      run: RUN,
      latent: DNA,
      threshold: THRESHOLD,
      token: model.tokenizer!.tokenStrings([made!.ids[loud[0]! - ids.length]!])[0],
    });
    const stopped = await client.completions.create({
      ...{ model: MODEL, prompt: 'ATGCTGTTCTGGTGAACAACTTCCCATG', max_tokens: 20, temperature: 0 },
      ...extra({ alarms: [{ run: RUN, latent: DNA, threshold: THRESHOLD, stop: true }] }),
    });
    expect(stopped.choices[0]!.finish_reason).toBe('stop');
    expect(stopped.usage!.completion_tokens).toBe(loud[0]! - ids.length + 1);
  });

  it('ring while the text is written', async () => {
    const stream = await client.completions.create({
      ...{ model: MODEL, prompt: PROMPT, max_tokens: 6, temperature: 0, stream: true as const },
      ...extra({
        steer: [{ run: RUN, latent: DNA, value: STRENGTH }],
        alarms: [{ run: RUN, latent: DNA, threshold: 2 * THRESHOLD }],
      }),
    });
    const rang: number[] = [];
    for await (const { choices } of stream)
      if (choices[0]?.finish_reason === null) rang.push(featuresOf(choices[0])?.alarms.length ?? 0);
    expect(rang.filter((n) => n === 1).length).toBeGreaterThanOrEqual(5);
    expect(rang.indexOf(1)).toBeLessThan(3);
  });
});

describe('chat completions', () => {
  const messages = [
    { role: 'system' as const, content: 'Be brief.' },
    {
      role: 'user' as const,
      content: [
        { type: 'text' as const, text: 'Name ' },
        { type: 'text' as const, text: 'a river.' },
      ],
    },
  ];
  it('answer with the template of the model, whole and in pieces', async () => {
    const tiny = await openModel(fixture.tiny, { threads: 1 });
    const expected = await tiny.chat(
      [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Name a river.' },
      ],
      {
        maxNewTokens: 12,
      },
    );
    await tiny.close();
    expect(expected).not.toBe('');
    const asked = { model: fixture.tiny, messages, max_completion_tokens: 12, temperature: 0 };
    const whole = await client.chat.completions.create(asked);
    expect(whole.choices[0]!.message).toMatchObject({ role: 'assistant', content: expected });
    // The client's own way to put the pieces together.
    const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
    expect(streamed.choices[0]!.message.content).toBe(expected);
    expect(streamed.choices[0]!.finish_reason).toBe(whole.choices[0]!.finish_reason);
  });
  it('take back the message that they gave, and the next turn reads it', async () => {
    const conversation: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'a' }];
    const asked = { model: fixture.tiny, max_completion_tokens: 4, temperature: 0 };
    const first = await client.chat.completions.create({ ...asked, messages: conversation });
    const { message } = first.choices[0]!;
    conversation.push(message, { role: 'user', content: 'b' });
    const second = await client.chat.completions.create({ ...asked, messages: conversation });
    const tiny = await openModel(fixture.tiny, { threads: 1 });
    const expected = await tiny.chat(
      [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: message.content! },
        { role: 'user', content: 'b' },
      ],
      { maxNewTokens: 4 },
    );
    await tiny.close();
    expect(second.choices[0]!.message.content).toBe(expected);
    // As other servers' clients fill it up.
    const [, turn] = conversation;
    const filled = { ...turn, annotations: [], audio: null, tool_calls: [], function_call: null };
    const third = await client.chat.completions.create({
      ...asked,
      messages: [conversation[0]!, filled as typeof message, conversation[2]!],
    });
    expect(third.choices[0]!.message.content).toBe(expected);
  });
  const neutral: object[] = [
    ...[{ tools: null }, { tools: [] }, { tool_choice: 'none' }, { tool_choice: 'auto' }],
    ...[{ top_logprobs: null }, { parallel_tool_calls: true }, { parallel_tool_calls: false }],
    ...[{ service_tier: 'auto' }, { service_tier: 'default' }, { modalities: ['text'] }],
  ];
  const asked = { messages: [{ role: 'user', content: 'Name a river.' }], max_tokens: 4, temperature: 0 };
  it('take what changes nothing, and answer the same', async () => {
    const answer = async (change: object) => {
      const reply = await ask(server, 'POST', '/v1/chat/completions', {
        ...{ model: fixture.tiny, ...asked, ...change },
      });
      expect(reply.status, JSON.stringify([change, reply.body])).toBe(200);
      return reply.body.choices;
    };
    const plain = await answer({});
    for (const change of neutral) expect(await answer(change)).toEqual(plain);
  });
  const call = { id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } };
  it.each([
    ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }],
    ['tool_choice', { tool_choice: 'required' }],
    ['top_logprobs', { top_logprobs: 3 }],
    ['service_tier', { service_tier: 'priority' }],
    ['modalities', { modalities: ['text', 'audio'] }],
    ['messages[0].tool_calls', { messages: [{ role: 'assistant', content: '', tool_calls: [call] }] }],
    ['messages[0].refusal', { messages: [{ role: 'assistant', content: '', refusal: 'No.' }] }],
  ])('refuse %s that would change something', async (param, change) => {
    const body = { model: fixture.tiny, ...asked, ...change };
    const reply = await ask(server, 'POST', '/v1/chat/completions', body);
    expect([reply.status, reply.body.error?.param]).toEqual([400, param]);
  });
  it('need a template', async () => {
    const error = await client.chat.completions
      .create({ model: MODEL, messages })
      .catch((error: unknown) => error);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ status: 400, param: 'model', code: 'no_chat_template' });
  });
});

describe('a wrong request is told its field', () => {
  const run = { run: RUN, latent: 1, value: 1 };
  const cases: [string, number, string | null, object | string][] = [
    ['no model', 400, 'model', { model: undefined }],
    ['unknown model', 404, 'model', { model: 'gpt-4' }],
    ['no prompt', 400, 'prompt', { prompt: undefined }],
    ['prompt of another kind', 400, 'prompt', { prompt: { a: 1 } }],
    ['a list in which one is wrong', 400, 'prompt[1]', { prompt: ['a', 7] }],
    ['empty list', 400, 'prompt', { prompt: [] }],
    ['unknown token', 400, 'prompt', { prompt: [8192] }],
    ['negative length', 400, 'max_tokens', { max_tokens: -1 }],
    ['too long', 400, 'max_tokens', { max_tokens: 201 }],
    ['temperature', 400, 'temperature', { temperature: 'hot' }],
    ['top_p', 400, 'top_p', { top_p: 0 }],
    ['what is not done', 400, 'frequency_penalty', { frequency_penalty: 0.5 }],
    ['what is not done', 400, 'logprobs', { logprobs: 3 }],
    ['unknown field', 400, 'colour', { colour: 'red' }],
    ['unknown field within', 400, 'features.steer[0].layer', { features: { steer: [{ ...run, layer: 1 }] } }],
    ['unknown run', 404, 'features', { features: { steer: [{ ...run, run: 'nope' }] } }],
    [
      'unknown latent',
      404,
      'features.steer[0].latent',
      { features: { steer: [{ ...run, latent: late.F }] } },
    ],
    [
      'unknown latent',
      404,
      'features.alarms[0].latent',
      { features: { alarms: [{ run: RUN, latent: 5000, threshold: 1 }] } },
    ],
    ['SAE of another model', 400, 'features', { features: { steer: [{ ...run, run: 'tiny' }] } }],
    [
      'strength that overflows',
      400,
      'features.steer[0].value',
      { features: { steer: [{ ...run, value: 1e30 }] } },
    ],
    [
      'no number',
      400,
      'features.steer[0].value',
      `{"model":"${MODEL}","prompt":"a","features":{"steer":[{"run":"${RUN}","latent":1,"value":1e999}]}}`,
    ],
    ['prompt longer than the context', 400, 'prompt', { prompt: 'word '.repeat(400) }],
    ['prompt far longer', 400, 'prompt', { prompt: 'a'.repeat(150_000) }],
    ['too many texts', 400, 'n', { n: 8, prompt: ['a', 'b', 'c'] }],
    ['no JSON', 400, null, '{"model": '],
    ['no object', 400, null, '[1]'],
  ];
  it.each(cases)('%s: %i, %s', async (_, status, param, change) => {
    const body =
      typeof change === 'string' ? change : { model: MODEL, prompt: PROMPT, max_tokens: 4, ...change };
    const reply = await ask(server, 'POST', '/v1/completions', body);
    expect(reply.status, JSON.stringify(reply.body)).toBe(status);
    expect(reply.body.error).toMatchObject({ param, type: 'invalid_request_error' });
    expect(reply.body.error.message.length).toBeGreaterThan(10);
    expect(reply.body.error.message.length).toBeLessThan(400);
  });
  it('both models are named', async () => {
    const { body } = await ask(server, 'POST', '/v1/completions', {
      model: MODEL,
      prompt: 'a',
      features: { steer: [{ ...run, run: 'tiny' }] },
    });
    expect(body.error.message).toContain('tiny-model');
    expect(body.error.message).toContain(MODEL);
  });
});
