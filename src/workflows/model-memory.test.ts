import { describe, expect, test } from 'vitest';
import { memoryOf, modelMemoryText, requireModelMemory } from './model-memory.ts';

const part = (weightBytes: number, mappedBytes = 0) => ({
  weightBytes,
  mappedBytes,
  flops: 1,
  innerBytes: 50e6,
});
const cost = { before: part(800e6), after: part(400e6), head: part(300e6) };

describe('what a model takes', () => {
  test('its weights add up, the inside of one run is reused', () => {
    expect(memoryOf(cost, true, 4e9)).toEqual({ bytes: 1550e6, mapped: 0, available: 4e9 });
    expect(memoryOf(cost, false, 4e9).bytes).toBe(850e6);
    expect(modelMemoryText(memoryOf(cost, true, 4e9))).toBe('1.6 GB for the model, 4.0 GB available');
  });

  test('mapped weights are told apart', () => {
    const mapped = { before: part(10e6, 790e6), after: part(0, 400e6), head: part(0, 300e6) };
    expect(modelMemoryText(memoryOf(mapped, true, 4e9))).toBe(
      '60 MB for the model and 1.5 GB mapped from its file, 4.0 GB available',
    );
    const found = memoryOf(mapped, true, 4e9);
    expect(() => requireModelMemory({ name: 'm' }, { hooks: [], whole: true }, found)).not.toThrow();
  });

  test('one that cannot fit is refused with numbers and what to do', () => {
    const hooks = ['blocks.3.hook_resid_post'];
    expect(() =>
      requireModelMemory({ name: 'm' }, { hooks, whole: false }, memoryOf(cost, false, 700e6)),
    ).toThrow(
      'm does not fit: up to blocks.3.hook_resid_post it takes 850 MB, 700 MB are available. What helps: read an earlier layer (--hook): the model is cut behind it; map F32 weights from the file (--low-memory); half precision is turned into float32 in memory; take a smaller model.',
    );
    expect(() =>
      requireModelMemory({ name: 'm' }, { hooks, whole: true }, memoryOf(cost, true, 700e6)),
    ).toThrow(/the whole model takes 1\.6 GB, 700 MB are available/);
  });
});
