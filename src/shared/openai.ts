/**
 * OpenAI's chat completions and completions, as far as they are served, with `features` beside them.
 *
 * Fields that would change the answer and are not done here take only the value that changes nothing; unknown fields are refused.
 */
import { z } from 'zod';
import { latentIndex, MAX_TEXT, runId, runInterventions } from './api.ts';

const neutral = <T extends z.core.util.Literal>(...values: T[]) =>
  z.literal(values).nullish().describe('Not done here: only the value that changes nothing.');
const none = z.array(z.unknown()).max(0).nullish().describe('Not done here: only [].');

const watchedFeature = z.strictObject({ run: runId, latent: latentIndex });

/** What is asked of the features while a text is written. */
export const featuresRequestSchema = z.strictObject({
  steer: runInterventions.default([]).describe('Interventions, in the terms of docs/steering.md.'),
  activations: z
    .strictObject({
      run: runId,
      latents: z.array(latentIndex).max(256).optional().describe('These latents at every token.'),
      top: z
        .int()
        .min(1)
        .max(50)
        .optional()
        .describe('The strongest at every token. Default 5 without `latents`.'),
      prompt: z.boolean().default(false).describe('Also at the tokens of the prompt.'),
    })
    .optional()
    .describe('Return activations.'),
  alarms: z
    .array(
      watchedFeature.extend({
        threshold: z.number().nonnegative().describe('Rings above this activation.'),
        stop: z.boolean().default(false).describe('The text ends with the token that rang.'),
      }),
    )
    .max(64)
    .default([])
    .describe('Latents to watch in what is written.'),
});
export type FeaturesRequest = z.output<typeof featuresRequestSchema>;

const tokenActivationsSchema = z.strictObject({
  position: z.int().describe('From the beginning of the prompt.'),
  token: z.string(),
  features: z.array(z.strictObject({ latent: latentIndex, value: z.number() })),
});
const alarmSchema = watchedFeature.extend({
  threshold: z.number(),
  value: z.number(),
  position: z.int(),
  token: z.string(),
});
export type Alarm = z.output<typeof alarmSchema>;
/** What comes back, in each choice. */
export const featuresResponseSchema = z.strictObject({
  activations: z
    .strictObject({ run: runId, hook: z.string(), tokens: z.array(tokenActivationsSchema) })
    .optional(),
  alarms: z.array(alarmSchema).describe('In the order in which they rang.'),
});
export type FeaturesResponse = z.output<typeof featuresResponseSchema>;

const requestFields = {
  model: z.string().min(1).max(500),
  temperature: z.number().min(0).max(100).nullish().describe('Default 1.'),
  top_p: z.number().gt(0).max(1).nullish().describe('Default 1.'),
  n: z.int().min(1).max(8).nullish().describe('Texts for each prompt. Default 1.'),
  stop: z.union([z.string().min(1).max(200), z.array(z.string().min(1).max(200)).max(16)]).nullish(),
  seed: z.int().nullish().describe('The same seed gives the same text. Default: one drawn at random.'),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({ include_usage: z.boolean().optional(), include_obfuscation: z.literal(false).optional() })
    .nullish(),
  top_k: z.int().positive().nullish().describe('As in other servers; not of OpenAI.'),
  min_p: z.number().min(0).max(1).nullish().describe('As in other servers; not of OpenAI.'),
  user: z.string().nullish().describe('Not used.'),
  safety_identifier: z.string().nullish().describe('Not used.'),
  prompt_cache_key: z.string().nullish().describe('Not used.'),
  metadata: z.record(z.string(), z.string()).nullish().describe('Not used.'),
  service_tier: neutral('auto', 'default'),
  store: neutral(false),
  frequency_penalty: neutral(0),
  presence_penalty: neutral(0),
  logit_bias: z.record(z.string(), z.never()).nullish().describe('Not done here: only {}.'),
  features: featuresRequestSchema.optional(),
};

const contentSchema = z.union([
  z.string().max(MAX_TEXT),
  z.array(z.strictObject({ type: z.literal('text'), text: z.string().max(MAX_TEXT) })).max(1000),
]);

export const chatRequestSchema = z.strictObject({
  ...requestFields,
  messages: z
    .array(
      z.strictObject({
        role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
        content: contentSchema,
        name: z.string().nullish(),
        // What an answer holds beside its text, so that it can be sent back as it came.
        refusal: neutral(null),
        annotations: none,
        audio: neutral(null),
        tool_calls: none,
        function_call: neutral(null),
      }),
    )
    .min(1)
    .max(1000),
  max_tokens: z.int().positive().nullish(),
  max_completion_tokens: z.int().positive().nullish().describe('Default: as many as fit.'),
  logprobs: neutral(false),
  top_logprobs: neutral(0),
  modalities: z
    .tuple([z.literal('text')])
    .nullish()
    .describe('Not done here: only ["text"].'),
  tools: none,
  tool_choice: neutral('none', 'auto'),
  parallel_tool_calls: z.boolean().nullish().describe('Not used: there are no tools.'),
  functions: none,
  function_call: neutral('none', 'auto'),
  response_format: z.strictObject({ type: z.literal('text') }).nullish(),
});
export type ChatRequest = z.output<typeof chatRequestSchema>;

export const completionRequestSchema = z.strictObject({
  ...requestFields,
  prompt: z
    .union([
      z.string().max(MAX_TEXT),
      z.array(z.string().max(MAX_TEXT)).min(1).max(16),
      z.array(z.int().nonnegative()).min(1).max(MAX_TEXT),
      z.array(z.array(z.int().nonnegative()).min(1).max(MAX_TEXT)).min(1).max(16),
    ])
    .describe('A text, texts, token ids, or lists of them.'),
  max_tokens: z.int().nonnegative().nullish().describe('Default 16.'),
  echo: neutral(false),
  best_of: neutral(1),
  logprobs: neutral(null),
  suffix: neutral(null),
});
export type CompletionRequest = z.output<typeof completionRequestSchema>;

const usageSchema = z.strictObject({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
});
const finishReason = z.enum(['stop', 'length']);
const head = { id: z.string(), created: z.int(), model: z.string(), system_fingerprint: z.string() };
const choice = {
  index: z.int(),
  finish_reason: finishReason,
  logprobs: z.null(),
  features: featuresResponseSchema.optional(),
};

export const chatResponseSchema = z.strictObject({
  ...head,
  object: z.literal('chat.completion'),
  choices: z.array(
    z.strictObject({
      ...choice,
      message: z.strictObject({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
    }),
  ),
  usage: usageSchema,
});
export const completionResponseSchema = z.strictObject({
  ...head,
  object: z.literal('text_completion'),
  choices: z.array(z.strictObject({ ...choice, text: z.string() })),
  usage: usageSchema,
});

export const modelSchema = z.strictObject({
  id: z.string(),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
});
export const modelsSchema = z.strictObject({ object: z.literal('list'), data: z.array(modelSchema) });
