// Steering: one latent's direction is added at every position while the model writes, at growing strength; a random direction of the same
// length is the control. Too little does nothing, too much breaks the text.
//   npx tsx examples/06-steer.ts [latent] ["prompt"]
import { loadSae, logitEffects, openModel } from 'saekit';

const [number = '2223', prompt = 'The meeting will be held'] = process.argv.slice(2);
const latent = Number(number);
const model = await openModel('demo/model');
const sae = await loadSae('demo/saes/blocks.2.hook_resid_post');
const hook = sae.config.metadata.hook_name as string;
const { D } = sae.config;

const [effects] = await logitEffects(model, sae, [latent], { tokens: 8 });
console.log(`#${latent} raises ${effects?.raises.map(({ token }) => JSON.stringify(token)).join(' ')}\n`);

// Rows of W_dec have length 1, so strengths are in units of the latent's own activation.
const direction = sae.W_dec.slice(latent * D, (latent + 1) * D);
let state = 1;
const uniform = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
const gaussian = direction.map(() => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
const random = gaussian.map((value) => value / Math.hypot(...gaussian));

for (const strength of [0, 15, 30, 60, 120]) {
  console.log(`strength ${strength}`);
  for (const [name, directions] of [
    [`#${latent}`, direction],
    ['random', random],
  ] as const) {
    const steer = { hook, directions, strengths: Float32Array.of(strength) };
    const options = { maxNewTokens: 30, temperature: 0.7, topP: 0.95, seed: 1, steer };
    const text = await model.generate(prompt, options);
    console.log(`  ${name.padEnd(7)} ${prompt}${text.replaceAll('\n', '↵')}`);
    if (strength === 0) break;
  }
}
await model.close();
