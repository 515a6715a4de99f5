// Loads a model and an SAE and encodes a sentence: which latents fire on which token, and how much of each activation they explain.
//   npx tsx examples/01-load-and-encode.ts ["your own text"]
import { decode, describeSae, encode, loadSae, logitEffects, openModel } from 'saekit';

const [text = 'Melt the pepper on Monday. Привет! {"id": 7, "name": "TGTGGCTA"}'] = process.argv.slice(2);
const model = await openModel('demo/model');
const sae = await loadSae('demo/saes/blocks.3.hook_resid_post');
const { D, metadata } = sae.config;
const hook = metadata.hook_name as string;
console.log(`${model.info.name} at ${hook}, width ${D}; ${describeSae(sae.config)}\n`);

// Rows of x [T, D] are tokens, and so are those of the code: values and indices [T, K], the strongest latent first.
const { cache, batch } = await model.runWithCache(text, hook);
const x = cache[hook]?.data ?? new Float32Array();
const code = await encode(sae, x);
const { K } = code;
const xhat = decode(sae, code);

/** Share of the activation of token t that the latents explain: 1 - |x - xhat|² / |x - b_dec|². */
function explained(t: number): number {
  let [left, all] = [0, 0];
  for (let d = 0; d < D; d++) {
    const value = x[t * D + d] ?? 0;
    left += (value - (xhat[t * D + d] ?? 0)) ** 2;
    all += (value - (sae.b_dec[d] ?? 0)) ** 2;
  }
  return 1 - left / all;
}

// A first idea of what a latent means: the tokens that its direction makes likelier.
const strongest = Array.from({ length: batch.T }, (_, t) => code.indices[t * K] ?? 0);
const effects = await logitEffects(model, sae, strongest, { tokens: 6 });

console.log('token        explained  strongest latent, and what it raises');
for (const [t, token] of (model.tokenizer?.tokenStrings([...batch.ids]) ?? []).entries()) {
  // The SAE was trained without BOS, whose activation is like no other token's.
  if (t === 0) continue;
  const share = `${(100 * explained(t)).toFixed(0)} %`.padStart(9);
  const latent = `#${strongest[t]}`.padEnd(5);
  const raised = effects[t]?.raises.map((effect) => JSON.stringify(effect.token)).join(' ');
  console.log(
    JSON.stringify(token).padEnd(12),
    share,
    '',
    latent,
    code.values[t * K]?.toFixed(1).padStart(4),
    '',
    raised,
  );
}
await model.close();
