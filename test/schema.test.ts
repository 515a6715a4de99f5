// To bring the files up to date: npm test -- test/schema.test.ts -u
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { evalConfigSchema, tokenizeConfigSchema } from '../src/shared/config.ts';
import { exportConfigSchema } from '../src/shared/export.ts';
import { indexConfigSchema } from '../src/shared/feature-tables.ts';
import { generateConfigSchema } from '../src/shared/generate.ts';
import { trainFileSchema } from '../src/shared/grid.ts';
import { harvestConfigSchema } from '../src/shared/harvest.ts';
import { serveConfigSchema } from '../src/shared/serve.ts';
import { steerReportConfigSchema } from '../src/shared/steer-report.ts';
import { root } from './repository.ts';

for (const [file, schema, title] of [
  ['docs/train-config.schema.json', trainFileSchema, 'saekit train'],
  ['docs/tokenize-config.schema.json', tokenizeConfigSchema, 'saekit tokenize'],
  ['docs/harvest-config.schema.json', harvestConfigSchema, 'saekit harvest'],
  ['docs/generate-config.schema.json', generateConfigSchema, 'saekit generate'],
  ['docs/index-config.schema.json', indexConfigSchema, 'saekit index'],
  ['docs/export-config.schema.json', exportConfigSchema, 'saekit export'],
  ['docs/eval-config.schema.json', evalConfigSchema, 'saekit eval'],
  ['docs/serve-config.schema.json', serveConfigSchema, 'saekit serve'],
  ['docs/steer-report-config.schema.json', steerReportConfigSchema, 'saekit steer-report'],
] as const) {
  it(`keeps ${file} equal to the schema that the command line uses`, async () => {
    const text = `${JSON.stringify({ title, ...z.toJSONSchema(schema, { io: 'input' }) }, null, 2)}\n`;
    await expect(text).toMatchFileSnapshot(join(root, file));
  });
}
