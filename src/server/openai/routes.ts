/** /v1: OpenAI's models, chat completions and completions, whole or as events. */
import { randomBytes } from 'node:crypto';
import type { Context, Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import type { Message } from '../../data/types.ts';
import type { Model, TokenBatch } from '../../models/types.ts';
import {
  type ChatRequest,
  type CompletionRequest,
  chatRequestSchema,
  completionRequestSchema,
} from '../../shared/openai.ts';
import { answerTo, unknown } from '../errors.ts';
import { check, readBody } from '../http/input.ts';
import type { Lab } from '../lab.ts';
import { checkMaxTokens, promptIds } from '../prompts.ts';
import { type Job, type Piece, type Written, withJob } from './write.ts';

/** What differs between the two kinds. */
type Kind<R> = {
  readonly object: string;
  readonly chunk: string;
  readonly id: string;
  /** Tokens to write at most. */
  readonly max: (request: R, model: Model, prompts: readonly TokenBatch[]) => number;
  readonly prompts: (request: R, model: Model) => readonly TokenBatch[];
  readonly whole: (text: string) => Record<string, unknown>;
  readonly piece: (text: string, first: boolean) => Record<string, unknown>;
};

const COMPLETION_TOKENS = 16;

const contentOf = (content: ChatRequest['messages'][number]['content']): string =>
  typeof content === 'string' ? content : content.map(({ text }) => text).join('');

function chatKind(lab: Lab): Kind<ChatRequest> {
  return {
    object: 'chat.completion',
    chunk: 'chat.completion.chunk',
    id: 'chatcmpl',
    prompts({ messages }, model) {
      const conversation = messages.map(
        ({ role, content, name }): Message => ({
          role: role === 'developer' ? 'system' : role,
          content: contentOf(content),
          ...(name === undefined ? {} : { name }),
        }),
      );
      return [promptIds(lab, model, conversation, 'messages')];
    },
    max({ max_completion_tokens, max_tokens }, { info }, [prompt]) {
      const asked = max_completion_tokens ?? max_tokens;
      if (asked != null)
        checkMaxTokens(lab, asked, max_completion_tokens == null ? 'max_tokens' : 'max_completion_tokens');
      return asked ?? Math.min(lab.config.maxNewTokens, info.contextLength - prompt!.T);
    },
    whole: (content) => ({ message: { role: 'assistant', content, refusal: null } }),
    piece: (content, first) => ({
      delta: first ? { role: 'assistant', content } : content === '' ? {} : { content },
    }),
  };
}

function completionKind(lab: Lab): Kind<CompletionRequest> {
  return {
    object: 'text_completion',
    chunk: 'text_completion',
    id: 'cmpl',
    prompts({ prompt }, model) {
      const several = typeof prompt !== 'string' && typeof prompt[0] !== 'number';
      const all = (several ? prompt : [prompt]) as readonly (string | number[])[];
      return all.map((one, i) => promptIds(lab, model, one, several ? `prompt[${i}]` : 'prompt'));
    },
    max({ max_tokens }) {
      const asked = max_tokens ?? COMPLETION_TOKENS;
      checkMaxTokens(lab, asked, 'max_tokens');
      return asked;
    },
    whole: (text) => ({ text }),
    piece: (text) => ({ text }),
  };
}

/** One request: waits for its turn, then writes. Errors before the first piece are plain answers; after it, an event. */
async function answer<R extends ChatRequest | CompletionRequest>(
  c: Context,
  lab: Lab,
  kind: Kind<R>,
  request: R,
  closing: AbortSignal,
): Promise<Response> {
  const gone = new AbortController();
  const signal = AbortSignal.any([c.req.raw.signal, closing, gone.signal]);
  const head = {
    id: `${kind.id}-${randomBytes(12).toString('hex')}`,
    created: Math.floor(Date.now() / 1000),
    model: request.model,
    system_fingerprint: 'saekit',
  };
  const choice = (index: number, rest: Record<string, unknown>, finish: Written['finish'] | null) => ({
    index,
    ...rest,
    finish_reason: finish,
    logprobs: null,
  });
  const withRequest = <T>(use: (job: Job) => Promise<T>): Promise<T> => {
    let prompts: readonly TokenBatch[] = [];
    return withJob(
      lab,
      request,
      {
        prompts: (model) => (prompts = kind.prompts(request, model)),
        max: (model) => kind.max(request, model, prompts),
      },
      signal,
      use,
    );
  };

  if (!request.stream) {
    const { choices, usage } = await withRequest((job) => lab.writers.run(signal, () => job.write()));
    return c.json({
      ...head,
      object: kind.object,
      choices: choices.map(({ text, finish, features }, index) =>
        choice(index, { ...kind.whole(text), ...(features ? { features } : {}) }, finish),
      ),
      usage,
    });
  }

  // The answer begins when the request is known to be good and its turn has come; the work goes on while it is read.
  return await new Promise<Response>((resolve, reject) => {
    const work = withRequest((job) =>
      lab.writers.run(
        signal,
        () =>
          new Promise<void>((written, failed) => {
            resolve(
              streamSSE(c, async (stream) => {
                stream.onAbort(() => gone.abort());
                const send = (value: unknown): Promise<void> =>
                  stream.writeSSE({ data: typeof value === 'string' ? value : JSON.stringify(value) });
                const chunk = (choices: readonly unknown[], more = {}) =>
                  send({ ...head, object: kind.chunk, choices, ...more });
                const begun = new Set<number>();
                // Pieces go out in order; a reader that is slow is waited for at the end, and a text has an end.
                let last: Promise<void> = Promise.resolve();
                const onPiece = ({ row, text, alarms }: Piece): void => {
                  const rest = {
                    ...kind.piece(text, !begun.has(row)),
                    ...(alarms.length > 0 ? { features: { alarms } } : {}),
                  };
                  begun.add(row);
                  last = last.then(() => chunk([choice(row, rest, null)]));
                };
                try {
                  const { choices, usage } = await job.write(onPiece);
                  await last;
                  for (const [index, { finish, features }] of choices.entries())
                    await chunk([
                      choice(index, { ...kind.piece('', false), ...(features ? { features } : {}) }, finish),
                    ]);
                  if (request.stream_options?.include_usage) await chunk([], { usage });
                  await send('[DONE]');
                  written();
                } catch (error) {
                  await last.catch(() => {});
                  await send(answerTo(error).body).catch(() => {});
                  failed(error);
                }
              }),
            );
          }),
      ),
    );
    // After the answer has begun this changes nothing.
    work.catch(reject);
  });
}

/** @param closing raised when the server stops */
export function addOpenAiRoutes(app: Hono, lab: Lab, closing: AbortSignal): void {
  const [chat, completion] = [chatKind(lab), completionKind(lab)];
  const model = (id: string) => ({ id, object: 'model', created: 0, owned_by: 'saekit' });
  app.get('/v1/models', async (c) => c.json({ object: 'list', data: (await lab.models()).map(model) }));
  app.get('/v1/models/:id{.+}', async (c) => {
    const { id } = c.req.param();
    const known = await lab.models();
    if (!known.includes(id)) throw unknown('model', id, 'model', known);
    return c.json(model(id));
  });
  app.post(
    '/v1/chat/completions',
    async (c) => await answer(c, lab, chat, check(chatRequestSchema, await readBody(c)), closing),
  );
  app.post(
    '/v1/completions',
    async (c) => await answer(c, lab, completion, check(completionRequestSchema, await readBody(c)), closing),
  );
}
