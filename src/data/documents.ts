/** Documents in memory, and what a line of JSONL means. */
import { DocumentError, readMessages } from './messages.ts';
import type { Document, DocumentSet, Span } from './types.ts';

function readSpans(value: unknown, text: string): Span[] {
  if (!Array.isArray(value)) throw new DocumentError(`"spans" is ${typeof value}, expected a list`);
  return value.map((span: unknown, i) => {
    const { start, end, label, value: v } = (span ?? {}) as Record<string, unknown>;
    if (
      typeof start !== 'number' ||
      typeof end !== 'number' ||
      typeof label !== 'string' ||
      !(start >= 0 && start <= end && end <= text.length)
    ) {
      throw new DocumentError(
        `spans[${i}] is ${JSON.stringify(span)}, expected {start, end, label} within the ${text.length} characters of the text`,
      );
    }
    return typeof v === 'string' ? { start, end, label, value: v } : { start, end, label };
  });
}

/**
 * A row as a document. `textField` holds the text, or a list of messages; `id`, `register` and `spans` are known fields; the rest goes to `meta` (an object
 * field `meta` is merged into it).
 * Throws DocumentError when the row is no object, or the text is missing (naming the fields found).
 */
export function documentOf(row: unknown, textField: string, fallbackId: string, file: string): Document {
  if (typeof row !== 'object' || row === null || Array.isArray(row)) {
    throw new DocumentError(`found ${Array.isArray(row) ? 'a list' : typeof row}, expected a JSON object`);
  }
  const fields = row as Record<string, unknown>;
  const value = fields[textField];
  const messages = Array.isArray(value) ? readMessages(value) : undefined;
  const text = messages ? messages.map(({ content }) => content).join('\n\n') : value;
  if (typeof text !== 'string') {
    const found = Object.keys(fields).join(', ') || 'none';
    const problem =
      textField in fields
        ? `field "${textField}" is not a string, nor a list of messages`
        : `no field "${textField}"`;
    throw new DocumentError(`${problem}. Fields found: ${found}. Name the right one with --text-field.`);
  }
  const { [textField]: _text, id, register, spans, meta, ...rest } = fields;
  const inner = typeof meta === 'object' && meta !== null && !Array.isArray(meta) ? meta : {};
  return {
    id: ['string', 'number', 'bigint'].includes(typeof id) ? String(id) : fallbackId,
    text,
    meta: { ...rest, ...inner, file },
    ...(typeof register === 'string' ? { register } : {}),
    ...(messages ? { messages } : {}),
    // Places in a conversation's text mean nothing: the chat template writes it anew.
    ...(messages || spans === undefined || spans === null ? {} : { spans: readSpans(spans, text) }),
  };
}

/** One line of JSONL as a document. Throws DocumentError when it is not JSON, and as `documentOf` does. */
export function parseDocument(line: string, textField: string, fallbackId: string, file: string): Document {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (error) {
    const start = line.length > 60 ? `${line.slice(0, 60)}…` : line;
    throw new DocumentError(
      `not JSON (${(error as Error).message}): ${start}\nEach line must be one JSON object.`,
    );
  }
  return documentOf(parsed, textField, fallbackId, file);
}

/**
 * Documents held in memory: for tests, the browser and text given by hand.
 *
 * @example
 * const set = memoryDocuments(['one text', 'another']);
 */
export function memoryDocuments(
  items: readonly (string | Document)[],
  { name = 'documents' }: { name?: string } = {},
): DocumentSet {
  const documents = items.map((item, i) =>
    typeof item === 'string' ? { id: `${name}#${i}`, text: item, meta: {} } : item,
  );
  let hash = 0x811c9dc5;
  for (const { text } of documents) {
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    hash = Math.imul(hash ^ 0x1ffff, 0x01000193);
  }
  return {
    name,
    count: documents.length,
    fingerprint: `memory-${documents.length}-${(hash >>> 0).toString(16)}`,
    async get(index) {
      const document = documents[index];
      if (!document) throw new RangeError(`${name}: document ${index} of ${documents.length}`);
      return document;
    },
  };
}
