/** Our prompts and our tokens as contenders: the decoder behind `model.generate`, without text. */
import '../../src/platform/node.ts';
import { findFamily } from '../../src/models/families/registry.ts';
import { createDecoder } from '../../src/models/generation/decoder.ts';
import { argmax } from '../../src/models/generation/sample.ts';
import { openModelFolder } from '../../src/models/hf-folder.ts';
import { createSessions } from '../../src/models/sessions.ts';
import { unsteered } from '../../src/models/steering/bus.ts';
import { getPlatform } from '../../src/platform/index.ts';
import type { Contender } from './contender.ts';

/** A decoder for each turn, over one session. */
async function open(folder: string, threads: number) {
  const { openFolder, ort } = getPlatform();
  const model = await openModelFolder(await openFolder(folder));
  const family = findFamily(model.config, folder);
  const spec = family.parse(model.config, model.weights);
  const sessions = createSessions(family.build(spec, model.weights), model.weights.sources, { threads });
  const last = `blocks.${spec.layers - 1}.hook_resid_post`;
  const parts = { spec, sessions, ort, last, hooks: [], steer: unsteered };
  return {
    decoder: (rows: number) => createDecoder(parts, rows),
    async close() {
      await sessions.close();
      await model.close();
    },
  };
}

export type WithLogits = Contender & { last(): Float32Array };

/** Prompts into the cache and the logits behind each, per turn. `last` is the logits of the first. */
export async function oursPrefill(
  name: string,
  folder: string,
  prompts: readonly (readonly number[])[],
  threads: number,
): Promise<WithLogits> {
  const { decoder, close } = await open(folder, threads);
  let last = new Float32Array(0);
  return {
    name,
    about: { B: prompts.length, T: prompts[0]!.length, threads },
    last: () => last,
    async turn() {
      const start = performance.now();
      const [first] = await decoder(prompts.length).advance(prompts);
      const ms = performance.now() - start;
      last = first!.logits.slice();
      return ms;
    },
    close,
  };
}

/** `tokens` greedy tokens behind a prompt that was run untimed, per turn. `last` is the logits behind the prompt. */
export async function oursDecode(
  name: string,
  folder: string,
  prompt: readonly number[],
  tokens: number,
  threads: number,
): Promise<WithLogits> {
  const { decoder, close } = await open(folder, threads);
  let last = new Float32Array(0);
  return {
    name,
    about: { context: prompt.length, tokens, threads, weights: 'f32', cache: 'f32' },
    last: () => last,
    async turn() {
      const running = decoder(1);
      await running.advance([prompt.slice(0, -1)]);
      let next = prompt.at(-1)!;
      const start = performance.now();
      for (let i = 0; i < tokens; i++) {
        const [behind] = await running.advance([[next]]);
        const { logits } = behind!;
        if (i === 0) last = logits.slice();
        next = argmax(logits);
      }
      return performance.now() - start;
    },
    close,
  };
}
