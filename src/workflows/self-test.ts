/** The self-test of an SAE on stored activations, on rows that are at hand, and on text. */

import { type DocumentSet, openCorpus, packRows } from '../data/index.ts';
import { createActivationStreams } from '../harvest/index.ts';
import type { Model } from '../models/types.ts';
import { type Sae, type SelfTest, selfTest, untested } from '../sae/index.ts';
import { UsageError } from '../shared/errors.ts';
import { type ActivationSource, openActivations } from '../store/index.ts';
import { MODEL_BATCH_SEQUENCES } from './plan.ts';
import { recordedNumbers, recordedTest } from './recorded.ts';
import { tokenizerOf } from './streams.ts';

/** Rows that are looked at, in blocks spread over the whole. */
const ROWS = 4096;
const BLOCK = 256;
/** Rows of text, which the model has to read first. */
const TEXT_ROWS = 2048;
/** Of fewer, L0 and FVU vary more than the self-test allows for. */
const LEAST_ROWS = 1000;

/** What the numbers are measured on, and compared with. */
export type TestOn = {
  /** Activations of the hook that the SAE reads, as `openActivations` takes them. */
  readonly activations?: string;
  readonly signal?: AbortSignal;
};

/** @param location where the SAE came from: an eval.json there has the recorded numbers. @throws when the width is another one */
export async function testOn(sae: Sae, location: string, { activations, signal }: TestOn): Promise<SelfTest> {
  const recorded = await recordedNumbers(location);
  const options = { ...(recorded ? { recorded } : {}), ...(signal ? { signal } : {}) };
  if (activations === undefined) {
    const test = await selfTest(sae, options);
    return test.state === 'unverified' ? { ...test, ...(await recordedTest(location)) } : test;
  }
  if (needsTarget(sae))
    throw new UsageError(
      'A transcoder is tested on what it reads and on what it should write; one file of activations is not enough.',
    );
  const source = await openActivations(activations);
  try {
    if (source.D !== sae.config.D)
      throw new Error(
        `${activations} has rows of width ${source.D}, the SAE reads ${sae.config.D}. Are they of its model and hook?`,
      );
    const { x, ids } = await spreadRows(source);
    return await selfTest(sae, { ...options, x, ...(ids ? { ids } : {}) });
  } finally {
    await source.close();
  }
}

/** Whether what it gives is compared with another place. A layer of a cross-layer transcoder is known by what fires only. */
const needsTarget = ({ config: { Dout, places } }: Sae): boolean =>
  Dout !== undefined && places === undefined;

/** x [B,D]; of a transcoder y [B,Dout], what it should give; of an SAE with token bias the tokens [B]. */
export type TestRows = {
  readonly x: Float32Array;
  readonly y?: Float32Array | undefined;
  readonly tokens?: Int32Array | undefined;
};

/**
 * On rows x [B,D] of the hook that the SAE reads. Numbers that were recorded beside the SAE are compared only with `compare`: of the same
 * kind of text.
 */
export async function testOnRows(
  sae: Sae,
  location: string,
  { x, y, tokens }: TestRows,
  { compare, signal }: { readonly compare: boolean; readonly signal?: AbortSignal | undefined },
): Promise<SelfTest> {
  const enough = x.length >= LEAST_ROWS * sae.config.D;
  const recorded = compare && enough ? await recordedNumbers(location) : {};
  const options = { ...(recorded ? { recorded } : {}), ...(signal ? { signal } : {}) };
  const needed = [...(sae.b_token ? [tokens] : []), ...(needsTarget(sae) ? [y] : [])];
  if (needed.includes(undefined)) return await selfTest(sae, options);
  return await selfTest(sae, { ...options, x, ...(y ? { y } : {}), ...(tokens ? { ids: tokens } : {}) });
}

/** How documents become rows of the hooks that an SAE reads and writes. */
export type TestText = {
  readonly model: Model;
  readonly hooks: readonly string[];
  readonly documents: DocumentSet;
  readonly contextLength: number;
  readonly excludeSpecial: boolean;
  readonly excludeFirst: number;
  readonly compare: boolean;
  readonly signal?: AbortSignal | undefined;
};

/** On the first rows of documents. */
export async function testOnDocuments(
  sae: Sae,
  location: string,
  { documents, contextLength, compare, signal, ...streamed }: TestText,
): Promise<SelfTest> {
  const { model } = streamed;
  const stream = createActivationStreams({
    ...streamed,
    ...{ shuffleTokens: 0, batchSequences: MODEL_BATCH_SEQUENCES },
    rows: packRows({
      ...{ documents, contextLength, tokenizer: tokenizerOf(model), bosTokenId: model.info.bosTokenId },
      ...{ seed: 'self-test', endless: false },
    }),
  });
  try {
    // Fewer say too little: L0 and FVU of some hundred rows vary more than the self-test allows for.
    const rows = await stream.next(TEXT_ROWS);
    const [x, y] = rows?.xs ?? [];
    return x
      ? await testOnRows(sae, location, { x, y, tokens: rows!.tokens }, { compare, signal })
      : untested;
  } finally {
    await stream.close();
  }
}

/** On text of the kind that the SAE was measured on. */
export async function testOnText(
  sae: Sae,
  location: string,
  {
    model,
    hook,
    data,
    signal,
  }: {
    readonly model: Model;
    readonly hook: string;
    readonly data: readonly string[];
    readonly signal?: AbortSignal;
  },
): Promise<SelfTest> {
  const corpus = await openCorpus({ data, ...(signal ? { signal } : {}) });
  try {
    return await testOnDocuments(sae, location, {
      ...{ model, hooks: [hook], signal, compare: true, excludeSpecial: true, excludeFirst: 0 },
      documents: corpus.train.count > 0 ? corpus.train : corpus.heldout,
      contextLength: Math.min(model.info.contextLength, 256),
    });
  } finally {
    await corpus.close();
  }
}

async function spreadRows(source: ActivationSource): Promise<{ x: Float32Array; ids?: Int32Array }> {
  const { rows, D } = source;
  const count = Math.min(ROWS, rows);
  const blocks = Math.ceil(count / BLOCK);
  const x = new Float32Array(count * D);
  const ids = source.readTokens ? new Int32Array(count) : undefined;
  for (let b = 0; b < blocks; b++) {
    const n = Math.min(BLOCK, count - b * BLOCK);
    const start = Math.floor((b * (rows - n)) / Math.max(1, blocks - 1));
    await source.read(start, n, x.subarray(b * BLOCK * D, (b * BLOCK + n) * D));
    if (ids) ids.set(await source.readTokens!(start, n), b * BLOCK);
  }
  return { x, ...(ids ? { ids } : {}) };
}
