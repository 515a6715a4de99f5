import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeTinyModel } from '../../test/fixtures/tiny-model.ts';
import { memoryDocuments, packRows, type RowSource } from '../data/index.ts';
import { openModel } from '../models/index.ts';
import type { Model } from '../models/types.ts';
import '../platform/node.ts';
import { createActivationStream } from './stream.ts';

const HOOK = 'blocks.0.hook_resid_post';
const T = 24;
const BOS = 256;
const documents = memoryDocuments([
  'A first document, long enough to go on in the next row of the packing.',
  'short',
  'третий документ',
  'The fourth one ends the data.',
]);

let folder = '';
let model: Model;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'saekit-harvest-'));
  model = await openModel(writeTinyModel(folder));
});
afterAll(async () => {
  await model.close();
  await rm(folder, { recursive: true });
});

const pack = (extra: object = {}): RowSource =>
  packRows({
    documents,
    tokenizer: model.tokenizer!,
    contextLength: T,
    bosTokenId: BOS,
    order: 'files',
    endless: false,
    ...extra,
  });

/** The rule of packing in one line per step: everything in one list, cut into rows of T - 1, a BOS before each. */
function rowsByHand(texts: readonly string[]): number[][] {
  const rows: number[][] = [[BOS]];
  for (const text of texts) {
    let atStart = true;
    for (const id of model.tokenizer!.encode(text)) {
      if (rows.at(-1)!.length === T) rows.push([BOS]);
      if (atStart && rows.at(-1)!.length > 1) rows.at(-1)!.push(BOS);
      if (rows.at(-1)!.length === T) rows.push([BOS]);
      rows.at(-1)!.push(id);
      atStart = false;
    }
  }
  return rows;
}

test('harvested rows are the activations of each packed row run alone, whatever the model batch', async () => {
  const texts = await Promise.all([0, 1, 2, 3].map(async (i) => (await documents.get(i)).text));
  const expected: number[] = [];
  let D = 0;
  for (const row of rowsByHand(texts)) {
    const batch = {
      ids: Int32Array.from(row),
      mask: new Uint8Array(row.length).fill(1),
      B: 1,
      T: row.length,
    };
    const { data, dims } = (await model.run(batch, { hooks: [HOOK] })).cache[HOOK]!;
    D = dims[2]!;
    for (const [t, id] of row.entries()) if (id !== BOS) expected.push(...data.subarray(t * D, (t + 1) * D));
  }
  for (const batchSequences of [1, 3, 8]) {
    const stream = createActivationStream({
      model,
      hook: HOOK,
      rows: pack(),
      shuffleTokens: 0,
      batchSequences,
    });
    expect(stream.D).toBe(D);
    const got: number[] = [];
    for (let batch = await stream.next(1); batch; batch = await stream.next(1)) got.push(...batch.x);
    expect(got.length).toBe(expected.length);
    const scale = Math.sqrt(expected.reduce((sum, v) => sum + v * v, 0) / expected.length);
    const worst = got.reduce((most, v, i) => Math.max(most, Math.abs(v - expected[i]!)), 0);
    expect(worst / scale).toBeLessThan(1e-5);
  }
});

test('with a real model, too, a stopped stream goes on with the same bits', async () => {
  const options = { model, hook: HOOK, shuffleTokens: 60, seed: 1, batchSequences: 2 } as const;
  const rows = { order: 'shuffled', endless: true } as const;
  const straight = createActivationStream({ ...options, rows: pack(rows) });
  await straight.next(40);
  const { position, arrays } = straight.state();
  const resumed = createActivationStream({ ...options, rows: pack({ ...rows, cursor: position.cursor }) });
  resumed.restore(position, arrays);
  for (let i = 0; i < 4; i++) expect(await resumed.next(40)).toEqual(await straight.next(40));
});
