/** Real models that `npm run fetch-test-models` brings. Tests that need one are skipped, loudly, where it is missing; in CI that is an error. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../repository.ts';

const folder = process.env.SAEKIT_TEST_MODELS || join(root, '.cache', 'models');

/**
 * The path of a test model, or undefined.
 *
 * @param local not fetched in CI: its terms keep it on one's own machine
 * @example
 * const smollm = testModel('SmolLM2-135M-Instruct.Q4_1.gguf');
 * describe.skipIf(!smollm)('on real weights', …)
 */
export function testModel(name: string, { local = false } = {}): string | undefined {
  const path = join(folder, name);
  if (existsSync(path)) return path;
  const how = `npm run fetch-test-models${local ? ' -- --local' : ''}`;
  if (process.env.CI && process.env.SAEKIT_SLOW && !local)
    throw new Error(`${path} is missing: run \`${how}\``);
  console.warn(`SKIPPED: tests that need ${name}; \`${how}\` brings it.`);
  return undefined;
}
