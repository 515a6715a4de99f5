/** arms.jsonl: a line per measured candidate, under a key of everything that it depends on. The same command finds them and goes on. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, readFile } from 'node:fs/promises';
import type { Measured } from './measure.ts';
import type { Member } from './summary.ts';
import type { Work } from './types.ts';

export type Arms = { measure(key: unknown, who: string, work: () => Promise<Measured>): Promise<Member> };

/** Candidates that are measured already, by what they depend on; new ones are written down as they come. */
export async function openArms(
  { config, options, model, sae, hook }: Work,
  file: string,
  total: number,
): Promise<Arms> {
  const { prompt, samples, maxTokens, temperature, topP, textTokens, indexTokens, seed } = config;
  const settings = { prompt, samples, maxTokens, temperature, topP, textTokens, indexTokens, seed };
  const { checker, register, positive, negative, data, heldout } = config;
  const texts = { checker, register, positive, negative, data, heldout, judge: options.judge?.toString() };
  const run = createHash('sha256')
    .update(JSON.stringify([model.info.hash, hook, settings, texts]))
    .update(new Uint8Array(sae.W_dec.buffer, sae.W_dec.byteOffset, sae.W_dec.byteLength))
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
  return {
    async measure(name, who, work) {
      const key = createHash('sha256')
        .update(run + JSON.stringify(name))
        .digest('hex')
        .slice(0, 32);
      const found = known.get(key);
      // What is there already says nothing about how long the rest takes.
      if (found) left--;
      const measured = found ?? (await work());
      if (!found) {
        await appendFile(file, `${JSON.stringify([key, measured])}\n`);
        known.set(key, measured);
        done++;
      }
      options.onProgress?.({ stage: 'candidates', done, total: left });
      return { who, measured };
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
