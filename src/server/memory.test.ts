import { expect, test } from 'vitest';
import '../platform/node.ts';
import { root } from '../../test/repository.ts';
import { openModel } from '../models/index.ts';
import { type ModelNeeds, modelMemory } from '../workflows/index.ts';
import { requireMemory } from './memory.ts';

test('a model is read where it cannot write; what it was granted counts as its own; one question is asked once', async () => {
  const model = await openModel(`${root}/demo/model`);
  const [hook] = model.hooks.filter(({ name }) => name.endsWith('resid_post')).map(({ name }) => name);
  const seen: ModelNeeds[] = [];
  const machine = (available: number) => (one: typeof model, needs: ModelNeeds) => {
    seen.push(needs);
    return { ...modelMemory(one, needs), available };
  };
  const shape = { B: 1, T: Math.min(512, model.info.contextLength) };
  const part = modelMemory(model, { ...shape, hooks: [hook!], whole: false }).bytes;
  const last = model.hooks.findLast(({ name }) => name.endsWith('resid_post'))!.name;
  const whole = modelMemory(model, { ...shape, hooks: [last], whole: true }).bytes;
  expect(whole).toBeGreaterThan(part);
  const read = (available: number) => requireMemory(model, hook, machine(available) as typeof modelMemory);
  const write = (available: number) =>
    requireMemory(model, undefined, machine(available) as typeof modelMemory);
  expect(() => read(part - 1)).toThrow(/does not fit: up to blocks\.0/);
  expect(() => write(whole - 1)).toThrow(/does not fit: the whole model takes/);
  read(part);
  read(0);
  expect(() => write(whole - part - 1)).toThrow(/the whole model/);
  write(whole - part);
  write(0);
  await model.close();
  expect(seen.map((needs) => needs.whole)).toEqual([false, true, false, true, true]);
});
