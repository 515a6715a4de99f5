/** The Hugging Face hub: models and data sets into the cache that Python's huggingface_hub shares, and finished runs back to it. Node only. */
export { type Dataset, openHubDataset, parseDatasetArgument } from './dataset.ts';
export { HubMissing, HubUnreachable } from './errors.ts';
export { openHubModel } from './model.ts';
export { parseModelId } from './settings.ts';
export type * from './types.ts';
