/** Our tokens with interventions, as contenders: greedy decoding of B texts behind prompts that were run untimed. */
import '../../src/platform/node.ts';
import { findFamily } from '../../src/models/families/registry.ts';
import { createDecoder } from '../../src/models/generation/decoder.ts';
import { argmax } from '../../src/models/generation/sample.ts';
import { openModelFolder } from '../../src/models/hf-folder.ts';
import { listHooks } from '../../src/models/hooks.ts';
import { createSessions } from '../../src/models/sessions.ts';
import { createBus, unsteered } from '../../src/models/steering/bus.ts';
import type { Model } from '../../src/models/types.ts';
import { getPlatform } from '../../src/platform/index.ts';
import type { Sae } from '../../src/sae/types.ts';
import { createRng } from '../../src/shared/rng.ts';
import { type InterventionSpec, steer } from '../../src/steer/index.ts';
import type { Contender } from './contender.ts';

/** Tokens in front of those that are timed. */
const CONTEXT = 128;
const LAYERS = 8;

export type SteeredOptions = {
  readonly streams: number;
  readonly features: number;
  readonly kind: 'jumprelu' | 'topk';
  readonly prompts: readonly (readonly number[])[];
  readonly tokens: number;
  readonly threads: number;
};

/** One model for all contenders, with a session that is plain and one that can be steered, as the product has them. */
let opened: ReturnType<typeof openOnce> | undefined;
let users = 0;

async function openOnce(folder: string, threads: number) {
  const { openFolder, ort } = getPlatform();
  const model = await openModelFolder(await openFolder(folder));
  const family = findFamily(model.config, folder);
  const spec = family.parse(model.config, model.weights);
  const sessions = createSessions(family.build(spec, model.weights), model.weights.sources, { threads });
  const hooks = listHooks(spec);
  const bus = createBus(hooks, ort);
  const everywhere = Array.from({ length: LAYERS }, (_, i) => randomSae('jumprelu', spec.D, 64, i));
  const topk = randomSae('topk', spec.D, 16_384, LAYERS - 1);
  const target = { hooks, info: { name: folder, hash: '' }, tokenizer: undefined } as unknown as Model;
  return { model, spec, sessions, ort, hooks, bus, everywhere, topk, target };
}

function randomSae(architecture: 'jumprelu' | 'topk', D: number, F: number, i: number): Sae {
  const rng = createRng(`steered sae ${i}`);
  const rows = () => Float32Array.from({ length: F * D }, () => rng.normal() / Math.sqrt(D));
  const common = { D, F, metadata: { hook_name: `blocks.${3 * i + 4}.hook_resid_post` } };
  return {
    config: architecture === 'topk' ? { ...common, architecture, K: 32 } : { ...common, architecture },
    ...{ W_enc: rows(), W_dec: rows(), b_enc: new Float32Array(F), b_dec: new Float32Array(D) },
    ...(architecture === 'jumprelu' ? { threshold: new Float32Array(F) } : {}),
  } as Sae;
}

export async function oursSteered(
  name: string,
  folder: string,
  { streams, features, kind, prompts, tokens, threads }: SteeredOptions,
): Promise<Contender> {
  opened ??= openOnce(folder, threads);
  users++;
  const { spec, sessions, ort, bus, everywhere, topk, target, model } = await opened;
  const specs = Array.from(
    { length: features },
    (_, f): InterventionSpec => ({
      sae: kind === 'topk' ? topk : everywhere[f % LAYERS]!,
      ...{ latent: Math.floor(f / LAYERS), mode: 'clamp', value: 1 },
    }),
  );
  const steered = features === 0 ? unsteered : bus(await steer(target, specs));
  const last = `blocks.${spec.layers - 1}.hook_resid_post`;
  return {
    name,
    about: { streams, features, kind, context: CONTEXT, tokens, threads, weights: 'f32' },
    async turn() {
      const running = createDecoder({ spec, sessions, ort, last, hooks: [], steer: steered }, streams);
      const rows = prompts.slice(0, streams).map((prompt) => prompt.slice(0, CONTEXT));
      let advanced = await running.advance(rows);
      const start = performance.now();
      for (let i = 0; i < tokens; i++)
        advanced = await running.advance(advanced.map(({ logits }) => [argmax(logits)]));
      return performance.now() - start;
    },
    async close() {
      if (--users > 0) return;
      opened = undefined;
      await sessions.close();
      await model.close();
    },
  };
}
