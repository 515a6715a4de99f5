/** What is told of files that read no text (test/oracles/onnx/make_images.py). */
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import '../../platform/node.ts';
import { getPlatform } from '../../platform/index.ts';
import { describeOnnx } from './describe.ts';
import { openOnnxFile } from './file.ts';
import { guessInputs } from './guesses.ts';
import { probe } from './probe.ts';

const images = async (name: string) => {
  const path = fileURLToPath(new URL(`../../../test/golden/onnx/images/${name}.onnx`, import.meta.url));
  const { tensors, notRun } = await describeOnnx(path);
  return { notRun, dims: Object.fromEntries(tensors.map((one) => [one.name, one.dims])) };
};

describe('shapes of files that read images', () => {
  test('of any size: measured at two sizes, which patches follow', async () => {
    const { dims, notRun } = await images('patches');
    expect(notRun).toBeUndefined();
    expect(dims).toEqual({ patches: ['B', '2', '?', '?'], flat: ['B', '2', '?'], rows: ['B', '?', '2'] });
  });
  test('of one size that only their positions tell: (224 / 16)^2 = 196 patches', async () => {
    const { dims, notRun } = await images('vit');
    expect(notRun).toBeUndefined();
    expect(dims).toEqual({
      patches: ['B', '2', '14', '14'],
      flat: ['B', '2', '196'],
      rows: ['B', '196', '2'],
      placed: ['B', '196', '2'],
    });
  });
  test('with the channels last', async () => {
    const { dims, notRun } = await images('last');
    expect(notRun).toBeUndefined();
    expect(dims).toEqual({ first: ['B', '3', '?', '?'], patches: ['B', '2', '?', '?'] });
  });
});

test('frames of sound are measured on as many samples as they need', async () => {
  const { dims, notRun } = await images('sound');
  expect(notRun).toBeUndefined();
  expect(dims).toEqual({ channel: ['B', '1', '?'], frames: ['B', '2', '?'] });
});

test('an input beyond reason is not made, and the reason is told', async () => {
  const before = process.memoryUsage.rss();
  const { dims, notRun } = await images('large');
  expect(notRun).toBe(
    'its inputs ask for 600000000 numbers (pixels [1, 600000000]); shapes are measured with up to 16777216',
  );
  expect(dims).toEqual({ positive: ['out/0', 'out/1'] });
  expect(process.memoryUsage.rss() - before).toBeLessThan(200e6);
});

test('a few values at a time are measured as all at once', async () => {
  const path = fileURLToPath(new URL('../../../test/golden/onnx/bert/model.onnx', import.meta.url));
  const folder = await getPlatform().openFolder(path);
  const file = await openOnnxFile(folder, folder.file!);
  const { graph, outputs } = file.model;
  const { feed } = guessInputs(graph)[0]!;
  const whole = await probe(graph, file.sources, outputs, feed);
  expect(whole.size).toBeGreaterThan(100);
  expect(await probe(graph, file.sources, outputs, feed, 30)).toEqual(whole);
  await file.close();
});
