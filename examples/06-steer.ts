// Steering: a latent is turned up while the model writes, at growing strength; the same change in a random direction is the control. Too little
// does nothing, too much breaks the text. All of it runs in one session. Other changes (clamp, zero, rules, positions): docs/steering.md.
//   npx tsx examples/06-steer.ts [latent] ["prompt"]
import { loadSae, logitEffects, openModel, randomised, steer } from 'saekit';

const [number = '2401', prompt = 'The meeting will be held'] = process.argv.slice(2);
const latent = Number(number);
const model = await openModel('demo/model');
const sae = await loadSae('demo/saes/blocks.3.hook_resid_post');

const [effects] = await logitEffects(model, sae, [latent], { tokens: 8 });
console.log(`#${latent} raises ${effects?.raises.map(({ token }) => JSON.stringify(token)).join(' ')}\n`);

for (const value of [0, 15, 30, 60, 120]) {
  console.log(`strength ${value}`);
  // In units of the latent's own activation.
  const louder = await steer(model, [{ sae, latent, mode: 'add', value }]);
  for (const [name, interventions] of [
    [`#${latent}`, louder],
    ['random', randomised(louder, 1)],
  ] as const) {
    const options = { maxNewTokens: 30, temperature: 0.7, topP: 0.95, seed: 1, interventions };
    const text = await model.generate(prompt, options);
    console.log(`  ${name.padEnd(7)} ${prompt}${text.replaceAll('\n', '↵')}`);
    if (value === 0) break;
  }
}
await model.close();
