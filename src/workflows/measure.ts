/**
 * A finished SAE and its controls on held-out text: what `train` prints at its end and `eval` prints at length. The feature index
 * rides along in the same pass and gives the cards of the most interesting latents.
 */
import { type DocumentSet, type PackedRows, packRows } from '../data/index.ts';
import {
  type Candidate,
  createRowReader,
  evaluate,
  fitPca,
  linearMapCandidate,
  type Moments,
  pcaCandidate,
  pcaRank,
  saeCandidate,
  WIDEST_PCA,
} from '../eval/index.ts';
import {
  buildCards,
  chooseInteresting,
  createFeatureIndex,
  createUnembed,
  type FeatureIndex,
} from '../explain/index.ts';
import type { Model } from '../models/types.ts';
import { outputWidth, type Sae, type Screening } from '../sae/index.ts';
import type { EvalResult } from '../shared/eval.ts';
import { type FeatureCards, featureSchemaVersion } from '../shared/feature.ts';
import type { FolderWriter } from '../store/index.ts';
import { jsonFile } from './arrays.ts';
import { labellerOf } from './labels.ts';
import { MODEL_BATCH_SEQUENCES } from './plan.ts';
import { saeFingerprint } from './sae-files.ts';
import { type Encoding, openEncoding } from './screening.ts';
import { tokenizerOf } from './streams.ts';

export type MeasureOptions = {
  readonly model: Model;
  readonly hook: string;
  /** Of a transcoder: what it gives. */
  readonly outputHook?: string | undefined;
  readonly sae: Sae;
  readonly heldout: DocumentSet;
  readonly contextLength: number;
  readonly excludeSpecial: boolean;
  readonly excludeFirst: number;
  /** Mean and covariance of training activations, for mean ablation and the control; of a transcoder's, what it reads and gives side by side. */
  readonly moments: Moments;
  /** An SAE with a frozen decoder and the same budget. */
  readonly frozen?: Sae;
  readonly maxTokens: number;
  readonly ceTokens?: number;
  readonly klTokens?: number;
  readonly seed: number;
  /** How the SAE encodes, not its controls. */
  readonly screen?: Screening | undefined;
  /** Cards of this many latents, most interesting first. Default 0. */
  readonly cards?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
};

export type Measured = { readonly evaluation: EvalResult; readonly cards: FeatureCards | undefined };

/** @throws when there is no held-out text, or what `evaluate` throws */
export async function measureSae(options: MeasureOptions): Promise<Measured> {
  const encoding = await openEncoding(options.sae, options.screen);
  return await measureWith(encoding, options).finally(encoding.close);
}

async function measureWith(encoding: Encoding, options: MeasureOptions): Promise<Measured> {
  const {
    model,
    hook,
    outputHook,
    sae,
    heldout,
    moments,
    frozen,
    maxTokens,
    ceTokens,
    klTokens,
    seed,
    cards = 0,
  } = options;
  const { signal, onProgress } = options;
  const { F } = sae.config;
  const rules = {
    excludeFirst: options.excludeFirst,
    ...(options.excludeSpecial && model.tokenizer ? { specialIds: model.tokenizer.specialIds } : {}),
  };
  const stop = signal ? { signal } : {};
  const index =
    cards > 0 ? createFeatureIndex(F, { labeller: await labellerOf(heldout, stop), seed }) : undefined;
  const evaluation = await evaluate({
    model,
    hook,
    ...(outputHook === undefined ? {} : { outputHook }),
    batches: heldOutRows(options),
    candidates: [
      saeCandidate('SAE', sae, encoding),
      ...(frozen ? [saeCandidate('frozen decoder', frozen, undefined, 'control')] : []),
      ...linearControl(sae, moments),
    ],
    mean: moments.mean().slice(outputHook === undefined ? 0 : sae.config.D),
    maxRows: maxTokens,
    seed,
    ...rules,
    ...(ceTokens === undefined ? {} : { ceTokens }),
    ...(klTokens === undefined ? {} : { klTokens }),
    // One long document has nothing to resample but its sequences.
    resample: heldout.count >= 20 ? 'documents' : 'sequences',
    ...stop,
    ...(onProgress ? { onProgress: ({ rows, maxRows }) => onProgress(rows, maxRows) } : {}),
    ...(index ? { observe: (rows) => index.add(rows) } : {}),
  });
  const read = createRowReader({ model, hook, encode: (x, B) => encoding.encode(sae, x, B), ...rules });
  return {
    evaluation: encoding.noted(evaluation),
    cards: index ? await describeFeatures(index, options, read) : undefined,
  };
}

