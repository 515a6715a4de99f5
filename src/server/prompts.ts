/** A prompt of a request -> token ids, or what is wrong with it. */
import type { Message } from '../data/types.ts';
import { padBatch } from '../models/index.ts';
import type { Model, TokenBatch } from '../models/types.ts';
import { badRequest } from './errors.ts';
import type { Lab } from './lab.ts';

/** Text is counted in characters before it is tokenized: no vocabulary has tokens that long on average. */
const CHARACTERS_PER_TOKEN = 64;

const tooLong = (found: string, most: number, param: string) =>
  badRequest(`${param}: found ${found}, expected at most ${most} tokens.`, param, 'context_length_exceeded');

/** @throws ApiError for a model that cannot chat or write, and for a prompt that is empty or too long */
export function promptIds(
  { config }: Pick<Lab, 'config'>,
  model: Model,
  prompt: string | readonly Message[] | readonly number[],
  param: string,
): TokenBatch {
  const { tokenizer, info } = model;
  if (info.encoder) throw badRequest(`${info.name} is an encoder and writes no text.`, 'model');
  if (!tokenizer)
    throw badRequest(`${info.name} has no tokenizer.json, so it cannot be asked in words.`, 'model');
  // One token at least is to be written.
  const most = Math.min(config.maxPromptTokens ?? Number.POSITIVE_INFINITY, info.contextLength - 1);
  const isText = typeof prompt === 'string';
  const isIds = !isText && typeof prompt[0] === 'number';
  let ids: readonly number[];
  if (isIds) {
    ids = prompt as readonly number[];
    const wrong = ids.find((id) => id >= info.V);
    if (wrong !== undefined)
      throw badRequest(`${param}: found token ${wrong}, expected ids below ${info.V}.`, param);
  } else {
    const text = isText ? prompt : conversation(model, prompt as readonly Message[], param);
    if (text.length > most * CHARACTERS_PER_TOKEN) throw tooLong(`${text.length} characters`, most, param);
    // Templates write the beginning of the sequence themselves.
    ids = isText ? tokenizer.encodePrompt(text) : tokenizer.encode(text);
  }
  if (ids.length === 0) throw badRequest(`${param}: found no token, expected at least one.`, param);
  if (ids.length > most) throw tooLong(`${ids.length} tokens`, most, param);
  return padBatch([[...ids]]);
}

function conversation({ tokenizer, info }: Model, messages: readonly Message[], param: string): string {
  if (!tokenizer?.renderChat)
    throw badRequest(
      `${info.name} has no chat template. Use /v1/completions with a prompt of your own.`,
      'model',
      'no_chat_template',
    );
  try {
    return tokenizer.renderChat(messages, { addGenerationPrompt: true, spans: false }).text;
  } catch (error) {
    throw badRequest(`${param}: ${(error as Error).message}`, param);
  }
}

/** @throws ApiError when more is asked for than the server writes */
export function checkMaxTokens({ config }: Pick<Lab, 'config'>, asked: number, param: string): void {
  if (asked > config.maxNewTokens)
    throw badRequest(
      `${param}: found ${asked}, expected at most ${config.maxNewTokens}; --max-new-tokens of saekit serve raises it.`,
      param,
    );
}
