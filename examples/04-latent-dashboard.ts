// A dashboard of one latent, made by hand: density, histogram, logit effects, strongest passages. One HTML file that needs nothing else.
//   npx tsx examples/04-latent-dashboard.ts [latent] [file.html]
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeTexts, latentColumn, loadSae, logitEffects, openCorpus, openModel } from 'saekit';

const [number = '2883', file = join(tmpdir(), `latent-${number}.html`)] = process.argv.slice(2);
const latent = Number(number);
const model = await openModel('demo/model');
const sae = await loadSae('demo/saes/blocks.3.hook_resid_post');
const corpus = await openCorpus({ data: ['demo/corpus/heldout.jsonl.gz'], keepNearDuplicates: true });
const texts = await Promise.all(
  Array.from({ length: 150 }, async (_, i) => (await corpus.train.get(i)).text),
);
await corpus.close();

// The latent's activation at every token of every text; a passage is the surroundings of a text's strongest token.
const passages: { tokens: readonly string[]; values: readonly number[]; peak: number }[] = [];
const positive: number[] = [];
let seen = 0;
for await (const { tokens, code } of encodeTexts(model, sae, texts)) {
  const values = [...latentColumn(code, latent)];
  seen += tokens.length - 1;
  positive.push(...values.filter((value) => value > 0));
  const peak = Math.max(...values);
  const [from, to] = [values.indexOf(peak) - 16, values.indexOf(peak) + 10].map((t) => Math.max(1, t));
  if (peak > 0) passages.push({ tokens: tokens.slice(from, to), values: values.slice(from, to), peak });
}
passages.sort((p, q) => q.peak - p.peak);
const largest = passages[0]?.peak ?? 1;
const [effects] = await logitEffects(model, sae, [latent], { tokens: 10 });
await model.close();

const BINS = 20;
const bins = Array.from(
  { length: BINS },
  (_, i) => positive.filter((v) => Math.min(BINS - 1, Math.floor((BINS * v) / largest)) === i).length,
);
const most = Math.max(1, ...bins);
const density = `fires on ${positive.length} of ${seen} tokens, ${((100 * positive.length) / seen).toFixed(2)} %, in ${passages.length} of ${texts.length} texts`;
const blocks = bins.map((n) => '▁▂▃▄▅▆▇█'[Math.ceil((7 * n) / most)]).join('');
console.log(`#${latent} ${density}\nactivations 0 ${blocks} ${largest.toFixed(1)}`);
console.log('raises', effects?.raises.map(({ token }) => JSON.stringify(token)).join(' '));
console.log('lowers', effects?.lowers.map(({ token }) => JSON.stringify(token)).join(' '), '\n');
for (const { tokens, values, peak } of passages.slice(0, 6)) {
  const marked = tokens.map((token, t) => (values[t] === peak ? `«${token}»` : token)).join('');
  console.log(peak.toFixed(1).padStart(5), marked.replaceAll('\n', '↵'));
}

const safe = (text: string): string =>
  text.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`).replaceAll('\n', '↵');
const span = (token: string, value = 0): string =>
  `<span title="${value.toFixed(2)}" style="background:rgba(255,140,0,${(value / largest).toFixed(2)})">${safe(token)}</span>`;
const table = (title: string, list: readonly { token: string; effect: number }[] = []): string =>
  `<table><caption>${title}</caption>${list.map(({ token, effect }) => `<tr><td><code>${safe(JSON.stringify(token))}</code><td>${effect.toFixed(2)}`).join('')}</table>`;
await writeFile(
  file,
  `<!doctype html><meta charset="utf-8"><title>Latent ${latent}</title>
<style>body{font:15px/1.6 system-ui;max-width:70em;margin:2em auto;padding:0 1em}section{display:flex;gap:3em;align-items:end;flex-wrap:wrap}
i{display:inline-block;width:14px;background:#48a;margin-right:2px}td:last-child{text-align:right;padding-left:1em}p{white-space:pre-wrap;margin:.3em 0}</style>
<h1>Latent ${latent}</h1><p>${density}</p>
<section><div>${bins.map((n) => `<i title="${n}" style="height:${(160 * n) / most}px"></i>`).join('')}<br>activation, 0 to ${largest.toFixed(1)}</div>
${table('raises', effects?.raises)}${table('lowers', effects?.lowers)}</section><h2>Strongest passages</h2>
${passages
  .slice(0, 20)
  .map(
    ({ tokens, values, peak }) =>
      `<p><b>${peak.toFixed(1)}</b>  ${tokens.map((token, t) => span(token, values[t])).join('')}</p>`,
  )
  .join('\n')}\n`,
);
console.log(`\n${file}`);
