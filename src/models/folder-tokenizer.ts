/** The tokenizer of a model folder: tokenizer.json, tokenizer_config.json, chat_template.jinja. */
import type { ByteFolder } from '../platform/index.ts';
import { readBytes, readJson, sha256 } from './hf-folder.ts';
import { createTokenizer } from './tokenizer.ts';

/** Opens it, or undefined where there is no tokenizer.json. @throws naming the file */
export async function openTokenizer(folder: ByteFolder, bosTokenId: number | undefined, encoder: boolean) {
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
export const tokenIds = (value: unknown): number[] =>
  (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isSafeInteger(id));
