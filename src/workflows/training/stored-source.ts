/** Stored activations as a source of training rows: no model, so no text, no cross-entropy and no cards. */
import {
  evaluateRows,
  fitPca,
  type Moments,
  pcaCandidate,
  pcaRank,
  saeCandidate,
  WIDEST_PCA,
} from '../../eval/index.ts';
import { createStoredStream, type RowRange, splitRows } from '../../harvest/index.ts';
import type { HubAccess } from '../../hub/types.ts';
import { getPlatform } from '../../platform/index.ts';
import type { Sae, Screening } from '../../sae/index.ts';
import type { TrainConfig } from '../../shared/config.ts';
import { UsageError } from '../../shared/errors.ts';
import { createRng, permutation } from '../../shared/rng.ts';
import { type ActivationSource, openActivations } from '../../store/index.ts';
import type { Measured } from '../measure.ts';
import { planStored } from '../plan.ts';
import type { Own } from '../resources.ts';
import { openEncoding } from '../screening.ts';
import type { Source, TrainingRows, UnreadSource } from './source.ts';

/** Neighbours that are read, and resampled for the intervals, together. */
const BLOCK_ROWS = 256;
/** Blocks that are measured together. */
const BLOCKS_AT_ONCE = 8;

export type StoredRowsConfig = Pick<TrainConfig, 'heldout' | 'heldoutShare'> & {
  readonly activations: string;
};

export async function openStoredSource(
  config: StoredRowsConfig,
  { signal }: Pick<HubAccess, 'signal'>,
  own: Own,
): Promise<UnreadSource> {
  const opened = signal ? { signal } : {};
  const source = own(await openActivations(config.activations, opened));
  if (source.meta.part === 'heldout')
    throw new UsageError(
      `${config.activations} are held-out rows, kept for evaluation. Train on the folder above them.`,
    );
  const heldout = await openHeldout(config, source, opened, own);
  return {
    modelHash: undefined,
    plan: (given, options) => planStored(given, source, { cores: getPlatform().threads, ...options }),
    read: async () => storedSource(config, source, heldout),
  };
}

async function openHeldout(
  { heldout, activations }: StoredRowsConfig,
  { D, heldout: beside }: ActivationSource,
  opened: Pick<HubAccess, 'signal'>,
  own: Own,
): Promise<ActivationSource | undefined> {
  // A folder of `saekit harvest` has its held-out documents in a folder of their own.
  const [path, ...more] = heldout ?? (beside === undefined ? [] : [beside]);
  if (path === undefined) return undefined;
  if (more.length > 0)
    throw new UsageError(
      `--heldout names ${1 + more.length} paths; beside --activations it takes one path of stored activations.`,
    );
  const rows = own(await openActivations(path, opened));
  if (rows.D !== D)
    throw new UsageError(
      `--heldout ${path} has rows of width ${rows.D}, --activations ${activations} of ${D}. Name rows of the same hook.`,
    );
  return rows;
}

