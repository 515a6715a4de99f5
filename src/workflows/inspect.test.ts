import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { early } from '../../test/support/demo.ts';
import { readResults } from './inspect.ts';

const place = mkdtempSync(join(tmpdir(), 'saekit-labels-'));
afterAll(() => rmSync(place, { recursive: true, force: true }));

describe('labels.jsonl', () => {
  cpSync(join(early.folder, 'features'), join(place, 'features'), {
    recursive: true,
  });
  const write = (...lines: string[]): void => writeFileSync(join(place, 'labels.jsonl'), lines.join('\n'));

  it('names latents on their cards and leaves the others as guesses', async () => {
    const before = (await readResults(place)).cards!.cards;
    expect(before.every(({ label }) => label === undefined)).toBe(true);
    const [first, second] = before;
    const checked = 'by eye, on ten passages';
    write(JSON.stringify({ latent: second!.latent, label: 'month names', checked }), '');
    const after = (await readResults(place)).cards!.cards;
    expect(after[0]).toEqual(first);
    expect(after[1]).toEqual({ ...second, label: 'month names' });
  });

  it('names the line that is no label', async () => {
    write(JSON.stringify({ latent: 7, label: 'x', checked: 'y' }), '{"latent": 8}');
    await expect(readResults(place)).rejects.toThrow(/labels.jsonl, line 2: expected/);
  });
});
