/** Documents that are conversations, written with the model's own chat template; other documents pass as they are. */
import type { Tokenizer } from '../models/types.ts';
import { didYouMean } from '../shared/nearest.ts';
import type { Document, DocumentSet } from './types.ts';

/** Conversations that are looked at to see whether a role is there at all. */
const LOOK_AT = 50;

/** @throws for roles where none of some documents, taken all over the set, is a conversation: they would be left aside in silence */
export async function requireChats(
  { name, count, blocks, stored, get }: DocumentSet,
  roles: readonly string[],
): Promise<void> {
  if (stored || count === 0) return;
  // A stretch that is read together is read whole.
  const looks = Math.min(count, blocks ? 3 : LOOK_AT);
  for (let i = 0; i < looks; i++) if ((await get(Math.floor((i * count) / looks))).messages) return;
  throw new Error(
    `--roles ${roles.join(' ')} is of conversations, and the ${name} are plain text. Leave it out, or name the field that holds lists of messages with --text-field.`,
  );
}

/**
 * @param roles only tokens of these roles are trained on and measured, in conversations; plain text is kept whole
 * @throws when there is a conversation and no template, or roles that none of the first conversations has (nearest offered)
 */
export async function renderChats(
  documents: DocumentSet,
  {
    tokenizer,
    roles,
  }: { readonly tokenizer: Pick<Tokenizer, 'renderChat'>; readonly roles?: readonly string[] | undefined },
): Promise<DocumentSet> {
  const { stored } = documents;
  if (stored) {
    if (roles && roles.join() !== stored.roles?.join())
      throw new Error(
        `${stored.name} was tokenized for ${stored.roles ? `the roles ${stored.roles.join(', ')}` : 'all roles'}, not for ${roles.join(', ')}. Tokenize again with --roles ${roles.join(' ')}.`,
      );
    return documents;
  }
  const { renderChat: render } = tokenizer;

  function written(document: Document): Document {
    const { messages, ...rest } = document;
    // Without text it is not part of the set.
    if (!messages || document.text === '') return document;
    const where = `${document.meta.file ?? documents.name}, ${document.id}`;
    if (!render)
      throw new Error(
        `${where}: a conversation, but the model has no chat template. Put chat_template.jinja into the model's folder, or name a column of plain text with --text-field.`,
      );
    try {
      const { text, spans } = render(messages, { spans: roles !== undefined });
      const keep = roles && spans.filter(({ role }) => roles.includes(role));
      return { ...rest, messages, text, ...(keep ? { keep } : {}) };
    } catch (error) {
      throw new Error(`${where}: ${(error as Error).message}`);
    }
  }

  const seen = new Set<string>();
  let chats = false;
  for (let i = 0; i < Math.min(LOOK_AT, documents.count); i++) {
    const { messages } = await documents.get(i);
    if (!messages) break;
    chats = true;
    for (const { role } of messages) seen.add(role);
    if (!roles || roles.every((role) => seen.has(role))) break;
  }
  const missing = chats ? roles?.find((role) => !seen.has(role)) : undefined;
  if (missing !== undefined)
    throw new Error(
      `The ${documents.name} have no role "${missing}" in their first conversations.${didYouMean(missing, [...seen])} Found: ${[...seen].join(', ')}.`,
    );
  return {
    ...documents,
    ...(chats ? { fingerprint: `${documents.fingerprint}/chat${roles ? `:${roles.join(',')}` : ''}` } : {}),
    get: async (index) => written(await documents.get(index)),
  };
}
