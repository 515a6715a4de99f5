/** report.html: the report as one page without scripts and without anything from elsewhere. */
import { selfTestText } from '../../sae/index.ts';
import type { Interval } from '../../shared/eval.ts';
import type {
  SteerArmName,
  SteeredFeature,
  SteerMeasureName,
  SteerPoint,
  SteerReport,
} from '../../shared/steer-report.ts';
import { chart, digits, escapeHtml } from './chart.ts';
import { styleSheet } from './style-sheet.ts';

const MEASURES: readonly {
  readonly name: SteerMeasureName;
  readonly title: string;
  readonly about: string;
  readonly share: boolean;
}[] = [
  { name: 'checker', title: 'Checker', about: 'share of texts that became it', share: true },
  { name: 'judge', title: 'Judge', about: 'mean score of the texts', share: false },
  { name: 'classifier', title: 'Classifier', about: 'share of texts taken for the concept', share: true },
  { name: 'target', title: 'Target tokens', about: 'probability on held-out text', share: true },
  {
    name: 'loss',
    title: 'Loss of the text',
    about: 'nats per token under the unsteered model',
    share: false,
  },
  { name: 'repetition', title: 'Repetition', about: '4-grams that stood before', share: true },
  { name: 'kl', title: 'KL', about: 'from the unsteered model, nats per token', share: false },
];

const STYLES: Readonly<Record<SteerArmName, string>> = {
  latent: 'latent',
  'matched latents': 'matched',
  'sign flip': 'flip',
  noise: 'noise',
  'difference of means': 'means',
  prompt: 'prompt',
  none: 'none',
};
const CURVES = ['matched latents', 'noise', 'sign flip', 'difference of means', 'latent'] as const;
const NAMES: Readonly<Record<SteerArmName, string>> = {
  latent: 'the latent',
  'matched latents': 'random latents, matched',
  'sign flip': 'sign flipped',
  noise: 'noise of the same norm',
  'difference of means': 'difference of means',
  prompt: 'prompt only',
  none: 'unsteered',
};

const SHOWN_TEXTS = 3;

const told = ({ value, low, high }: Interval): string =>
  value === null ? '' : `${digits(value)}<small>${digits(low!)}…${digits(high!)}</small>`;

/** The whole page. */
export function reportPage(report: SteerReport): string {
  const title = `Steering ${report.model.name}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>${escapeHtml(title)}</title><style>${styleSheet}</style></head>
<body><header><h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(report.sae)} at <code>${escapeHtml(report.hook)}</code> · ${escapeHtml(report.created.slice(0, 10))}</p>${tested(report)}</header>
<main>${report.features.map(featureSection).join('\n')}
<section class="notes"><h2>How this was measured</h2><ul>${report.notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('')}</ul></section></main></body></html>
`;
}

/** What is known of the SAE: whatever is measured with a wrong one says nothing. */
function tested({ selfTest }: SteerReport): string {
  return selfTest ? `\n<p>SAE ${escapeHtml(selfTestText(selfTest))}</p>` : '';
}

function featureSection(feature: SteeredFeature): string {
  const { latent, label, concept, chosenBy, density, largest, selectivity, outputEffect, targets } = feature;
  const by = chosenBy.join(' and ');
  const facts = [
    ['fires on', `1 token in ${Math.round(1 / density)}`],
    ['largest activation', digits(largest)],
    ...(selectivity === undefined ? [] : [['selectivity', digits(selectivity)]]),
    ...(outputEffect === undefined ? [] : [['output effect', digits(outputEffect)]]),
  ];
  return `<section><h2>#${latent} <span>${escapeHtml(label ?? concept)}</span></h2>
<p class="by">${label === undefined ? '' : `measured for ${escapeHtml(concept)}, `}${by === 'given' ? 'given' : `chosen by ${by}`}</p>
<dl>${facts.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join('')}</dl>
${verdicts(feature)}
${legend()}
<div class="charts">${charts(feature)}</div>
${table(feature)}
${samples(feature)}
<p class="targets"><b>Target tokens</b> ${targets.map((token) => `<code>${escapeHtml(JSON.stringify(token).slice(1, -1))}</code>`).join(' ')}</p></section>`;
}

/** What the tests say, one line each. */
function verdicts({ tests }: SteeredFeature): string {
  const rows = tests.map(({ measure, value, controls, p, adjusted }) => {
    const { title = measure } = MEASURES.find(({ name }) => name === measure) ?? {};
    const mean = controls.reduce((a, b) => a + b, 0) / controls.length;
    return `<li class="${adjusted <= 0.05 ? 'found' : ''}"><b>${title}</b> ${digits(value)} against ${digits(mean)} of matched latents <span>p ${digits(p)}, adjusted ${digits(adjusted)}</span></li>`;
  });
  return `<ul class="tests">${rows.join('')}</ul>`;
}

function legend(): string {
  const names = [...CURVES.toReversed(), 'prompt', 'none'] as const;
  return `<ul class="legend">${names.map((name) => `<li class="${STYLES[name]}"><i></i>${NAMES[name]}</li>`).join('')}</ul>`;
}

function charts({ points, unsteered }: SteeredFeature): string {
  return MEASURES.filter(({ name }) => points[0]?.measures[name])
    .map(({ name, ...rest }) =>
      chart({
        ...rest,
        lines: CURVES.map((arm) => ({
          ...{ name: NAMES[arm], style: STYLES[arm] },
          points: points
            .filter((point) => point.arm === arm)
            .map(({ strength, measures }) => ({ x: strength, y: measures[name]! })),
        })),
        levels: unsteered.map(({ arm, measures }) => ({
          ...{ name: NAMES[arm], style: STYLES[arm] },
          y: measures[name]!,
        })),
      }),
    )
    .join('');
}

function table({ points, unsteered }: SteeredFeature): string {
  const shown = MEASURES.filter(({ name }) => points[0]?.measures[name]);
  const row = ({ arm, strength, measures, who }: SteerPoint): string =>
    `<tr class="${STYLES[arm]}"><th scope="row">${NAMES[arm]}${who.length > 1 ? ` <small>× ${who.length}</small>` : ''}</th><td>${strength === 0 ? '' : digits(strength)}</td>${shown.map(({ name }) => `<td>${told(measures[name]!)}</td>`).join('')}</tr>`;
  return `<details><summary>All numbers</summary><div class="wide"><table><thead><tr><th></th><th>strength</th>${shown.map(({ title }) => `<th>${title}</th>`).join('')}</tr></thead><tbody>${[...unsteered, ...points].map(row).join('')}</tbody></table></div></details>`;
}

/** Texts without steering, and of the latent, a matched one and the difference of means at every strength. */
function samples({ points, unsteered }: SteeredFeature): string {
  const texts = ({ arm, strength, samples: some, who }: SteerPoint): string =>
    `<div class="texts ${STYLES[arm]}"><h4>${NAMES[arm]}${strength === 0 ? '' : `, strength ${digits(strength)}`}${arm === 'matched latents' ? ` (${who[0]})` : ''}</h4>${some
      .slice(0, SHOWN_TEXTS)
      .map((text) => `<pre>${escapeHtml(text)}</pre>`)
      .join('')}</div>`;
  const of = (arm: SteerArmName) => points.filter((point) => point.arm === arm);
  return `<h3>Texts</h3><div class="samples">${[...unsteered, ...of('latent')].map(texts).join('')}</div>
<details><summary>Texts of the controls</summary><div class="samples">${(['matched latents', 'sign flip', 'difference of means'] as const).flatMap(of).map(texts).join('')}</div></details>`;
}
