/** arms.jsonl: a line per measured candidate, under a key of everything that it depends on. The same command finds them and goes on. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, readFile } from 'node:fs/promises';
import { hashOfSae } from '../sae-files.ts';
import type { Measured, Pushed } from './measure.ts';
import type { Member } from './summary.ts';
import type { Work } from './types.ts';

/** Somebody who pushes. `key`: everything that its numbers depend on, beside what all have in common. */
export type Candidate = Pushed & { readonly who: string; readonly key: unknown };
export type Arms = {
  /**
   * Measures candidates together, in batches of `most`. A batch is measured whole or found whole, so that its numbers have the same last bits
   * wherever a report was stopped.
   */
  measure(
    candidates: readonly Candidate[],
    most: number,
    work: (some: readonly Candidate[]) => Promise<Measured[]>,
  ): Promise<Member[]>;
};

/**
 * Candidates that are measured already, by what they depend on; new ones are written down as they come.
 *
 * @param read the texts that were read, whatever their files are called
 */
export async function openArms(
  { config, options, model, sae, hook }: Work,
  file: string,
  total: number,
  read: { readonly positive: readonly string[]; readonly negative: readonly string[] },
): Promise<Arms> {
  const { prompt, samples, maxTokens, temperature, topP, textTokens, indexTokens, seed } = config;
  const settings = { prompt, samples, maxTokens, temperature, topP, textTokens, indexTokens, seed };
  const { checker, register, positive, negative, data, heldout } = config;
  const texts = { checker, register, positive, negative, data, heldout, judge: options.judge?.toString() };
  const run = createHash('sha256')
    .update(JSON.stringify([model.info.hash, hook, settings, texts, read.positive, read.negative]))
    .update(hashOfSae(sae))
    .digest('hex');
  const known = new Map<string, Measured>();
  const lines = existsSync(file) ? (await readFile(file, 'utf8')).split('\n') : [];
  // A line that was cut by a crash is measured again.
  for (const line of lines) {
    const [key, measured] = parsed(line);
    if (key !== undefined && measured) known.set(key, measured);
  }
  if (lines.at(-1)) await appendFile(file, '\n');
  let done = 0;
  let left = total;
  options.onProgress?.({ stage: 'candidates', done, total });
  const keyOf = ({ key }: Candidate): string =>
    createHash('sha256')
      .update(run + JSON.stringify(key))
      .digest('hex')
      .slice(0, 32);
  return {
    async measure(candidates, most, work) {
      for (let from = 0; from < candidates.length; from += most) {
        const batch = candidates.slice(from, from + most);
        const missing = batch.filter((one) => !known.has(keyOf(one)));
        // What is there already says nothing about how long the rest takes.
        left -= batch.length - missing.length;
        if (missing.length > 0) {
          const measured = await work(batch);
          const fresh = batch
            .map((one, i) => [keyOf(one), measured[i]!] as const)
            .filter(([key]) => !known.has(key));
          await appendFile(file, fresh.map((line) => `${JSON.stringify(line)}\n`).join(''));
          for (const [key, one] of fresh) known.set(key, one);
          done += missing.length;
        }
        options.onProgress?.({ stage: 'candidates', done, total: left });
      }
      return candidates.map((one) => ({ who: one.who, measured: known.get(keyOf(one))! }));
    },
  };
}

function parsed(line: string): [string, Measured] | [] {
  try {
    return JSON.parse(line) as [string, Measured];
  } catch {
    return [];
  }
}
