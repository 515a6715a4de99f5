// Which latents make the model prefer one next word to another? Each is turned off in turn, with the error term kept; the change of the
// logit difference is its attribution. Then the check: how much of the difference do the n best bring back, with all others off?
//   npx tsx examples/07-attribution.ts ["prompt" " word" " other word"]
import {
  latentColumn,
  loadSae,
  logitEffects,
  openModel,
  padBatch,
  runWithSaes,
  type SparseCode,
} from 'saekit';

const [prompt = '2. Melt the butter in a', word = ' saucepan', other = ' little'] = process.argv.slice(2);
const model = await openModel('demo/model');
const sae = await loadSae('demo/saes/blocks.3.hook_resid_post');
const { tokenizer } = model;
if (!tokenizer) throw new Error('a model without tokenizer');
const ids = tokenizer.encodePrompt(prompt);
const [yes = 0, no = 0] = [word, other].map((text) => tokenizer.encode(text)[0]);

/** The logit difference after the prompt with only the latents of a set on, for every set: one batch with a row for each. */
async function differences(sets: readonly ReadonlySet<number>[]): Promise<number[]> {
  const batch = padBatch(sets.map(() => ids));
  const edit = ({ K, values, indices }: SparseCode): void => {
    for (const [slot, latent] of indices.entries())
      if (!sets[Math.floor(slot / K / batch.T)]?.has(latent)) values[slot] = 0;
  };
  const { logits } = await runWithSaes(model, batch, [{ sae, edit }], { keepError: true, loss: false });
  return sets.map((_, b) => {
    const last = logits?.data.subarray(((b + 1) * batch.T - 1) * model.info.V) ?? [];
    return (last[yes] ?? 0) - (last[no] ?? 0);
  });
}

const {
  saes: [{ code }],
} = await runWithSaes(model, prompt, [sae]);
const active = [...new Set(code.indices.filter((_, slot) => (code.values[slot] ?? 0) > 0))];
const [clean = 0, ...without] = await differences(
  [active, ...active.map((f) => active.filter((g) => g !== f))].map((list) => new Set(list)),
);
const effects = new Map(active.map((latent, i) => [latent, clean - (without[i] ?? 0)]));
const ranked = active.toSorted((f, g) => (effects.get(g) ?? 0) - (effects.get(f) ?? 0));

const text = JSON.stringify;
console.log(`${text(prompt)}: logit of ${text(word)} minus that of ${text(other)} is ${clean.toFixed(2)}\n`);
console.log('latent   effect  strongest on     raises');
const shown = await logitEffects(model, sae, [...ranked.slice(0, 8), ...ranked.slice(-3)], { tokens: 5 });
for (const { latent, raises } of shown) {
  const column = latentColumn(code, latent);
  const place = text(tokenizer.tokenStrings(ids)[column.indexOf(Math.max(...column))]).padEnd(15);
  const effect = effects.get(latent)?.toFixed(2).padStart(7);
  console.log(`#${latent}`.padEnd(7), effect, '', place, raises.map(({ token }) => text(token)).join(' '));
}

// The control: as many latents in an order that has nothing to do with their effects. The best may overshoot: those against are off.
const counts = [0, 2, 5, 10, 20, active.length];
const arbitrary = active.toSorted((f, g) => ((f * 7919) % 4099) - ((g * 7919) % 4099));
const [best, control] = await Promise.all(
  [ranked, arbitrary].map((order) => differences(counts.map((n) => new Set(order.slice(0, n))))),
);
console.log(`\nlatents on, of ${active.length}   the best   as many others`);
for (const [i, n] of counts.entries())
  console.log(
    String(n).padStart(10),
    best?.[i]?.toFixed(2).padStart(18),
    control?.[i]?.toFixed(2).padStart(12),
  );
await model.close();
