/** The part of a model card with numbers: metrics beside controls, comparisons, and what the latents look like. */
import { metricLines } from '../eval/index.ts';
import type { EvalResult, Interval } from '../shared/eval.ts';
import type { FeatureCard, FeatureCards } from '../shared/feature.ts';
import { sameModel, shortHash } from '../shared/model-hash.ts';
import type { Run } from '../shared/run.ts';
import { code, count, markdownTable } from './markdown.ts';

const FEATURES_SHOWN = 8;
/** Characters of a passage before and after its peak. */
const CONTEXT = 28;

/** Measured numbers, or that there are none. */
export function metricsSection(evaluation: EvalResult | undefined, run: Run | undefined): string {
  if (!evaluation) return `## Metrics\n\nNot measured on held-out text.${run ? ` ${lastBatch(run)}` : ''}`;
  const { candidates, rows, ceTokens, klTokens, level, cleanCe, zeroCe, meanCe } = evaluation;
  const documents = candidates[0]?.fvu;
  const table = markdownTable(
    ['', ...candidates.map(({ name, kind }) => (kind === 'sae' ? '**this SAE**' : `control: ${name}`))],
    metricLines(candidates).map(({ label, better, cells }) => [
      `${label.replace('delta CE', 'ΔCE')} ${better}`.trimEnd(),
      ...cells.map((cell, c) =>
        cell === undefined
          ? '–'
          : `${c === 0 ? `**${cell.value}**` : cell.value}${cell.range ? ` [${cell.range.join(', ')}]` : ''}`,
      ),
    ]),
    ['left', ...candidates.map(() => 'right' as const)],
  );
  // Stored rows have no model to score and no tokens.
  const scored = ceTokens > 0;
  const singleTokens = candidates.some(({ latents }) => latents && latents.singleToken.n > 0);
  const { model: trainedOn, activations } = run?.provenance ?? {};
  const hash = trainedOn?.hash ?? activations?.modelHash;
  const otherModel =
    hash !== undefined && !sameModel(hash, evaluation.model.hash)
      ? `**Measured on another model than it was trained on:** ${code(evaluation.model.name)}, hash ${code(shortHash(evaluation.model.hash))}.\n\n`
      : '';
  return `## Metrics

${otherModel}On ${count(rows)} held-out ${scored ? 'tokens' : 'rows'}${documents ? ` of ${count(documents.n)} ${documents.unit}` : ''}${scored ? `; cross-entropy on ${count(ceTokens)} predictions, KL on ${count(klTokens)}` : ''}. In brackets: ${100 * level} % intervals. Arrows say which way is better.

${table}
${scored ? `\nThe model's own cross-entropy on this text is ${figure(cleanCe, 3)} nats per token; ${figure(meanCe, 3)} with the activations set to their mean, ${figure(zeroCe, 3)} with zeros.\n` : ''}
${[...comparisons(evaluation), ...controls(evaluation)].map((line) => `- ${line}`).join('\n')}

What they are: FVU, the fraction of variance unexplained, is Σ‖x − x̂‖² / Σ‖x − mean x‖².${scored ? CE_TERMS : ''} L0 is the number of active latents per token; dead ones fired on none of ${count(evaluation.deadTokens)} tokens${evaluation.deadTokensEnough ? '' : ' (too few: an upper bound)'}${singleTokens ? '; single-token ones fire on one token of the vocabulary almost only' : ''}.

${quoted(evaluation.notes)}`;
}

const CE_TERMS =
  " ΔCE is the rise of the model's cross-entropy, in nats per token, when x̂ stands in for x; recovered is (CE_ref − CE_spliced) / (CE_ref − CE_clean), where the reference has zeros or the mean there. KL is that of the model's own next-token distribution from the one with x̂.";
const quoted = (notes: readonly string[]): string => notes.map((note) => `> ${note}`).join('  \n');
const figure = ({ value }: Interval, digits: number): string =>
  value === null ? 'n/a' : value.toFixed(digits);
const withRange = ({ value, low, high }: Interval, digits: number): string =>
  value === null || low === null || high === null
    ? 'n/a'
    : `${value.toFixed(digits)} [${low.toFixed(digits)}, ${high.toFixed(digits)}]`;

/** A sentence per control: better, worse, or no difference that this text shows. */
function comparisons({ comparisons: all, ceTokens }: EvalResult): string[] {
  return all.map(({ name, fvuDifference, deltaCeRatio }) => {
    const { low, high } = fvuDifference;
    const verdict =
      low === null || high === null
        ? 'cannot be compared with'
        : high < 0
          ? 'reconstructs better than'
          : low > 0
            ? '**reconstructs worse than**'
            : '**reconstructs no better or worse, as far as this text shows, than**';
    return `The SAE ${verdict} ${name}: FVU difference ${withRange(fvuDifference, 4)}${ceTokens > 0 ? `, its ΔCE over that of the control ${withRange(deltaCeRatio, 3)}; both` : ','} on the same bootstrap draws.`;
  });
}

/** What each control is, and which one is missing. */
function controls({ candidates }: EvalResult): string[] {
  const names = candidates.filter(({ kind }) => kind === 'control').map(({ name }) => name);
  const pca = names.find((name) => name.startsWith('PCA'));
  return [
    pca === undefined
      ? 'No PCA control was measured.'
      : `${pca} is the best linear code with ${pca.replace(/\D/g, '')} numbers per token, fitted on training activations.`,
    names.includes('frozen decoder')
      ? 'frozen decoder is an SAE trained with the same budget whose decoder stayed at its random start: what it reaches is due to the encoder and the count of latents, not to learned features.'
      : 'An SAE with a frozen random decoder, which shows how much is due to learned features, was not trained as a control.',
  ];
}

/** What training itself measured last: one batch, not held out. */
function lastBatch({ metrics = {} }: Run): string {
  const { fvu, dead } = metrics;
  return typeof fvu === 'number'
    ? `The last training batch had FVU ${fvu.toFixed(4)}${typeof dead === 'number' ? ` and ${count(dead)} dead latents` : ''}; that is one batch, not held out.`
    : '';
}

/** A few latents with a strong passage each; nothing when there are no cards. */
export function featuresSection(features: FeatureCards | undefined): string | undefined {
  if (!features || features.cards.length === 0) return undefined;
  const { cards, order, rows, notes } = features;
  const shown = cards.slice(0, FEATURES_SHOWN);
  // Latents of an encoder raise no tokens.
  const writes = shown.some(({ raises }) => raises.length > 0);
  const table = markdownTable(
    ['latent', 'guess', 'F1', 'fires on', 'a strong passage (peak in «»)', ...(writes ? ['raises'] : [])],
    shown.map((card) => [
      String(card.latent),
      card.label ?? card.guess,
      card.best ? `${card.best.f1.toFixed(2)} ${card.best.label}` : '',
      `1 in ${count(1 / card.density)}`,
      passage(card),
      ...(writes
        ? [
            card.raises
              .slice(0, 4)
              .map(({ token }) => code(token))
              .join(' '),
          ]
        : []),
    ]),
    ['right', 'left', 'left', 'right', 'left', ...(writes ? (['left'] as const) : [])],
  );
  return `## Features

${shown.length} of the ${cards.length} latents in ${code('features/cards.json')} (${order === 'interesting' ? 'chosen as interesting, so not a fair sample' : 'a random sample'}), measured on ${count(rows)} held-out tokens. F1 is that of the best single label on documents that it was not chosen on.

${table}

${quoted(notes)}`;
}

function passage({ examples }: FeatureCard): string {
  const [first] = examples.toSorted((a, b) => b.value - a.value);
  if (!first) return '';
  const left = [...first.left.join('')].slice(-CONTEXT).join('');
  const right = [...first.right.join('')].slice(0, CONTEXT).join('');
  return `${code(`${left}«${first.peak}»${right}`)}, ${first.value.toFixed(1)}`;
}
