// Finds the latents that tell two kinds of text apart: encodes several texts of each and compares mean activations.
//   npx tsx examples/03-compare-two-texts.ts
import { encodeTexts, loadSae, logitEffects, openModel } from 'saekit';

const recipes = [
  'Serves 4\n\n- 500 g of onion\n- 2 tbsp of cream\n\n1. Dice the onion and put it in a large bowl.',
  'Melt the butter in a saucepan. Add the garlic and cook for 5 minutes until tender.',
  'Roasted Pepper Soup\n\n- 300 g of pepper\n- 1 tbsp of oil\n\n1. Bake the pepper for 25 minutes.',
];
const reports = [
  'The committee met on Monday and passed the act, which the president signed in March.',
  'The States were divided over the treaty, and Congress asked for a report before the vote.',
  'Our government must keep the peace of the world and the trust of the people.',
];

const model = await openModel('demo/model');
const sae = await loadSae('demo/saes/blocks.3.hook_resid_post');
const { F } = sae.config;

/** Mean activation [F] over the tokens of all texts, and the token on which each latent was strongest. */
async function summarize(texts: readonly string[]) {
  const mean = new Float64Array(F);
  const best = Array.from({ length: F }, () => ({ value: 0, token: '' }));
  let count = 0;
  for await (const { tokens, code } of encodeTexts(model, sae, texts)) {
    // Slots of value 0 are empty; the row of BOS is empty altogether.
    for (const [slot, value] of code.values.entries()) {
      const latent = code.indices[slot] ?? 0;
      const token = tokens[Math.floor(slot / code.K)] ?? '';
      mean[latent] = (mean[latent] ?? 0) + value;
      if (value > (best[latent]?.value ?? 0)) best[latent] = { value, token };
    }
    count += tokens.length - 1;
  }
  return { mean: mean.map((sum) => sum / count), best };
}

const [a, b] = [await summarize(recipes), await summarize(reports)];
const difference = (latent: number): number => (a.mean[latent] ?? 0) - (b.mean[latent] ?? 0);
const order = Array.from({ length: F }, (_, latent) => latent).sort((p, q) => difference(q) - difference(p));

for (const [name, latents, side] of [
  ['recipes', order.slice(0, 8), a],
  ['reports', order.slice(-8).reverse(), b],
] as const) {
  console.log(`\nmore in ${name}\nlatent   recipes  reports  strongest on     raises`);
  const effects = await logitEffects(model, sae, latents, { tokens: 5 });
  for (const { latent, raises } of effects) {
    const means = [a, b].map(({ mean }) => mean[latent]?.toFixed(2).padStart(7)).join('  ');
    const token = JSON.stringify(side.best[latent]?.token).padEnd(15);
    console.log(
      `#${latent}`.padEnd(7),
      means,
      ' ',
      token,
      raises.map(({ token: t }) => JSON.stringify(t)).join(' '),
    );
  }
}
await model.close();
