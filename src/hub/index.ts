/** The Hugging Face hub: models and data sets into the cache that Python's huggingface_hub shares, and finished runs back to it. Node only. */
export { type ModelArgument, modelArgument } from './argument.ts';
export { isCommit, isThere } from './cache.ts';
export { type Dataset, openHubDataset, parseDatasetArgument } from './dataset.ts';
export { HubError, HubMissing, HubUnreachable } from './errors.ts';
export { findGguf, type LocalModel, llamaCppFolder, localModels, ollamaFolders } from './local.ts';
export { openHubModel } from './model.ts';
export { type Change, type ExistingRepo, type Pushed, type PushFile, pageOf, pushFiles } from './push.ts';
export { type HubSaeId, openHubSae, openHubSaeByRange, parseSaeId } from './sae.ts';
export {
  type RegisteredSae,
  readRegistry,
  registeredSae,
  resolveSaeName,
  searchRegistry,
  unreadable,
} from './sae-registry.ts';
export { hubSettings, parseModelId } from './settings.ts';
export type * from './types.ts';
export { makeWholeFolder } from './whole-folder.ts';
