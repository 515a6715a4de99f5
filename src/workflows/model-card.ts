/**
 * The README.md of an SAE on the hub: what it is, how to load it, how good it is beside controls, what it was made from. Only what the
 * folder says; a part that is not known is left out or said to be missing.
 */
import { createHash } from 'node:crypto';
import { activePerRow, type SaeConfig, variantOf } from '../sae/index.ts';
import type { EvalResult } from '../shared/eval.ts';
import type { FeatureCards } from '../shared/feature.ts';
import type { Run } from '../shared/run.ts';
import { code, count, fenced, hubLink, pairs } from './markdown.ts';
import { dataSection, provenanceSection, trainingSection } from './model-card-origin.ts';
import { featuresSection, metricsSection } from './model-card-results.ts';
import { hubNames } from './public-names.ts';

export type CardSource = {
  /** `org/name`, and the branch. */
  readonly name: string;
  readonly revision: string;
  readonly sae: SaeConfig;
  /** All without local paths (public-names.ts). */
  readonly run: Run | undefined;
  readonly evaluation: EvalResult | undefined;
  readonly cards: FeatureCards | undefined;
  /** An identifier of the hub, such as apache-2.0. */
  readonly license: string | undefined;
};

const tags = ({ architecture }: SaeConfig): string[] => [
  'sparse-autoencoder',
  'sae',
  architecture,
  'interpretability',
  'mechanistic-interpretability',
  'saekit',
];

/** The card as Markdown, with a last line by which `isUnedited` knows it again. */
export function modelCard(source: CardSource): string {
  const { run, evaluation, cards } = source;
  const text = [
    `${frontMatter(source)}\n\n${head(source)}`,
    loading(source),
    metricsSection(evaluation, run),
    featuresSection(cards),
    ...(run ? [trainingSection(run), dataSection(run.provenance)] : []),
    limits(source),
    ...(run ? [provenanceSection(run)] : []),
  ]
    .filter((section) => section !== undefined)
    .join('\n\n');
  return `${text}\n\n${mark(text)}\n`;
}

/** Lets a later push replace its own card, and no text of a person's. */
const mark = (text: string): string =>
  `<!-- written by saekit push ${createHash('sha256').update(text).digest('hex').slice(0, 16)} -->`;

/** Whether a README is one that was written here and not changed since. */
export function isUnedited(readme: string): boolean {
  const at = readme.lastIndexOf('\n\n<!-- written by saekit push');
  return at >= 0 && readme.slice(at + 2).trimEnd() === mark(readme.slice(0, at));
}

