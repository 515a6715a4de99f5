import { describe, expect, it } from 'vitest';
import { type Migration, migrate, NewerFile, schemaVersionOf, upgrade } from './migrate.ts';

/** Version 1 said { width: "12 px" }, version 2 { width: 12 }, version 3 { size: { width: 12 } }. */
const steps: readonly Migration[] = [
  ({ width, ...rest }) => ({ ...rest, width: Number.parseInt(String(width), 10) }),
  ({ width, ...rest }) => ({ ...rest, size: { width } }),
];

describe('files of older versions', () => {
  it('go through the steps they lack, in order, and keep their other fields', () => {
    const today = { schemaVersion: 3, name: 'x', size: { width: 12 } };
    expect(upgrade({ schemaVersion: 1, name: 'x', width: '12 px' }, steps, 'f')).toEqual(today);
    expect(upgrade({ schemaVersion: 2, name: 'x', width: 12 }, steps, 'f')).toEqual(today);
    expect(upgrade(today, steps, 'f')).toBe(today);
  });

  it('are not changed in place', () => {
    const old = Object.freeze({ schemaVersion: 1, width: '7' });
    upgrade(old, steps, 'f');
    expect(old).toEqual({ schemaVersion: 1, width: '7' });
  });

  it('are refused when they are newer, with what to do', () => {
    const newer = () => upgrade({ schemaVersion: 4 }, steps, 'run/x.json');
    expect(newer).toThrow(NewerFile);
    expect(newer).toThrow('run/x.json: schema version 4, this saekit reads 1 to 3. Update saekit.');
  });

  it('are refused when they say no version', () => {
    for (const value of [
      null,
      7,
      'text',
      [],
      {},
      { schemaVersion: '1' },
      { schemaVersion: 0 },
      { schemaVersion: 1.5 },
    ])
      expect(() => upgrade(value, steps, 'x.json')).toThrow(/^x\.json: schemaVersion is .* reads 1 to 3/);
  });

  it('of every kind are read at the version that is written today', () => {
    for (const kind of ['run', 'grid', 'checkpoint', 'eval', 'cards', 'activations', 'tokens'] as const) {
      const today = { schemaVersion: schemaVersionOf(kind) };
      expect(migrate(kind, today, 'f')).toBe(today);
      expect(() => migrate(kind, { schemaVersion: schemaVersionOf(kind) + 1 }, 'f')).toThrow(/Update saekit/);
    }
  });
});
