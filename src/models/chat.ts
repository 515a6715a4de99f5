/**
 * Conversations -> the text that a chat model was trained on, and which of its characters each role wrote.
 *
 *     messages [{role, content}, …]  --chat template (Jinja)-->  text,  spans [start, end) per role
 *
 * Where the template has `{% generation %}`, what it encloses is the assistant's, as in transformers' `return_assistant_tokens_mask`.
 * All other spans are the contents themselves, without the template's own headers and ends: the template is rendered a second time with
 * marks (Unicode noncharacters) before every word and after every content, and the rendering without its marks must equal the first one.
 * So a span is right also where a template trims, merges or repeats contents, or drops the beginning of one (reasoning of earlier turns).
 *
 * `strftime_now` gives one fixed date: the same data must give the same rows on any day.
 */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import type { Message } from '../data/types.ts';
import type { ChatRenderer, ChatRendering, ChatTemplate, RenderedChat, RoleSpan } from './types.ts';

const GENERATION = { begin: '\ufdd0', end: '\ufdd1' };
/** A mark with the number of its message between two noncharacters. */
const contentMark = (i: number): string => `\ufdd2${i}\ufdd3`;
const endMark = (i: number): string => `\ufdd4${i}\ufdd5`;
const anyMark = /[\ufdd0\ufdd1]|\ufdd2(\d+)\ufdd3|\ufdd4(\d+)\ufdd5/gu;
const generationTag = /\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}/g;

/** The date that templates see; Llama's own templates fall back to it. */
const DATE: Readonly<Record<string, string>> = {
  d: '26',
  b: 'Jul',
  B: 'July',
  m: '07',
  Y: '2024',
  y: '24',
  A: 'Friday',
  a: 'Fri',
  H: '00',
  M: '00',
  S: '00',
};

type Program = ReturnType<typeof parse>;

function render(
  program: Program,
  messages: readonly Message[],
  tokens: ChatTemplate['tokens'],
  { addGenerationPrompt = false, tools, variables = {} }: ChatRendering,
): string {
  const environment = new Environment();
  const globals: Record<string, unknown> = {
    true: true,
    True: true,
    false: false,
    False: false,
    none: null,
    None: null,
    raise_exception(message: string) {
      throw new Error(message);
    },
    range: (start: number, stop?: number, step = 1) => {
      const [from, to] = stop === undefined ? [0, start] : [start, stop];
      return Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, i) => from + i * step);
    },
    strftime_now: (format: string) =>
      format.replace(/%([A-Za-z])/g, (whole, letter: string) => DATE[letter] ?? whole),
    ...tokens,
    messages,
    tools: tools ?? null,
    documents: null,
    add_generation_prompt: addGenerationPrompt,
    ...variables,
  };
  for (const [name, value] of Object.entries(globals)) environment.set(name, value);
  return (new Interpreter(environment).run(program) as unknown as { value: string }).value;
}

type Marking = {
  /** White space at both ends of the content belongs to the span: so in templates that do not trim. */
  readonly outer: boolean;
  /** Marks before every word find the span of a content whose beginning is dropped. */
  readonly words: boolean;
};
/** Tried in this order; the first one whose rendering is the unmarked one tells the spans. */
const MARKINGS: readonly Marking[] = [
  { outer: true, words: true },
  { outer: false, words: true },
  { outer: true, words: false },
  { outer: false, words: false },
];

function withMarks({ content, ...message }: Message, i: number, { outer, words }: Marking): Message {
  const inner = outer ? content : content.trim();
  if (inner === '') return { ...message, content };
  const at = content.indexOf(inner);
  const marked = words ? inner.replace(/(\s)(?=\S)/gu, `$1${contentMark(i)}`) : inner;
  return {
    ...message,
    content: `${content.slice(0, at)}${contentMark(i)}${marked}${endMark(i)}${content.slice(at + inner.length)}`,
  };
}

/** Takes the marks out and notes where they stood. */
function spansOf(marked: string, messages: readonly Message[], byGeneration: boolean): RenderedChat {
  const spans: RoleSpan[] = [];
  const begun = new Map<number, number>();
  let text = '';
  let from = 0;
  let generation = -1;
  for (const match of marked.matchAll(anyMark)) {
    text += marked.slice(from, match.index);
    from = match.index + match[0].length;
    if (match[0] === GENERATION.begin) generation = text.length;
    else if (match[0] === GENERATION.end) {
      if (text.length > generation) spans.push({ start: generation, end: text.length, role: 'assistant' });
    } else if (match[1] !== undefined) {
      const i = Number(match[1]);
      if (!begun.has(i)) begun.set(i, text.length);
    } else {
      const i = Number(match[2]);
      const { role } = messages[i]!;
      const start = begun.get(i);
      begun.delete(i);
      if (start !== undefined && !(byGeneration && role === 'assistant'))
        spans.push({ start, end: text.length, role });
    }
  }
  return { text: text + marked.slice(from), spans };
}

/**
 * A renderer for one template.
 *
 * @throws when the template is no Jinja that can be read; the renderer throws when the template refuses a conversation, or
 *   changes the contents so that nobody can say who wrote what
 * @example
 * const render = createChatRenderer(tokenizer.chatTemplate);
 * const { text, spans } = render([{ role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Hello.' }]);
 */
export function createChatRenderer({ source, tokens }: ChatTemplate): ChatRenderer {
  const blocks = { lstrip_blocks: true, trim_blocks: true };
  let plain: Program;
  let marked: Program;
  try {
    plain = parse(tokenize(source, blocks));
    const withTags = source.replace(
      generationTag,
      (_, left: string, end: string | undefined, right: string) =>
        `{%${left} if true %}{{ "${end ? GENERATION.end : GENERATION.begin}" }}{% endif ${right}%}`,
    );
    marked = parse(tokenize(withTags, blocks));
  } catch (error) {
    throw new Error(`The chat template cannot be read: ${(error as Error).message}`);
  }
  const byGeneration = source.search(generationTag) >= 0;

  return (messages, { spans: wanted = true, ...options } = {}) => {
    let text: string;
    try {
      text = render(plain, messages, tokens, options);
    } catch (error) {
      throw new Error(`the chat template refuses this conversation: ${(error as Error).message}`);
    }
    if (!wanted) return { text, spans: [] };
    for (const marking of MARKINGS) {
      try {
        const marks = messages.map((message, i) => withMarks(message, i, marking));
        const found = spansOf(render(marked, marks, tokens, options), messages, byGeneration);
        if (found.text === text) return found;
      } catch {
        // A template that looks into the contents may refuse marked ones; the next way marks less.
      }
    }
    throw new Error(
      'the chat template changes the contents of this conversation, so who wrote which token is not certain. Leave --roles out, or mark the turns in the template with {% generation %}.',
    );
  };
}
