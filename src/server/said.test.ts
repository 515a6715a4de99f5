// What people say of latents, and lists of them, over HTTP: kept on disk, and nothing of somebody else's is lost.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import '../platform/node.ts';
import { ask, callOperation, EARLY, RUN, servedFixture } from '../../test/fixtures/server.ts';
import { DNA } from '../../test/support/demo.ts';

const served = servedFixture();
const call = (name: string, input?: Record<string, unknown>) => callOperation(served.server, name, input);

it('a label or note that somebody else has changed meanwhile is not overwritten', async () => {
  const about = { run: RUN, latent: 9 };
  const read = async () => {
    const { label, note } = (await call('get_feature', about)).body;
    return { label, note };
  };
  // The note came meanwhile: a label alone says nothing of it.
  await call('label_feature', { ...about, label: 'first', note: 'mine' });
  await call('label_feature', { ...about, label: 'second', was: { label: 'first' } });
  expect(await read()).toEqual({ label: 'second', note: 'mine' });
  for (const [given, field] of [
    [{ label: 'third', note: 'other' }, 'label'],
    [{ note: 'other' }, 'note'],
  ] as const) {
    const was = { label: 'first', note: '' };
    const { status, body } = await call('label_feature', { ...about, ...given, was });
    expect([status, body.error.param, body.error.code]).toEqual([409, field, 'changed_meanwhile']);
    expect(body.error.message).toContain(field === 'label' ? 'it is “second” now' : 'it is “mine” now');
  }
  expect(await read()).toEqual({ label: 'second', note: 'mine' });
  await call('label_feature', { ...about, label: '', note: '' });
});

describe('an imported label', () => {
  const imported = {
    ...{
      latent: 6,
      label: 'months',
      checked: 'imported from Neuronpedia m/1-res (x, y)',
      origin: 'imported',
    },
  };
  const lineOf = () =>
    readFileSync(join(served.fixture.folder, EARLY, 'labels.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .find(({ latent }) => latent === 6);
  beforeEach(() =>
    writeFileSync(join(served.fixture.folder, EARLY, 'labels.jsonl'), `${JSON.stringify(imported)}\n`),
  );

  it.each([{ note: 'my note' }, { note: 'my note', label: ' months ' }])(
    'stays one with %j beside it',
    async (given) => {
      const { body } = await call('label_feature', { run: EARLY, latent: 6, ...given });
      expect(body).toMatchObject({ label: 'months', note: 'my note', checked: imported.checked });
      expect(lineOf()).toEqual({ ...imported, note: 'my note' });
      expect((await call('get_feature', { run: EARLY, latent: 6 })).body).toMatchObject({
        origin: 'imported',
      });
      // Who checked it may be said; it came from elsewhere all the same.
      await call('label_feature', { run: EARLY, latent: 6, checked: 'by Ada' });
      expect(lineOf()).toEqual({ ...imported, note: 'my note', checked: 'by Ada' });
    },
  );

  it("is a person's with another text, or when its note alone is left", async () => {
    const person = { origin: 'person', checked: expect.stringMatching(/^by a person/) };
    await call('label_feature', { run: EARLY, latent: 6, label: 'names of months', note: 'n' });
    expect(lineOf()).toEqual({ latent: 6, label: 'names of months', note: 'n', ...person });
    writeFileSync(join(served.fixture.folder, EARLY, 'labels.jsonl'), `${JSON.stringify(imported)}\n`);
    await call('label_feature', { run: EARLY, latent: 6, label: '', note: 'n' });
    expect(lineOf()).toEqual({ latent: 6, note: 'n', ...person });
  });
});

describe('lists', () => {
  it('are kept on disk', async () => {
    const features = [
      { run: RUN, latent: DNA, value: 60, note: 'strong' },
      { run: EARLY, latent: 3 },
    ];
    const saved = await call('save_list', { name: 'my list', features });
    expect(saved.body).toMatchObject({ name: 'my list', description: '', features });
    const file = join(served.fixture.folder, 'lists.json');
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ schemaVersion: 1, lists: [saved.body] });
    await call('save_list', { name: 'my list', description: 'again', features: [] });
    expect((await call('list_lists')).body.lists).toHaveLength(1);
    expect((await call('get_list', { name: 'my list' })).body.description).toBe('again');
    expect((await call('get_list', { name: 'my lisd' })).body.error.message).toContain(
      'Did you mean "my list"',
    );
    expect([
      (await call('delete_list', { name: 'my list' })).body,
      (await call('delete_list', { name: 'my list' })).body,
    ]).toEqual([
      { deleted: true, list: expect.objectContaining({ name: 'my list', description: 'again' }) },
      { deleted: false },
    ]);
    expect((await call('save_list', { name: '../x', features: [] })).status).toBe(400);
  });

  it('one latent goes on or off, and what another one put there meanwhile stays', async () => {
    const name = 'shared';
    const on = (latent: number, more = {}) =>
      call('add_to_list', { name, features: [{ run: RUN, latent, ...more }] });
    const latents = async () =>
      (await call('get_list', { name })).body.features.map((one: { latent: number }) => one.latent);
    // All at once: none is lost.
    await Promise.all(Array.from({ length: 8 }, (_, latent) => on(latent)));
    expect((await latents()).toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    const path = `/api/lists/${name}/${RUN}`;
    await Promise.all([3, 4].map((latent) => ask(served.server, 'DELETE', `${path}/${latent}`)));
    expect((await latents()).toSorted()).toEqual([0, 1, 2, 5, 6, 7]);
    // Twice is once, with the last strength; a description stays where none is given.
    await call('save_list', { name, description: 'kept', features: [{ run: RUN, latent: 1, value: 2 }] });
    const { body } = await on(1, { mode: 'clamp', value: 9 });
    expect(body).toMatchObject({
      description: 'kept',
      features: [{ run: RUN, latent: 1, mode: 'clamp', value: 9 }],
    });
    expect((await ask(served.server, 'DELETE', `${path}/1?mode=add`)).body.features).toHaveLength(1);
    expect((await ask(served.server, 'DELETE', `${path}/1?mode=clamp`)).body.features).toEqual([]);
    const many = Array.from({ length: 1000 }, (_, latent) => ({ run: RUN, latent }));
    await call('save_list', { name, features: many });
    const full = await on(1000);
    expect([full.status, full.body.error.message]).toEqual([
      400,
      expect.stringMatching(/^shared has 1000 other latents; .*Take some off/),
    ]);
    expect((await call('delete_list', { name })).body).toMatchObject({
      deleted: true,
      list: { features: many },
    });
    expect((await ask(served.server, 'DELETE', `${path}/1`)).status).toBe(404);
  });
});
