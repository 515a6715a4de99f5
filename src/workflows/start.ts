/** `initFrom`: the SAE that a run starts from. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { loadSae, outputWidth, refuseWrong, type Sae, selfTestText } from '../sae/index.ts';
import { UsageError } from '../shared/errors.ts';
import type { Provenance } from '../shared/run.ts';
import { checkStart } from '../train/index.ts';
import { elsewhere, trainedAt } from './own-place.ts';
import { OWN_SAE_FILES } from './run-state.ts';
import { type TestRows, testOnRows } from './self-test.ts';
import type { TrainPlan } from './types.ts';

const TEST_ROWS = 4096;

export type Start = {
  readonly sae?: Sae | undefined;
  /** For run.json. */
  readonly initialSae?: Provenance['initialSae'];
  /** How this run reads another hook than the SAE was trained at. */
  readonly elsewhere?: string;
};

/** @throws UsageError when the SAE does not fit the plan; the errors of `loadSae` */
export async function openStart({ config: { initFrom }, trainer, settings }: TrainPlan): Promise<Start> {
  if (initFrom === undefined) return {};
  const sae = await loadSae(initFrom);
  try {
    checkStart(trainer, sae);
  } catch (error) {
    throw new UsageError(`${initFrom}: ${(error as Error).message}`);
  }
  const { hook, outputHook } = settings;
  const other = elsewhere(trainedAt(sae.config, undefined), { hook, outputHook, modelHash: undefined });
  const sha256 = createHash('sha256');
  for (const name of OWN_SAE_FILES)
    for await (const chunk of createReadStream(join(initFrom, name))) sha256.update(chunk as Buffer);
  const initialSae = { path: initFrom, sha256: sha256.digest('hex') };
  return { sae, initialSae, ...(other === undefined ? {} : { elsewhere: other }) };
}

/**
 * The self-test of the SAE on the first rows of the hook: what was recorded of it may be of other text, and is not compared.
 *
 * @returns what to say of it
 * @throws UsageError with the reasons when it is wrong
 */
export async function testStart(
  { sae, initialSae, elsewhere: other }: Start,
  { x, y }: TestRows,
): Promise<string | undefined> {
  if (!sae || !initialSae) return undefined;
  const some = {
    x: x.subarray(0, TEST_ROWS * sae.config.D),
    y: y?.subarray(0, TEST_ROWS * outputWidth(sae.config)),
  };
  const place = other === undefined ? '' : ` It is of another place: ${other}.`;
  const test = await testOnRows(sae, initialSae.path, some, { compare: false });
  try {
    refuseWrong(sae, test, initialSae.path);
  } catch (error) {
    throw new UsageError(`${(error as Error).message}${place}`);
  }
  return `The SAE to start from, ${initialSae.path}, is ${selfTestText(test)}.${place}`;
}
