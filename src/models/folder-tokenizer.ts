/** The tokenizer of a model folder: tokenizer.json, tokenizer_config.json, chat_template.jinja. */
import type { ByteFolder } from '../platform/index.ts';
import { readBytes, readJson } from './hf-folder.ts';
import { sha256 } from './sha256.ts';
import { createTokenizer } from './tokenizer.ts';

async function openTokenizer(folder: ByteFolder, bosTokenId: number | undefined, encoder: boolean) {
  const bytes = await readBytes(folder, 'tokenizer.json');
  if (!bytes) return undefined;
  const template = await readBytes(folder, 'chat_template.jinja');
  const config = {
    ...((await readJson(folder, 'tokenizer_config.json')) ?? {}),
    ...(template ? { chat_template: new TextDecoder().decode(template) } : {}),
  };
  try {
    const json = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    return { ...createTokenizer(json, config, bosTokenId, { encoder }), hash: await sha256(bytes) };
  } catch (error) {
    throw new Error(`${folder.name}/tokenizer.json: ${(error as Error).message}`);
  }
}

/** Ids as config.json has them: none, one, or a list. */
const tokenIds = (value: unknown): number[] =>
  (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isSafeInteger(id));

type Config = Readonly<Record<string, unknown>>;

export type FolderText = {
  readonly tokenizer: Awaited<ReturnType<typeof openTokenizer>>;
  readonly bosTokenId: number | undefined;
  readonly eosTokenIds: readonly number[];
};

/**
 * The tokenizer, where there is a tokenizer.json, and the ids that begin and end a text; generation_config.json's before config.json's.
 *
 * @param name of the model, for messages
 * @param V rows of the embedding
 * @throws naming the file; for a tokenizer with more tokens than V
 */
export async function openText(
  folder: ByteFolder,
  name: string,
  {
    config: whole,
    generation,
    V,
    encoder,
  }: { readonly config: Config; readonly generation: Config; readonly V: number; readonly encoder: boolean },
): Promise<FolderText> {
  // Models that see images keep what concerns text below.
  const config = { ...(whole.text_config as Config | undefined), ...whole };
  const configured = tokenIds(config.bos_token_id)[0];
  const tokenizer = await openTokenizer(folder, configured, encoder);
  if (tokenizer && tokenizer.learnedSize > V)
    throw new Error(
      `${name}: tokenizer.json has ${tokenizer.learnedSize} tokens and the model's vocabulary ${V}: they do not belong together. Put this model's own tokenizer.json into the folder.`,
    );
  return {
    tokenizer,
    bosTokenId: tokenizer ? tokenizer.bosTokenId : configured,
    eosTokenIds: tokenIds(generation.eos_token_id ?? config.eos_token_id),
  };
}
