/** Conversations as data sets write them. */
import type { Message } from './types.ts';

/** A row that is not a document. The message says what was found; the caller adds file and line. */
export class DocumentError extends Error {}

/** ShareGPT's names of roles. */
const ROLES: Readonly<Record<string, string>> = { human: 'user', gpt: 'assistant' };

/**
 * A list of messages: {role, content}, or {from, value} as in ShareGPT. Content may be a list of text parts; other fields (tool calls)
 * go to the template as they are.
 *
 * @throws DocumentError naming the message
 */
export function readMessages(value: readonly unknown[]): Message[] {
  if (value.length === 0) throw new DocumentError('the list of messages is empty');
  return value.map((item, i) => {
    const { role, content, from, value: said, ...rest } = (item ?? {}) as Record<string, unknown>;
    const name = role ?? from;
    const text = contentText(content ?? said ?? '');
    if (typeof name !== 'string' || text === undefined) {
      throw new DocumentError(
        `message ${i + 1} is ${JSON.stringify(item)?.slice(0, 80)}, expected {role, content} or {from, value} with text`,
      );
    }
    return { ...rest, role: role === undefined ? (ROLES[name] ?? name) : name, content: text };
  });
}

function contentText(content: unknown): string | undefined {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return undefined;
  const parts = content.map((part) => (part as { type?: unknown; text?: unknown } | null)?.text);
  return parts.every((part) => typeof part === 'string') ? parts.join('') : undefined;
}
