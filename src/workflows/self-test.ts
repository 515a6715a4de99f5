/** The self-test of an SAE on stored activations. */

import { type Sae, type SelfTest, selfTest } from '../sae/index.ts';
import { UsageError } from '../shared/errors.ts';
import { type ActivationSource, openActivations } from '../store/index.ts';
import { recordedNumbers } from './recorded.ts';

/** Rows that are looked at, in blocks spread over the whole. */
const ROWS = 4096;
const BLOCK = 256;

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
  if (activations === undefined) return await selfTest(sae, options);
  if (sae.config.Dout !== undefined)
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
