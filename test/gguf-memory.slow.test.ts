// What a real GGUF file takes in memory: less than 1.3 times its weights in float32, while it is converted and while it is open.
//
// A file of its own: a child's peak counts what its parent held when it was started.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildOnce, saekit } from './fixtures/command-line.ts';
import { root } from './repository.ts';
import { testModel } from './support/test-models.ts';

const smollm = testModel('SmolLM2-135M-Instruct.Q4_1.gguf');

describe.skipIf(!smollm)('memory, SmolLM2-135M', () => {
  test('neither conversion nor opening holds 1.3 times the float32 weights', {
    timeout: 600_000,
  }, async () => {
    buildOnce();
    const home = mkdtempSync(join(tmpdir(), 'saekit-real-memory-'));
    const env = { HF_HOME: home, SAEKIT_TEST_PEAK: join(home, 'peak') };
    const preload = [new URL('./fixtures/peak-memory.mjs', import.meta.url).href];
    const script = join(root, 'test/fixtures/open-and-run.mjs');
    try {
      const peakOf = async (args: string[], program = {}): Promise<number> => {
        const run = await saekit(args, { env, preload, ...program });
        expect(run.status, run.stderr).toBe(0);
        return Number(readFileSync(env.SAEKIT_TEST_PEAK, 'utf8'));
      };
      const converting = await peakOf(['inspect', smollm!]);
      const made = join(home, 'assets/saekit/gguf');
      const [converted] = readdirSync(made).filter((name) => name !== 'seen');
      const weights = statSync(join(made, converted!, 'model.safetensors')).size;
      const running = await peakOf([smollm!], { script });
      const ratio = (bytes: number) => (bytes / weights).toFixed(2);
      console.log(
        `float32 weights ${Math.round(weights / 1e6)} MB; peak of converting ${ratio(converting)} of that, of opening and running ${ratio(running)}`,
      );
      expect(converting / weights).toBeLessThan(1.3);
      expect(running / weights).toBeLessThan(1.3);
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  });
});
