// A folder of runs without an SAE says what it is, to every command in the same words.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { evalConfigSchema } from '../shared/config.ts';
import { indexConfigSchema } from '../shared/feature-tables.ts';
import { makeFolder } from '../store/index.ts';
import { convertSae } from './convert.ts';
import { evaluateSae } from './evaluate-sae.ts';
import { indexSae } from './feature-tables/index-sae.ts';
import { inspect } from './inspect.ts';
import { planPush } from './push.ts';
import { requireSae } from './run-state.ts';

const runs = join(import.meta.dirname, '..', '..', 'test', 'golden', 'runs', 'v1');
let place: string;
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'saekit-state-'));
  cpSync(join(runs, 'interrupted'), join(place, 'interrupted'), { recursive: true });
  cpSync(join(runs, 'finished'), join(place, 'lost'), { recursive: true });
  rmSync(join(place, 'lost', 'sae_weights.safetensors'));
  mkdirSync(join(place, 'grid', 'k-8'), { recursive: true });
  writeFileSync(join(place, 'grid', 'grid.json'), '{}');
  writeFileSync(join(place, 'file'), '');
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

it.each([
  ['interrupted', /is not finished: interrupted at step \d+ of \d+\. Finish it first: saekit train --resume/],
  ['lost', /finished run without its sae_weights\.safetensors/],
  ['grid', /holds the runs of a grid: k-8\. Name one/],
])('%s', async (name, message) => {
  const sae = join(place, name);
  await expect(evaluateSae(evalConfigSchema.parse({ sae }))).rejects.toThrow(message);
  await expect(indexSae(indexConfigSchema.parse({ sae }))).rejects.toThrow(message);
  await expect(convertSae(sae, join(place, 'out'), { to: 'sparsify' })).rejects.toThrow(message);
  await expect(planPush(sae, 'me/sae')).rejects.toThrow(message);
  if (name === 'lost') await expect(inspect(sae)).rejects.toThrow(message);
});

it('says nothing of a whole run, nor of what is no run', async () => {
  await requireSae(join(runs, 'finished'), { finished: true });
  await requireSae(place);
  await requireSae(join(place, 'none'));
});

it('a file in the place of a folder is said', async () => {
  await expect(makeFolder(join(place, 'file'))).rejects.toThrow(/file cannot be made a folder: it is a file/);
  await expect(makeFolder(join(place, 'file', 'a'))).rejects.toThrow(/on its way there is a file/);
});
