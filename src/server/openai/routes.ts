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
import type { Closing } from '../closing.ts';
import { answerTo, unknown } from '../errors.ts';
import { check, readBody } from '../http/input.ts';
import type { Lab } from '../lab.ts';
import { checkMaxTokens, promptIds } from '../prompts.ts';
import { type Job, type Piece, type Result, type Written, withJob } from './write.ts';

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
          ...(name == null ? {} : { name }),
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

type Parts = {
  readonly lab: Lab;
  readonly closing: Closing;
  readonly onError: (error: unknown) => void;
};

/** What a request is answered with, whole or in pieces. */
function createAnswer<R extends ChatRequest | CompletionRequest>(kind: Kind<R>, request: R) {
  const head = {
    id: `${kind.id}-${randomBytes(12).toString('hex')}`,
    created: Math.floor(Date.now() / 1000),
    model: request.model,
    system_fingerprint: 'saekit',
  };
  const choice = (index: number, rest: object, finish: Written['finish'] | null) => ({
    index,
    ...rest,
    finish_reason: finish,
    logprobs: null,
  });
  const withFeatures = (features: object | undefined) => (features ? { features } : {});
  const chunk = (choices: readonly object[], more = {}) => ({
    ...head,
    object: kind.chunk,
    choices,
    ...more,
  });
  const begun = new Set<number>();
  return {
    whole: ({ choices, usage }: Result) => ({
      ...head,
      object: kind.object,
      choices: choices.map(({ text, finish, features }, index) =>
        choice(index, { ...kind.whole(text), ...withFeatures(features) }, finish),
      ),
      usage,
    }),
    piece({ row, text, alarms }: Piece) {
      const first = !begun.has(row);
      begun.add(row);
      const features = alarms.length > 0 ? { alarms } : undefined;
      return chunk([choice(row, { ...kind.piece(text, first), ...withFeatures(features) }, null)]);
    },
    /** What comes after the last piece. */
    end: ({ choices, usage }: Result) => [
      ...choices.map(({ finish, features }, index) =>
        chunk([choice(index, { ...kind.piece('', false), ...withFeatures(features) }, finish)]),
      ),
      ...(request.stream_options?.include_usage ? [chunk([], { usage })] : []),
    ],
  };
}

/** One request: waits for its turn, then writes. Errors before the first piece are plain answers; after it, an event. */
async function respond<R extends ChatRequest | CompletionRequest>(
  c: Context,
  { lab, closing, onError }: Parts,
  kind: Kind<R>,
  request: R,
): Promise<Response> {
  const gone = new AbortController();
  const answer = createAnswer(kind, request);
  /** In the line of the writers, with all that the request needs. */
  const inTurn = <T>(use: (job: Job) => Promise<T>): Promise<T> =>
    closing.run([c.req.raw.signal, gone.signal], (signal) => {
      let prompts: readonly TokenBatch[] = [];
      const parts = {
        prompts: (model: Model) => (prompts = kind.prompts(request, model)),
        max: (model: Model) => kind.max(request, model, prompts),
      };
      return withJob(lab, request, parts, signal, (job) => lab.writers.run(signal, () => use(job)));
    });
  if (!request.stream) return c.json(answer.whole(await inTurn((job) => job.write())));

  /** Writes into a stream; the next in line begins when all is written, also if this reader is slow. */
  const stream = (job: Job, written: (work: Promise<unknown>) => void): Response =>
    streamSSE(c, async (sse) => {
      sse.onAbort(() => gone.abort());
      let last: Promise<void> = Promise.resolve();
      const send = (value: object | string): void => {
        const data = typeof value === 'string' ? value : JSON.stringify(value);
        last = last.then(() => sse.writeSSE({ data }));
      };
      const work = job.write((piece) => send(answer.piece(piece)));
      written(work);
      try {
        for (const value of answer.end(await work)) send(value);
        send('[DONE]');
      } catch (error) {
        const { status, body } = answerTo(error);
        if (status === 500) onError(error);
        send(body);
      }
      await last;
    });
  // The answer begins when the request is known to be good and its turn has come.
  return await new Promise<Response>((resolve, reject) => {
    inTurn(
      (job) => new Promise<unknown>((written) => resolve(stream(job, written))),
      // After the answer has begun this changes nothing.
    ).catch(reject);
  });
}

export function addOpenAiRoutes(app: Hono, parts: Parts): void {
  const { lab } = parts;
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
    async (c) => await respond(c, parts, chat, check(chatRequestSchema, await readBody(c))),
  );
  app.post(
    '/v1/completions',
    async (c) => await respond(c, parts, completion, check(completionRequestSchema, await readBody(c))),
  );
}
