// An SAE that is replaced while it is served, and one that a link leads to.
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ask, callOperation, servedFixture } from '../../test/fixtures/server.ts';
import { loadSae, saveSae } from '../sae/index.ts';
import { folderWriter } from '../store/index.ts';

const served = servedFixture();

it('is read anew', async () => {
  const { fixture, server } = served;
  const folder = join(fixture.folder, 'tiny');
  const codes = async (): Promise<unknown> =>
    (await callOperation(server, 'activations_of_text', { run: 'tiny', text: 'a b c' })).body.values;
  const before = await codes();
  expect(before).toEqual(expect.arrayContaining([expect.any(Array)]));
  const sae = await loadSae(folder);
  const turn = (rows: Float32Array): Float32Array => rows.map((value) => -value);
  await saveSae(folderWriter(folder), { ...sae, W_enc: turn(sae.W_enc), W_dec: turn(sae.W_dec) });
  expect(await codes()).not.toEqual(before);
  await saveSae(folderWriter(folder), sae);
  expect(await codes()).toEqual(before);
}, 60_000);

it.skipIf(process.platform === 'win32')('is found behind a link', async () => {
  const { fixture, server } = served;
  symlinkSync(join(fixture.folder, 'tiny'), join(fixture.folder, 'linked'));
  symlinkSync('broken', join(fixture.folder, 'broken'));
  const { body } = await ask(server, 'GET', '/api/runs');
  const names = (body.runs as { run: string }[]).map(({ run }) => run);
  expect([names.includes('linked'), names.includes('broken')]).toEqual([true, false]);
});
