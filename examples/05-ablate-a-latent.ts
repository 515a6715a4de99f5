// Turns one latent off while the model runs, and nothing else: what the SAE does not explain is kept as its error term. The loss changes
// from the token on where the latent fires; before that there is nothing but rounding.
//   npx tsx examples/05-ablate-a-latent.ts [latent] ["text"]
import { editLatent, latentColumn, loadSae, openModel, runWithSaes, type SparseCode } from 'saekit';

const [number = '2401', text = 'The page says: ακολουθήστε το σύνδεσμο που παρέχεται. That is all.'] =
  process.argv.slice(2);
const latent = Number(number);
const model = await openModel('demo/model');
const sae = await loadSae('demo/saes/blocks.3.hook_resid_post');
const turnOff = (f: number) => ({ sae, edit: (code: SparseCode) => editLatent(code, f, () => 0) });

const clean = await runWithSaes(model, text, []);
const spliced = await runWithSaes(model, text, [sae]);
const kept = await runWithSaes(model, text, [sae], { keepError: true });
const without = await runWithSaes(model, text, [turnOff(latent)], { keepError: true });

// The control: each of the five other latents whose activations sum up most nearly to the same.
const [{ code }] = kept.saes;
const totals = new Map<number, number>();
for (const [slot, f] of code.indices.entries())
  totals.set(f, (totals.get(f) ?? 0) + (code.values[slot] ?? 0));
const own = totals.get(latent) ?? 0;
const others = [...totals]
  .filter(([f]) => f !== latent)
  .sort(([, a], [, b]) => Math.abs(a - own) - Math.abs(b - own))
  .slice(0, 5);
const controls = [];
for (const [other] of others)
  controls.push(await runWithSaes(model, text, [turnOff(other)], { keepError: true }));

const losses = ({ loss }: { loss: { data: Float32Array } | undefined }) => [...(loss?.data ?? [])];
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const sums = (list: readonly number[]): string =>
  `activations ${list.map((sum) => sum.toFixed(0)).join(', ')} in all`;
console.log('loss in nats per token');
for (const [name, runs] of [
  ['the model', [clean]],
  ['with the SAE and its error term', [kept]],
  [`... without #${latent}, ${sums([own])}`, [without]],
  [`... without one of five others, ${sums(others.map(([, sum]) => sum))}`, controls],
  ['with the SAE alone', [spliced]],
] as const)
  console.log(`  ${name.padEnd(76)} ${mean(runs.flatMap(losses)).toFixed(4)}`);

const column = latentColumn(code, latent);
console.log(`\ntoken          #${latent}   loss of the next token: clean, without, difference`);
for (const [t, token] of (model.tokenizer?.tokenStrings([...clean.batch.ids]) ?? []).slice(0, -1).entries()) {
  const value = column[t] ? column[t].toFixed(1) : '';
  const [before = 0, after = 0] = [losses(clean)[t], losses(without)[t]];
  const bar = '█'.repeat(Math.max(0, Math.round(20 * (after - before))));
  console.log(
    JSON.stringify(token).padEnd(12),
    value.padStart(7),
    before.toFixed(2).padStart(8),
    after.toFixed(2).padStart(7),
    (after - before).toFixed(2).replace('-0.00', '0.00').padStart(7),
    bar,
  );
}
await model.close();
