/** What tests know of the bundled model and its SAEs, read from their files: another model can take their place. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FeatureCard, FeatureCards } from '../../src/shared/feature.ts';
import { root } from '../repository.ts';

const json = (...path: string[]) => JSON.parse(readFileSync(join(root, 'demo', ...path), 'utf8'));
const config = json('model', 'config.json') as Record<string, number>;

/** Width, layers and the rest of demo/model. */
export const demoModel = {
  D: config.hidden_size!,
  layers: config.num_hidden_layers!,
  heads: config.num_attention_heads!,
  headWidth: config.head_dim!,
  mlp: config.intermediate_size!,
  V: config.vocab_size!,
} as const;

/** The bundled SAEs, named by their hooks: the wide one on a late layer, the other on an early one. */
export const [LATE, EARLY] = readdirSync(join(root, 'demo', 'saes'))
  .sort()
  .reverse() as [string, string];

const shapeOf = (hook: string) => {
  const { d_sae: F, k: K } = json('saes', hook, 'cfg.json') as { d_sae: number; k: number };
  return { F, K, path: `demo/saes/${hook}`, folder: join(root, 'demo', 'saes', hook) } as const;
};
export const [late, early] = [shapeOf(LATE), shapeOf(EARLY)];

export const cardsOf = (hook: string) => (json('saes', hook, 'features', 'cards.json') as FeatureCards).cards;

/**
 * The latents of the late SAE whose cards tell these registers or concepts best, each another one; where no card does, the first that is left.
 */
function latentsFor(...labels: readonly RegExp[]): number[] {
  const left = [...cardsOf(LATE)];
  return labels.map((label) => {
    const f1 = ({ best }: FeatureCard) => (best && label.test(best.label) ? best.f1 : 0);
    const [found] = left.toSorted((a, b) => f1(b) - f1(a));
    left.splice(left.indexOf(found!), 1);
    return found!.latent;
  });
}

/** One that fires on DNA, one on Greek, as good as the bundled SAE has them. */
export const [DNA, GREEK] = latentsFor(/^dna/, /^language\/greek/) as [number, number];

/** The largest activation on its card. */
export const largest = (latent: number): number =>
  Math.max(
    ...cardsOf(LATE)
      .find((card) => card.latent === latent)!
      .examples.map(({ value }) => value),
  );
