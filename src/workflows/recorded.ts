/**
 * What stands beside an SAE of what it was measured to be. It is all that is known of one that is opened without activations:
 *
 *     eval.json of a finished run           verified: training measured the SAE that it had made
 *     `selfTest` of eval.json               what saekit eval found
 *     `selfTest` of features/index.json     what saekit index found
 *     none of them                          unverified
 *
 * An SAE that eval found to be wrong is wrong, whoever trained it. Where other files lie there than eval.json is of, nothing is known.
 */
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { registeredSae } from '../hub/index.ts';
import { type RecordedNumbers, type SelfTest, untested } from '../sae/index.ts';
import { type EvalResult, evalResultSchema } from '../shared/eval.ts';
import { migrate } from '../shared/migrate.ts';
import type { FoundBySelfTest } from '../shared/self-test.ts';
import { readRun, readTablesManifest } from '../store/index.ts';
import { saeFingerprint } from './sae-files.ts';

/** Where the numbers go: into the SAE's own folder; beside an SAE that is one file; a name of the registry becomes a path. */
export function resultsFolder(sae: string): string {
  if (existsSync(sae) && statSync(sae).isFile()) return `${sae}.eval`;
  return sae.replace(/^(saelens|neuronpedia):/, '$1/');
}

/** Undefined when there is no eval.json that can be read. */
const readRecord = async (folder: string): Promise<EvalResult | undefined> =>
  await readFile(join(folder, 'eval.json'), 'utf8')
    .then((text) => evalResultSchema.parse(migrate('eval', JSON.parse(text), 'eval.json')))
    .catch(() => undefined);

/** Documents, or blocks of rows, from which on the numbers are those of the text and not of what happened to be read. */
const ENOUGH_UNITS = 20;

function numbersIn(record: EvalResult | undefined): RecordedNumbers | undefined {
  const sae = record?.candidates.find(({ kind }) => kind === 'sae');
  if (!sae) return undefined;
  const [l0, fvu] = [sae.latents?.l0.value, sae.fvu.value];
  return {
    ...(typeof l0 === 'number' ? { l0 } : {}),
    ...(typeof fvu === 'number' ? { fvu } : {}),
    ...(sae.fvu.n < ENOUGH_UNITS ? { few: true } : {}),
  };
}

/** L0 and FVU that were measured of the SAE at `location`: by eval.json, or the L0 that SAELens's registry has; undefined where none is known. */
export async function recordedNumbers(location: string): Promise<RecordedNumbers | undefined> {
  const measured = numbersIn(await readRecord(resultsFolder(location)));
  if (measured) return measured;
  // It was read a moment ago to find the SAE; where it cannot be read any more nothing is compared.
  const l0 = (await registeredSae(location).catch(() => undefined))?.l0;
  return l0 === undefined ? undefined : { l0 };
}

/** What a file keeps of a self-test. */
export const kept = ({ state, reasons, l0, fvu, by }: SelfTest): FoundBySelfTest => ({
  ...{ state, reasons: [...reasons] },
  ...(l0 === undefined ? {} : { l0 }),
  ...(fvu === undefined ? {} : { fvu }),
  ...(by === undefined ? {} : { by }),
});

const CHANGED =
  'Its weights or settings are not those that eval.json beside it was made of. saekit eval measures them.';

/** What is known of the SAE at `location` without activations. What cannot be read there is no record. */
export async function recordedTest(location: string): Promise<FoundBySelfTest> {
  const folder = resultsFolder(location);
  const record = await readRecord(folder);
  if (record?.sae !== undefined && record.sae !== (await saeFingerprint(location).catch(() => undefined)))
    return { state: 'unverified', reasons: [CHANGED] };
  const found = record?.selfTest;
  if (found?.state === 'wrong') return { ...found, by: 'eval' };
  const numbers = numbersIn(record);
  if (numbers && (await readRun(folder).catch(() => undefined))?.status === 'finished')
    return { state: 'verified', reasons: [], ...numbers, by: 'training' };
  if (found && found.state !== 'unverified') return { ...found, by: 'eval' };
  const tables = await readTablesManifest(join(folder, 'features')).catch(() => undefined);
  if (tables?.selfTest && tables.selfTest.state !== 'unverified') return { ...tables.selfTest, by: 'index' };
  return kept(untested);
}