function storedSource(
  config: StoredRowsConfig,
  source: ActivationSource,
  heldout: ActivationSource | undefined,
): Source {
  const { D, rows, format, fingerprint, meta } = source;
  const { activations: path } = config;
  const share = heldout ? 0 : config.heldoutShare;
  return {
    provenance: {
      data: [],
      activations: {
        ...{ path, format, rows, D, fingerprint },
        ...(meta.model === undefined ? {} : { model: meta.model }),
        ...(meta.modelHash === undefined ? {} : { modelHash: meta.modelHash }),
        ...(meta.hook === undefined ? {} : { hook: meta.hook }),
      },
      split: heldout
        ? `held out: ${heldout.name}`
        : share > 0
          ? `held out: ${100 * share} % of the rows, in sections`
          : 'none held out',
    },
    open({ settings }, _hooks, { signal }) {
      const stream = createStoredStream({
        source,
        shuffleTokens: settings.shuffleTokens,
        seed: settings.dataSeed,
        heldout: share,
        ...(signal ? { signal } : {}),
      });
      const { stages } = stream;
      const rows: TrainingRows = {
        widths: [D],
        stages,
        get tokensSeen() {
          return stream.tokensSeen;
        },
        get epochs() {
          return stream.epochs;
        },
        async next(B, into) {
          const batch = await stream.next(B, into?.[0]);
          return batch && { xs: [batch.x], tokens: batch.tokens };
        },
        // It reads ahead by itself.
        prepare: async () => {},
        state() {
          const { position, arrays } = stream.state();
          return { position, arrays: [arrays] };
        },
        restore: (position, arrays) => stream.restore(position, arrays[0] ?? new Map()),
        close: () => stream.close(),
      };
      return { rows, filled: () => {} };
    },
    metadata: ({ config: { hook = meta.hook } }) => ({
      ...(meta.model === undefined ? {} : { model_name: meta.model }),
      ...(hook === undefined ? {} : { hook_name: hook }),
      ...(meta.contextLength === undefined ? {} : { context_size: meta.contextLength }),
      ...(meta.modelHash === undefined ? {} : { model_hash: meta.modelHash }),
    }),
    async measure({ config: { evalTokens, seed }, settings }, sae, moments, options) {
      if (!heldout && share === 0) return undefined;
      return await measureStored(
        { source: heldout ?? source, share: heldout ? 0 : share, hook: settings.hook },
        { sae, moments, maxRows: evalTokens, seed, ...options },
      );
    },
  };
}

export type MeasureStoredOptions = {
  readonly sae: Sae;
  /** Mean and covariance of rows trained on, for PCA. */
  readonly moments: Moments;
  readonly frozen?: Sae | undefined;
  readonly maxRows: number;
  readonly seed: number;
  readonly screen?: Screening | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
};

/** Measures an SAE on stored rows: the held-out share of them, or all where the share is 0. */
export async function measureStored(
  {
    source,
    share,
    hook,
  }: { readonly source: ActivationSource; readonly share: number; readonly hook: string },
  { sae, moments, frozen, maxRows, seed, screen, signal, onProgress }: MeasureStoredOptions,
): Promise<Measured> {
  const { D } = sae.config;
  const K = pcaRank(sae.config);
  const encoding = await openEncoding(sae, screen);
  const evaluation = await evaluateRows({
    model: { name: source.meta.model ?? source.name, hash: source.meta.modelHash ?? source.fingerprint },
    hook,
    D,
    batches: shuffledBlocks(source, splitRows(source.rows, share)[share > 0 ? 'heldout' : 'train'], seed),
    candidates: [
      saeCandidate('SAE', sae, encoding),
      ...(frozen ? [saeCandidate('frozen decoder', frozen, encoding, 'control')] : []),
      ...(D <= WIDEST_PCA && K <= D ? [pcaCandidate(fitPca(moments, K))] : []),
    ],
    maxRows,
    seed,
    signal,
    onProgress,
  }).finally(encoding.close);
  return { evaluation: encoding.noted(evaluation), cards: undefined };
}

/** Blocks of neighbours in an order without meaning, so that the beginning stands for the whole. */
async function* shuffledBlocks(source: ActivationSource, ranges: readonly RowRange[], seed: number) {
  const blocks = ranges.flatMap(({ start, count }) =>
    Array.from({ length: Math.ceil(count / BLOCK_ROWS) }, (_, i) => ({
      start: start + i * BLOCK_ROWS,
      count: Math.min(BLOCK_ROWS, count - i * BLOCK_ROWS),
    })),
  );
  const order = permutation(blocks.length, createRng(`${seed}/heldout`));
  for (let first = 0; first < blocks.length; first += BLOCKS_AT_ONCE) {
    const chosen = [...order.subarray(first, first + BLOCKS_AT_ONCE)];
    const N = chosen.reduce((sum, b) => sum + blocks[b]!.count, 0);
    const x = new Float32Array(N * source.D);
    const tokens = new Int32Array(N).fill(-1);
    const units = new Int32Array(N);
    let at = 0;
    for (const b of chosen) {
      const { start, count } = blocks[b]!;
      await source.read(start, count, x.subarray(at * source.D, (at + count) * source.D));
      if (source.readTokens) tokens.set(await source.readTokens(start, count), at);
      units.fill(b, at, at + count);
      at += count;
    }
    yield { x, tokens, blocks: units };
  }
}
