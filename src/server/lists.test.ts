// Named lists that two servers change at once.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openLists } from './lists.ts';

it('keeps what each of two writers of one file puts in', async () => {
  const root = mkdtempSync(join(tmpdir(), 'saekit-lists-'));
  try {
    const file = join(root, 'new', 'lists.json');
    const [one, other] = [openLists(file), openLists(file)];
    const list = (name: string) => ({ name, description: '', features: [], updated: '2026-01-01T00:00:00Z' });
    const names = Array.from({ length: 20 }, (_, i) => `list ${i}`);
    await Promise.all(names.map((name, i) => (i % 2 ? one : other).update(name, () => list(name))));
    expect((await one.all()).map(({ name }) => name).sort()).toEqual([...names].sort());
    expect(readdirSync(join(root, 'new'))).toEqual(['lists.json']);
  } finally {
    rmSync(root, { recursive: true });
  }
});
