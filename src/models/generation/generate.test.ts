import { expect, test } from 'vitest';
import type { Generation, SamplingOptions } from '../types.ts';
import { type Delta, type GenerateParts, generateTexts } from './generate.ts';

/** Always wants the id after a row's last token, of ten; keeps a log of what it was given. */
function counting(log: number[][][] = []): GenerateParts['createDecoder'] {
  return () => ({
    async advance(tokens) {
      log.push(tokens.map((row) => [...row]));
      return tokens.map((row) => {
        const logits = new Float32Array(10);
        logits[(row.at(-1)! + 1) % 10] = 1;
        return { logits, captured: { seen: row.map((id) => Float32Array.of(id)) } };
      });
    },
    keep() {},
  });
}
const tokenizer = { decode: (ids: readonly number[]) => ids.join('') };
const seen = [{ name: 'seen', dims: ['B', 'T', 'D'], width: 1 }];

async function run(
  prompts: number[][],
  options: SamplingOptions & Partial<GenerateParts> = {},
): Promise<{ texts: Generation[]; deltas: Delta[]; log: number[][][] }> {
  const log: number[][][] = [];
  const { endIds = [], contextLength = 100, hooks = [], ...rest } = options;
  const parts = { prompts, createDecoder: counting(log), tokenizer, endIds, contextLength, hooks, heads: 1 };
  const running = generateTexts(parts, rest);
  const deltas: Delta[] = [];
  for (;;) {
    const step = await running.next();
    if (step.done) return { texts: step.value, deltas, log };
    deltas.push(step.value);
  }
}

test('ends before an end token, at the count, at the context and at a stop string', async () => {
  const one = async (options: object) => {
    const { ids, end } = (await run([[2]], options)).texts[0]!;
    return [ids, end];
  };
  expect(await one({ endIds: [6] })).toEqual([[3, 4, 5], 'token']);
  expect(await one({ maxNewTokens: 2 })).toEqual([[3, 4], 'length']);
  expect(await one({ contextLength: 4 })).toEqual([[3, 4, 5], 'context']);
  expect(await one({ maxNewTokens: 0 })).toEqual([[], 'length']);
  expect(await one({ stop: '56' })).toEqual([[3, 4, 5, 6], 'stop']);
  expect((await run([[2]], { stop: ['9', '56'] })).texts[0]!.text).toBe('34');
});

test('rows end one after the other, and the others go on without them', async () => {
  const { texts, log, deltas } = await run([[2], [0, 5], [7]], { endIds: [8], maxNewTokens: 4 });
  expect(texts.map(({ ids }) => ids)).toEqual([[3, 4, 5, 6], [6, 7], []]);
  expect(texts.map(({ promptIds }) => promptIds)).toEqual([[2], [0, 5], [7]]);
  expect(log).toEqual([[[2], [0, 5], [7]], [[3], [6]], [[4], [7]], [[5]]]);
  expect(deltas.filter(({ row }) => row === 0).map(({ text }) => text)).toEqual(['3', '4', '5', '6']);
});

test('captures the prompt and every token, the last one too', async () => {
  const { texts, log } = await run([[2, 3], [5]], { endIds: [7], maxNewTokens: 3, hooks: seen });
  expect(texts.map(({ cache }) => [...cache.seen!.data])).toEqual([
    [2, 3, 4, 5, 6],
    [5, 6],
  ]);
  expect(texts[0]!.cache.seen!.dims).toEqual([5, 1]);
  expect(log.flat(2).length).toBe(7);
  expect((await run([[2]], { maxNewTokens: 0, hooks: seen })).texts[0]!.cache.seen!.dims).toEqual([1, 1]);
});

test('refuses settings without meaning', async () => {
  await expect(run([[1]], { temperature: -1 })).rejects.toThrow(/temperature is -1/);
  await expect(run([[1]], { maxNewTokens: 1.5 })).rejects.toThrow(/maxNewTokens is 1.5/);
  await expect(run([[1]], { stop: '' })).rejects.toThrow(/stop string is empty/);
  await expect(run([[1]], { seed: [1, 2] })).rejects.toThrow(/2 seeds for 1 prompts/);
});
