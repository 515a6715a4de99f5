import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { evalConfigSchema, trainConfigSchema } from '../src/shared/config.ts';
import { root } from './repository.ts';

// To bring the files up to date: npm test -- test/schema.test.ts -u
const update =
  process.argv.includes('-u') || process.argv.includes('--update') || process.env.SAEKIT_UPDATE === '1';

for (const [file, schema, title] of [
  ['docs/train-config.schema.json', trainConfigSchema, 'saekit train'],
  ['docs/eval-config.schema.json', evalConfigSchema, 'saekit eval'],
] as const) {
  it(`keeps ${file} equal to the schema that the command line uses`, () => {
    const path = join(root, file);
    const text = `${JSON.stringify({ title, ...z.toJSONSchema(schema, { io: 'input' }) }, null, 2)}\n`;
    if (update) writeFileSync(path, text);
    expect(
      existsSync(path) ? readFileSync(path, 'utf8') : '',
      'run: npm test -- test/schema.test.ts -u',
    ).toBe(text);
  });
}
