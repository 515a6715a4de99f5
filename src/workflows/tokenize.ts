/** Data + tokenizer -> a folder of packed rows: tokenized once, read by any number of runs. */
import { packRows, type TokenManifest, writeTokenFolder } from '../data/index.ts';
import type { HubAccess } from '../hub/types.ts';
import { openModel } from '../models/index.ts';
import type { TokenizeConfig } from '../shared/config.ts';
import { corpusOptions, openText, tokenizerOf } from './streams.ts';

export type TokenizeOptions = HubAccess & {
  /** Folder to make. */
  readonly folder: string;
  /** Positions written so far. */
  readonly onProgress?: (positions: number) => void;
};

/**
 * Tokenizes and packs data as training on it would, with the same seed, and writes the rows.
 *
 * @throws the errors of model and data; when the folder is there; for a mixture, whose parts are tokenized one by one
 * @example
 * await tokenize(tokenizeConfigSchema.parse({ model: 'demo/model', data: ['texts/'] }), { folder: 'tokens' });
 */
export async function tokenize(
  config: TokenizeConfig,
  { folder, onProgress, ...access }: TokenizeOptions,
): Promise<TokenManifest> {
  const { signal } = access;
  const model = await openModel(config.model, access);
  const tokenizer = tokenizerOf(model);
  await model.close();
  const corpus = await openText(model, { ...corpusOptions(config), ...access });
  try {
    if (corpus.mixture)
      throw new Error(
        'A mixture is mixed when it is read: tokenize its parts one by one, and give the folders with weights to train.',
      );
    const contextLength = config.contextLength ?? Math.min(model.info.contextLength, 256);
    if (contextLength > model.info.contextLength)
      access.onNote?.(
        `Rows of ${contextLength} tokens are longer than the ${model.info.contextLength} that ${model.info.name} takes: only a model of the same tokenizer and a longer context can read them.`,
      );
    const { bosTokenId } = model.info;
    const packed = (documents: typeof corpus.train) => ({
      documents: documents.count,
      rows: packRows({ documents, tokenizer, contextLength, bosTokenId, seed: config.seed, endless: false }),
    });
    return await writeTokenFolder(
      folder,
      {
        train: packed(corpus.train),
        heldout: corpus.heldout.count > 0 ? packed(corpus.heldout) : undefined,
      },
      {
        contextLength,
        bosTokenId: bosTokenId ?? null,
        tokenizer: { model: model.info.name, sha256: tokenizer.hash ?? '' },
        seed: String(config.seed),
        ...(config.roles ? { roles: [...config.roles] } : {}),
        split: corpus.split,
        sources: corpus.files.map(({ path, origin = path, bytes, sha256, documents }) => ({
          path: origin,
          bytes,
          sha256,
          documents,
        })),
      },
      { ...(signal ? { signal } : {}), ...(onProgress ? { onRows: onProgress } : {}) },
    );
  } finally {
    await corpus.close();
  }
}
