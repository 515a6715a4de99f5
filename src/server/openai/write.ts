/**
 * A request for texts -> texts, pieces as they are written, usage: what chat completions and completions have in common.
 *
 *     prompts x n rows -> one batch of the model, with steering and watched features
 */
import { randomInt } from 'node:crypto';
import { padBatch } from '../../models/index.ts';
import type { Generation, Model, TokenBatch } from '../../models/types.ts';
import type {
  Alarm,
  ChatRequest,
  CompletionRequest,
  FeaturesRequest,
  FeaturesResponse,
} from '../../shared/openai.ts';
import { badRequest } from '../errors.ts';
import type { Lab, OpenRun } from '../lab.ts';
import { requireMemory } from '../memory.ts';
import { interventionsOf, runsOf } from '../steering.ts';
import { createWatch } from './watch.ts';

/** Texts of one request: their caches and logits are in memory together. */
const MAX_ROWS = 16;

export type Written = {
  readonly text: string;
  readonly finish: 'stop' | 'length';
  readonly features?: FeaturesResponse;
};
export type Piece = { readonly row: number; readonly text: string; readonly alarms: readonly Alarm[] };
export type Result = {
  readonly choices: readonly Written[];
  readonly usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
};

export type Job = {
  /** Writes; `onPiece` gets pieces as they come. */
  write(onPiece?: (piece: Piece) => void): Promise<Result>;
};

const NOTHING: FeaturesRequest = { steer: [], alarms: [] };

/** Rows [P n] of prompts, each n times. */
function repeated(prompts: readonly TokenBatch[], n: number): TokenBatch {
  return padBatch(prompts.flatMap(({ ids }) => Array.from({ length: n }, () => [...ids])));
}

/**
 * Opens what a request needs, checks it, and runs `use` with a job that can be written once.
 *
 * @param parts `prompts` to token ids, then `max` new tokens, once the model is known
 * @throws ApiError before anything is written, naming the field
 */
export async function withJob<T>(
  lab: Lab,
  request: ChatRequest | CompletionRequest,
  parts: { prompts: (model: Model) => readonly TokenBatch[]; max: (model: Model) => number },
  signal: AbortSignal,
  use: (job: Job) => Promise<T>,
): Promise<T> {
  const { features = NOTHING } = request;
  const { steer, activations, alarms } = features;
  const runs = runsOf([...steer, ...alarms, ...(activations ? [activations] : [])]);
  return await lab.useModel(request.model, signal, (model) =>
    lab.use(
      runs,
      signal,
      async (open) => {
        const prompts = parts.prompts(model);
        const job = { lab, features, model, open, prompts, maxNewTokens: parts.max(model), signal };
        return await use(await createJob(request, job));
      },
      'features',
    ),
  );
}

type Parts = {
  readonly lab: Lab;
  readonly features: FeaturesRequest;
  readonly model: Model;
  readonly open: readonly OpenRun[];
  readonly prompts: readonly TokenBatch[];
  readonly maxNewTokens: number;
  readonly signal: AbortSignal;
};

async function createJob(
  request: ChatRequest | CompletionRequest,
  { lab, features, model, open, prompts, maxNewTokens, signal }: Parts,
): Promise<Job> {
  const other = open.find(({ modelName }) => modelName !== request.model);
  if (other)
    throw badRequest(
      `features: ${other.run} is an SAE of the model ${other.modelName}, found model ${request.model}.`,
      'features',
      'wrong_model',
    );
  requireMemory(model, undefined);
  const n = request.n ?? 1;
  const rows = prompts.length * n;
  if (rows > MAX_ROWS)
    throw badRequest(
      `n: found ${prompts.length} prompts times ${n}, expected at most ${MAX_ROWS} texts.`,
      'n',
    );
  const interventions = await interventionsOf(features.steer, { lab, open, param: 'features.steer', signal });
  const seed = request.seed ?? randomInt(2 ** 31);
  const lengths = prompts.flatMap(({ T }) => Array.from({ length: n }, () => T));
  const watch = createWatch(features, { open, model, prompts: lengths, signal });

  return {
    async write(onPiece) {
      const done = await model.generateBatch(repeated(prompts, n), {
        maxNewTokens,
        temperature: request.temperature ?? 1,
        topP: request.top_p ?? 1,
        ...(request.top_k == null ? {} : { topK: request.top_k }),
        ...(request.min_p == null ? {} : { minP: request.min_p }),
        ...(request.stop == null ? {} : { stop: request.stop }),
        // n texts of one prompt are n different ones.
        seed: Array.from({ length: rows }, (_, row) => (row % n === 0 ? seed : `${seed}/${row % n}`)),
        signal,
        ...(interventions.length > 0 ? { interventions } : {}),
        ...(onPiece ? { onText: (text: string, row: number) => onPiece({ row, text, alarms: [] }) } : {}),
        ...(watch
          ? {
              capture: watch.hooks,
              async onCapture(captured, row, ids) {
                const { rang, stop } = await watch.see(captured, row, ids);
                if (rang.length > 0) onPiece?.({ row, text: '', alarms: rang });
                return stop;
              },
            }
          : {}),
      });
      return { choices: done.map((text, row) => written(text, row)), usage: usageOf(prompts, done) };
    },
  };

  function written({ text, end }: Generation, row: number): Written {
    const finish = end === 'token' || end === 'stop' ? 'stop' : 'length';
    return { text, finish, ...(watch ? { features: watch.result(row) } : {}) };
  }
}

function usageOf(prompts: readonly TokenBatch[], done: readonly Generation[]): Result['usage'] {
  const prompt_tokens = prompts.reduce((sum, { T }) => sum + T, 0);
  const completion_tokens = done.reduce((sum, { ids }) => sum + ids.length, 0);
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}
