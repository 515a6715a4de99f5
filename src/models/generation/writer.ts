/** What a model offers for writing text: one, many, as a stream, in a conversation. */
import type { Message } from '../../data/types.ts';
import { checkBatch, padBatch } from '../batch.ts';
import type { TransformerSpec } from '../families/spec.ts';
import { selectHooks } from '../hooks.ts';
import type { Intervention } from '../steering/types.ts';
import type {
  CaptureOptions,
  ChatOptions,
  GenerateOptions,
  Generation,
  HookFilter,
  HookInfo,
  Model,
  ModelInfo,
  ModelInput,
  SteerEdit,
  Tokenizer,
} from '../types.ts';
import type { Decoder } from './decoder.ts';
import { type Delta, generateTexts } from './generate.ts';

export type WriterParts = {
  readonly spec: Pick<TransformerSpec, 'V' | 'heads' | 'encoder'>;
  readonly info: ModelInfo;
  readonly hooks: readonly HookInfo[];
  readonly tokenizer: Tokenizer | undefined;
  /** What runs the model for so many texts at once and returns some hooks of every token. */
  readonly decoder: (
    rows: number,
    hooks: readonly HookInfo[],
    steer: SteerEdit | undefined,
    interventions: readonly Intervention[] | undefined,
  ) => Pick<Decoder, 'advance' | 'keep'>;
};

type Prompts = readonly (readonly number[])[];

export function createWriter({
  spec,
  info,
  hooks,
  tokenizer,
  decoder,
}: WriterParts): Pick<Model, 'generate' | 'generateBatch' | 'stream' | 'chat'> {
  function needTokenizer(): Tokenizer {
    if (tokenizer) return tokenizer;
    throw new Error(`${info.name} has no tokenizer.json; pass token ids to generateBatch() instead of text`);
  }

  function promptsOf(input: ModelInput): Prompts {
    if (typeof input === 'object' && 'ids' in input) {
      const { ids, mask, B, T } = input;
      checkBatch(input, spec.V, info.contextLength);
      return Array.from({ length: B }, (_, b) =>
        Array.from(ids.subarray(b * T, (b + 1) * T)).filter((_, t) => mask[b * T + t]),
      );
    }
    const texts = typeof input === 'string' ? [input] : input;
    return texts.map((text) => needTokenizer().encodePrompt(text));
  }

  function texts(
    prompts: Prompts,
    { steer, interventions, ...options }: GenerateOptions & Pick<CaptureOptions, 'onCapture'>,
    capture: HookFilter | undefined,
  ): AsyncGenerator<Delta, Generation[]> {
    if (spec.encoder)
      throw new Error(
        `${info.name} is an encoder (${info.family}) and predicts no next token: it has hooks, but no text to generate`,
      );
    if (prompts.some((prompt) => prompt.length === 0))
      throw new Error(
        'The prompt has no tokens, and the model has no beginning-of-sequence token to start from',
      );
    if (prompts.length > 0) checkBatch(padBatch(prompts), spec.V, info.contextLength);
    const found = capture === undefined ? [] : selectHooks(hooks, capture);
    return generateTexts(
      {
        prompts,
        createDecoder: (rows) => decoder(rows, found, steer, interventions),
        tokenizer,
        endIds: info.eosTokenIds,
        contextLength: info.contextLength,
        hooks: found,
        heads: spec.heads,
      },
      options,
    );
  }

  async function finish(
    running: AsyncGenerator<Delta, Generation[]>,
    onText?: (text: string, row: number) => void,
  ): Promise<Generation[]> {
    for (;;) {
      const step = await running.next();
      if (step.done) return step.value;
      onText?.(step.value.text, step.value.row);
    }
  }

  async function one(prompt: readonly number[], options: GenerateOptions): Promise<string> {
    const [{ text }] = (await finish(texts([prompt], options, undefined), options.onText)) as [Generation];
    return text;
  }

  return {
    async generate(prompt, options = {}) {
      return await one(needTokenizer().encodePrompt(prompt), options);
    },
    async generateBatch(input, { capture, ...options } = {}) {
      return await finish(texts(promptsOf(input), options, capture), options.onText);
    },
    async *stream(prompt, options = {}) {
      const running = texts([needTokenizer().encodePrompt(prompt)], options, undefined);
      for (;;) {
        const step = await running.next();
        if (step.done) return step.value[0]!;
        options.onText?.(step.value.text, 0);
        yield step.value.text;
      }
    },
    async chat(messages: readonly Message[], options: ChatOptions = {}) {
      const { renderChat, encode } = needTokenizer();
      if (!renderChat)
        throw new Error(
          `${info.name} has no chat template. Put chat_template.jinja into its folder, or use generate() with a prompt of your own.`,
        );
      const { tools, variables, ...rest } = options;
      const { text } = renderChat(messages, {
        addGenerationPrompt: true,
        spans: false,
        ...(tools ? { tools } : {}),
        ...(variables ? { variables } : {}),
      });
      // Templates write the beginning of the sequence themselves.
      return await one(encode(text), rest);
    },
  };
}
