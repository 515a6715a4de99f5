import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import '../platform/node.ts';
import { writeTinyModel } from '../../test/fixtures/tiny-model.ts';
import { openModel } from './index.ts';

const folder = mkdtempSync(join(tmpdir(), 'saekit-cost-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('counts the tiny Llama as its shapes say, to the hook, after it and in the head', async () => {
  const model = await openModel(writeTinyModel(folder));
  // D 32, 2 layers, 4 heads of 8, 2 key and value heads, MLP 64, V 258; q, k, v, o, then gate, up, down.
  const weights = 32 * 32 + 2 * 16 * 32 + 32 * 32 + 3 * 64 * 32;
  const T = 16;
  const attention = 2 * 2 * T * 32;
  const layer = { flops: 2 * weights + attention, weightBytes: 4 * weights };
  const table = 4 * 258 * 32;

  const first = model.cost(['blocks.0.hook_resid_post'], { B: 4, T });
  expect(first.before).toMatchObject({ flops: layer.flops, weightBytes: layer.weightBytes + table });
  expect(first.after).toMatchObject(layer);
  expect(first.head).toMatchObject({ flops: 2 * 258 * 32, weightBytes: table });

  const last = model.cost(['blocks.1.hook_resid_post'], { B: 4, T });
  expect(last.before).toMatchObject({
    flops: 2 * layer.flops,
    weightBytes: 2 * layer.weightBytes + table,
  });
  expect(last.after).toMatchObject({ flops: 0, weightBytes: 0 });
  // Several hooks are had from one pass, to the deepest.
  const both = model.cost(['blocks.1.hook_resid_post', 'blocks.0.hook_resid_post'], { B: 4, T });
  expect(both).toEqual(last);
  // In the middle of a block: its attention is before, its MLP after.
  const middle = model.cost(['blocks.0.hook_resid_mid'], { B: 4, T });
  expect(middle.before.flops).toBe(2 * (weights - 3 * 64 * 32) + attention);
  expect(middle.before.flops + middle.after.flops).toBe(2 * layer.flops);
  await model.close();
});
