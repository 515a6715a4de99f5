/** Text on its way to the trainer and to the probe. */
import {
  type Corpus,
  type CorpusOptions,
  type DataCursor,
  type DocumentSet,
  mixRows,
  openCorpus,
  packRows,
  type RowSource,
  readTokenManifest,
  renderChats,
  requireChats,
} from '../data/index.ts';
import type { Model, Tokenizer } from '../models/types.ts';
import type { TokenizeConfig } from '../shared/config.ts';
import { Interrupted } from '../shared/errors.ts';
import { createSnippetProbe, type SnippetProbe } from './snippets.ts';
import type { TrainPlan } from './types.ts';

/** Sequences of the text that latents are looked at in. */
const PROBE_SEQUENCES = 16;

/** @throws when the model folder has no tokenizer.json */
export function tokenizerOf({ tokenizer, info }: Pick<Model, 'tokenizer' | 'info'>): Tokenizer {
  if (!tokenizer)
    throw new Error(
      `${info.name} has no tokenizer.json, so text cannot be read. Put the model's tokenizer.json beside config.json.`,
    );
  return tokenizer;
}

/** What a config says about its text. */
export function corpusOptions({
  data,
  heldout,
  textField,
  keepNearDuplicates,
  stream,
  roles,
}: TokenizeConfig): TextOptions {
  return {
    data,
    textField,
    keepNearDuplicates,
    ...(heldout ? { heldout } : {}),
    ...(stream === undefined ? {} : { stream }),
    ...(roles ? { roles, expectChats: true } : {}),
  };
}

/** The config with the context length of its packed rows, where the data are such and it says none. */
export async function withStoredLength<
  C extends { readonly data?: readonly string[] | undefined; readonly contextLength?: number | undefined },
>(config: C): Promise<C> {
  if (config.contextLength !== undefined) return config;
  const [first = ''] = config.data ?? [];
  const path = first.replace(/=\d*\.?\d+$/, '');
  const manifest = (await readTokenManifest(first)) ?? (await readTokenManifest(path));
  return manifest ? { ...config, contextLength: manifest.contextLength } : config;
}

export type TextOptions = CorpusOptions & {
  /** Of conversations, only tokens of these roles are trained on and measured. */
  readonly roles?: readonly string[];
  /** Roles are asked for, not taken over from a run: plain text is refused. */
  readonly expectChats?: boolean;
};

/** Opens a corpus for a model: conversations are written with its chat template. */
export async function openText(
  model: Model,
  { roles, expectChats, ...options }: TextOptions,
): Promise<Corpus> {
  const corpus = await openCorpus(options);
  try {
    const render = (documents: DocumentSet) =>
      renderChats(documents, { tokenizer: tokenizerOf(model), roles });
    if (roles && expectChats) await requireChats(corpus.train, roles);
    const { mixture } = corpus;
    const parts = mixture?.map(async (part) => ({ ...part, documents: await render(part.documents) }));
    return {
      ...corpus,
      train: await render(corpus.train),
      heldout: await render(corpus.heldout),
      ...(parts ? { mixture: await Promise.all(parts) } : {}),
    };
  } catch (error) {
    await corpus.close();
    throw error;
  }
}

/** Packed rows of the training documents, endless; mixed by weight where the data has weights. */
export function trainingRows(plan: TrainPlan, model: Model, corpus: Corpus, cursor?: DataCursor): RowSource {
  const pack = (documents: DocumentSet, from?: DataCursor): RowSource =>
    packRows({
      documents,
      tokenizer: tokenizerOf(model),
      contextLength: plan.settings.contextLength,
      bosTokenId: model.info.bosTokenId,
      seed: plan.settings.dataSeed,
      ...(from ? { cursor: from } : {}),
    });
  if (!corpus.mixture) return pack(corpus.train, cursor);
  const parts = corpus.mixture.map(({ documents, weight }, i) => ({
    rows: pack(documents, cursor?.parts?.[i]),
    weight,
  }));
  return mixRows(parts, cursor);
}

/** A fixed text to look at latents in, from the held-out part where there is one. */
export async function openProbe(
  plan: TrainPlan,
  model: Model,
  corpus: Corpus,
  count: number,
): Promise<SnippetProbe> {
  const documents = corpus.heldout.count > 0 ? corpus.heldout : corpus.train;
  const rows = packRows({
    documents,
    tokenizer: tokenizerOf(model),
    contextLength: plan.settings.contextLength,
    bosTokenId: model.info.bosTokenId,
    seed: `${plan.settings.dataSeed}/probe`,
    endless: false,
  });
  const packed = await rows.next(PROBE_SEQUENCES);
  if (packed === undefined) throw new Error('The corpus holds no text for the probe.');
  return await createSnippetProbe(model, plan.settings.hook, packed, count);
}

/**
 * Rows that end with Interrupted when the signal is raised, until released. For the filling of the shuffle buffer only: nothing is
 * trained yet, so nothing is lost. Later a stop waits for the step, because rows taken from a stream are in no saved state.
 */
export function stoppable(
  rows: RowSource,
  signal: AbortSignal | undefined,
): { rows: RowSource; release(): void } {
  let released = false;
  return {
    rows: {
      T: rows.T,
      documents: rows.documents,
      get epochs() {
        return rows.epochs;
      },
      cursor: () => rows.cursor(),
      async next(count) {
        if (signal?.aborted && !released)
          throw new Interrupted('Stopped before the first step; there is nothing to save.');
        return await rows.next(count);
      },
    },
    release() {
      released = true;
    },
  };
}