function frontMatter({ sae, run, license }: CardSource): string {
  const { model, data: sets } = run ? hubNames(run.provenance) : { model: undefined, data: [] };
  const list = (name: string, items: readonly string[]): string[] =>
    items.length === 0 ? [] : [`${name}:`, ...items.map((item) => `- ${item}`)];
  return [
    '---',
    // The library whose format it is; the hub knows no other that reads it.
    'library_name: saelens',
    ...(license === undefined ? [] : [`license: ${license}`]),
    ...(model === undefined ? [] : [`base_model: ${model}`]),
    ...list('datasets', sets),
    ...list('tags', tags(sae)),
    '---',
  ].join('\n');
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** Where the SAE reads and of which model, as far as run or cfg.json say. */
function target({ sae: { metadata }, run }: Pick<CardSource, 'sae' | 'run'>) {
  const hook = text(metadata.hook_name);
  const { model: read, activations } = run?.provenance ?? {};
  const model = read?.name ?? activations?.model ?? text(metadata.model_name);
  const onHub = run ? hubNames(run.provenance).model !== undefined : false;
  return { hook, model, onHub };
}

function head(source: CardSource): string {
  const { sae, run } = source;
  const { D, F, metadata } = sae;
  const K = activePerRow(sae);
  const { hook, model, onHub } = target(source);
  const info = run?.provenance.model;
  // Stored rows have no positions.
  const context = run?.provenance.activations
    ? undefined
    : (run?.resolved.contextLength ?? metadata.context_size);
  const tokens = run ? run.step * run.config.batchTokens : metadata.training_tokens;
  const modelText =
    model === undefined
      ? undefined
      : `${onHub ? hubLink(model) : code(model)}${info && !onHub ? ' (not from the hub)' : ''}${info ? `, ${info.family}, ${count(info.parameters)} parameters` : ''}${info?.quantization ? `, ${info.quantization}` : ''}${info?.commit ? `, commit ${code(info.commit.slice(0, 12))}` : ''}`;
  const rows = [
    ['model', modelText],
    ['hook', hook === undefined ? undefined : `${code(hook)}, width D = ${count(D)}`],
    ['latents', `F = ${count(F)} (${(F / D).toFixed(F % D === 0 ? 0 : 1)} × D)`],
    ['active per token', activeText(sae)],
    ['trained on', typeof tokens === 'number' ? `${count(tokens)} tokens` : undefined],
    ['context', typeof context === 'number' ? contextText(context, metadata.prepend_bos) : undefined],
  ] as const;
  return `# ${kindOf(sae)}${model === undefined ? '' : ` for ${model.split('/').at(-1)}`}${hook === undefined ? '' : `, ${hook}`}

A sparse autoencoder (SAE): it writes an activation x of the model as a sum of ${sae.architecture === 'topk' ? `at most ${count(sae.K)} out of ` : K === undefined ? 'few of ' : `about ${count(Math.round(K))} out of `}${count(F)} learned directions.

${pairs(rows)}${run && sae.architecture === 'topk' ? `\n\n${EQUATIONS}` : ''}`;
}

const kindOf = (sae: SaeConfig): string =>
  `${variantOf(sae.architecture).title} ${sae.Dout === undefined ? 'sparse autoencoder' : 'transcoder'}`;

function activeText(sae: SaeConfig): string | undefined {
  if (sae.architecture === 'topk') return `K = ${count(sae.K)}`;
  const mean = activePerRow(sae);
  return mean === undefined ? undefined : `${mean} on average`;
}

/** Of an SAE that was trained here; others may have their biases or norms elsewhere. */
const EQUATIONS = `${fenced('text', 'z = ReLU(TopK((x - b_dec) W_enc + b_enc))     [F], at most K of them not 0\nx̂ = z W_dec + b_dec                           [D]')}

x goes in as the model gives it, without scaling; the rows of W_dec have length 1.`;

const contextText = (context: number, bos: unknown): string =>
  `${count(context)} positions${bos === true ? ', with BOS in front of every document' : ''}`;

function loading(source: CardSource): string {
  const { name, revision, sae, cards } = source;
  const { hook, model, onHub } = target(source);
  const reads = hook ?? 'the hook';
  const at = revision === 'main' ? '' : `@${revision}`;
  const folder = model === undefined || onHub ? model : `path/to/${model.split('/').at(-1)}`;
  // Latents of an encoder raise no tokens: it writes no text.
  const [latent] = cards?.cards.filter(({ raises }) => raises.length > 0) ?? [];
  const strength = Math.max(0, ...(latent?.examples ?? []).map(({ value }) => value));
  const steering =
    latent === undefined
      ? ''
      : `\n\nText with latent ${latent.latent} turned up, beside text without it and with a random direction:

${fenced('sh', `saekit generate --sae ${name}${at}${onHub || folder === undefined ? '' : ` --model ${folder}`} --latent ${latent.latent} --strength ${Math.round(strength)} --prompt "The meeting will be held"`)}`;
  const typescript =
    hook === undefined || folder === undefined
      ? `import { loadSae } from 'saekit';\n\nconst sae = await loadSae('${name}${at}');`
      : `import { encode, loadSae, openModel } from 'saekit';

const model = await openModel('${folder}');
const sae = await loadSae('${name}${at}');
const { cache } = await model.runWithCache('The meeting was held on the', '${hook}');
const { values, indices } = await encode(sae, cache['${hook}'].data); // latents and their values, per token`;
  return `## Load it

In Python, with [SAELens](https://github.com/jbloomAus/SAELens) 6 (\`pip install sae-lens\`):

${fenced(
  'python',
  `from huggingface_hub import snapshot_download
from sae_lens import SAE

sae = SAE.load_from_disk(snapshot_download("${name}"${revision === 'main' ? '' : `, revision="${revision}"`}))
z = sae.encode(x)  # x: activations at ${reads}, [..., ${sae.D}] -> [..., ${sae.F}]`,
)}

In TypeScript, with saekit (no Python):

${fenced('ts', typescript)}${steering}`;
}

function limits({ evaluation, cards, license }: CardSource): string {
  const deltaCe = evaluation?.candidates[0]?.deltaCe.value;
  return `## Limits

${[
  `The SAE is an approximation: what is found in its latents holds for the part of the activation that it rebuilds${typeof deltaCe === 'number' ? `, and with it in place the model predicts worse by ${deltaCe.toFixed(3)} nats per token` : ''}.`,
  evaluation ? 'The numbers are those of one sample; text of another kind may be rebuilt worse.' : undefined,
  'A latent need not stand for one thing, and one thing may be spread over many latents. Steering with a latent shows what it does, not what it means.',
  cards ? 'Labels of latents are guesses by rule unless a person has checked them.' : undefined,
  license === undefined
    ? 'No licence was stated. The terms of the model and of the data hold besides.'
    : 'The licence above is that of the SAE; the terms of the model and of the data hold besides.',
]
  .filter((line) => line !== undefined)
  .map((line) => `- ${line}`)
  .join('\n')}`;
}
