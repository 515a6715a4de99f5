// The printed budget is true: the resident set of `saekit train`, evaluation included, peaks within a tenth of it.
//
// A few steps reach every array: a dead window of one batch puts AuxK to work at the second step. The D 768 model is random; memory does not
// depend on what its weights are.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeWideModel } from '../bench/lib/foretold.ts';
import { buildOnce, saekit } from './fixtures/command-line.ts';
import { root } from './repository.ts';

let folder: string;
let wide: string;
beforeAll(() => {
  buildOnce();
  folder = mkdtempSync(join(tmpdir(), 'saekit-memory-'));
  wide = writeWideModel(join(folder, 'model-768'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cases = [
  { name: 'demo model, F 4096', latents: 4096, tokens: 131_072, evalTokens: 10_000 },
  { name: 'demo model, F 16384', latents: 16_384, tokens: 131_072, evalTokens: 10_000 },
  { name: 'D 768, F 16384', latents: 16_384, tokens: 32_768, evalTokens: 4000, wide: true },
];

describe('the printed budget', () => {
  for (const { name, latents, tokens, evalTokens, wide: large } of cases)
    it(`is within a tenth of the peak resident set: ${name}`, { timeout: 900_000, retry: 1 }, async () => {
      const peakFile = join(folder, 'peak');
      const run = await saekit(
        [
          ...['train', '--model', large ? wide : join(root, 'demo/model'), '--latents', String(latents)],
          ...['--data', join(root, 'demo/corpus/train.jsonl.gz')],
          ...['--heldout', join(root, 'demo/corpus/heldout.jsonl.gz')],
          ...['--tokens', String(tokens), '--eval-tokens', String(evalTokens), '--workers', '2'],
          ...['--dead-window-tokens', '4096', '--out', join(folder, name.replace(/\W+/g, '-'))],
        ],
        {
          env: { SAEKIT_TEST_PEAK: peakFile },
          preload: [new URL('./fixtures/peak-memory.mjs', import.meta.url).href],
        },
      );
      expect(run.status, run.stderr).toBe(0);
      const [, printed] = /memory\s+([\d,]+) MB at most/.exec(run.stdout) ?? [];
      const planned = Number(printed?.replaceAll(',', '')) * 1e6;
      const happened = Number(readFileSync(peakFile, 'utf8'));
      console.log(`${name}: ${planned / 1e6} MB printed, ${Math.round(happened / 1e6)} MB peak`);
      expect(happened / planned).toBeGreaterThan(0.9);
      expect(happened / planned).toBeLessThan(1.1);
    });
});