/** What a linear method makes of the same rows, where the eigenvalues are no matter of minutes. */
function linearControl({ config }: Sae, moments: Moments): Candidate[] {
  const K = pcaRank(config);
  if (moments.D > WIDEST_PCA) return [];
  if (config.Dout !== undefined) return [linearMapCandidate(moments, config.D)];
  return K <= config.D ? [pcaCandidate(fitPca(moments, K))] : [];
}

async function describeFeatures(
  index: FeatureIndex,
  { model, sae, heldout, cards = 0, signal }: MeasureOptions,
  read: ReturnType<typeof createRowReader>,
): Promise<FeatureCards> {
  // A direction outside the residual stream has no effect of its own on the output.
  const { flattened, Dout } = sae.config;
  const inStream = outputWidth(sae.config) === model.info.D && !(flattened && Dout === undefined);
  const unembed = model.info.encoder || !inStream ? undefined : createUnembed(model);
  const { W_dec } = sae;
  const stop = signal ? { signal } : {};
  const chosen = await chooseInteresting(index, {
    W_dec,
    ...(unembed && { unembed }),
    count: cards,
    ...stop,
  });
  const tokenizer = tokenizerOf(model);
  return {
    schemaVersion: featureSchemaVersion,
    rows: index.rows,
    order: 'interesting',
    notes: [
      'Guesses are made by rule from the evidence on the card; nobody checked them.',
      `Order: rank product of label F1 on the held-out half, entropy of the peak token${unembed ? ' and output effect' : ''}; then spread by decoder cosine.`,
    ],
    cards: await buildCards(index, chosen, {
      read,
      tokenStrings: (ids) => tokenizer.tokenStrings(ids),
      W_dec,
      ...(unembed && { unembed }),
      documents: heldout,
      ...stop,
    }),
  };
}

/** With the fingerprint of the SAE that was measured. */
export async function fingerprinted<M extends Measured>(measured: M, sae: string): Promise<M> {
  const found = await saeFingerprint(sae);
  return { ...measured, evaluation: { ...measured.evaluation, ...(found ? { sae: found } : {}) } };
}

/** Writes eval.json and features/cards.json. */
export async function saveMeasured(
  folder: FolderWriter,
  features: FolderWriter,
  { evaluation, cards }: Measured,
): Promise<void> {
  await folder.write('eval.json', ...jsonFile(evaluation));
  if (cards) await features.write('cards.json', ...jsonFile(cards));
}

/** Held-out text once through, in an order without meaning, so that its beginning stands for the whole. */
async function* heldOutRows(options: MeasureOptions): AsyncGenerator<PackedRows> {
  const { model, heldout, contextLength, seed, cards = 0 } = options;
  const rows = packRows({
    documents: heldout,
    tokenizer: tokenizerOf(model),
    contextLength,
    bosTokenId: model.info.bosTokenId,
    seed: `${seed}/heldout`,
    endless: false,
    // Concepts and passages are shown in the document's own characters.
    offsets: cards > 0,
  });
  for (;;) {
    const next = await rows.next(MODEL_BATCH_SEQUENCES);
    if (next === undefined) return;
    yield next;
  }
}
