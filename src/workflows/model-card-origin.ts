/** The part of a model card that says where the SAE came from: settings, data, programs. */
import type { Provenance, Run } from '../shared/run.ts';
import { code, count, hubLink, markdownTable, pairs } from './markdown.ts';
import { hubNames } from './public-names.ts';

const FILES_SHOWN = 12;

type Stored = NonNullable<Provenance['activations']>;

export function trainingSection({
  config,
  resolved,
  step,
  provenance: { initialSae, activations },
}: Run): string {
  const number = (key: string): number | undefined =>
    typeof resolved[key] === 'number' ? resolved[key] : undefined;
  const steps = (key: string): string => count(number(key) ?? 0);
  const excluded = [
    ...(config.excludeSpecial && !activations ? ['special tokens'] : []),
    ...(config.excludeFirst > 0 && !activations
      ? [`the first ${config.excludeFirst} positions of every sequence`]
      : []),
  ];
  const rows = [
    ['steps', `${count(step)} of ${count(config.batchTokens)} tokens, Adam`],
    ['recipe', config.recipe === 'short' ? 'short: W_enc at a quarter of the rate, beta2 0.95' : undefined],
    [
      'learning rate',
      `${Number((number('lr') ?? config.lr ?? 0).toPrecision(4))}, linear warm-up over ${steps('warmupSteps')} steps, linear decay to 0 over the last ${steps('decaySteps')}`,
    ],
    [
      'dead latents',
      `AuxK with k_aux = ${number('auxk') ?? config.auxk}, weight ${config.auxkCoefficient}; dead after ${count(number('deadWindowTokens') ?? 0)} tokens without firing`,
    ],
    ['left out of the rows', excluded.length > 0 ? excluded.join(', ') : undefined],
    ['only tokens of', config.roles?.join(', ')],
    [
      'loss',
      config.multiTopk ? 'Multi-TopK: an eighth of the loss at 4 K active latents is added' : undefined,
    ],
    ['weights', config.ema > 0 ? `moving average with decay ${config.ema}` : undefined],
    ['frozen', config.freeze === 'none' ? undefined : config.freeze],
    [
      'started from',
      initialSae ? `${code(initialSae.path)}, sha256 ${code(initialSae.sha256.slice(0, 16))}` : undefined,
    ],
    ['shuffle buffer', `${count(number('shuffleTokens') ?? config.shuffleTokens)} rows`],
    [
      'seed',
      `${config.seed}${config.dataSeed === undefined ? '' : `, of the data ${config.dataSeed}`}, ${config.shards} shards`,
    ],
  ] as const;
  return `## Training

${pairs(rows)}

${code('run.json')} has every setting, ${code('metrics.jsonl')} the curve.`;
}

export function dataSection(provenance: Provenance): string {
  const { data: files, split, activations } = provenance;
  if (activations) return `## Data\n\n${activationsText(activations)} Split: ${split}.`;
  const sets = hubNames(provenance).data;
  const table = markdownTable(
    ['file', 'documents', 'bytes', 'sha256'],
    files
      .slice(0, FILES_SHOWN)
      .map(({ path, documents, bytes, sha256 }) => [
        code(path.replace(/@([0-9a-f]{12})[0-9a-f]{28}\//, '@$1/')),
        documents > 0 ? count(documents) : '',
        count(bytes),
        code(sha256.slice(0, 16)),
      ]),
    ['left', 'right', 'right', 'left'],
  );
  const more = files.length > FILES_SHOWN ? `\n\nAnd ${files.length - FILES_SHOWN} more files.` : '';
  return `## Data

${sets.length > 0 ? `${sets.map((set) => hubLink(set, 'datasets/')).join(', ')}. ` : ''}Split: ${split}.

${table}${more}

Whole hashes are in ${code('run.json')}.`;
}

const activationsText = ({ path, format, rows, D, fingerprint, ...said }: Stored): string =>
  `Stored activations ${code(path)} (${format}): ${count(rows)} rows of width ${count(D)}, fingerprint ${code(fingerprint)}.${said.model === undefined ? '' : ` They say that they are from ${code(said.model)}${said.hook === undefined ? '' : ` at ${code(said.hook)}`}${said.modelHash === undefined ? '' : `, hash ${code(said.modelHash)}`}.`}`;

export function provenanceSection({ provenance: from, started, finished }: Run): string {
  const seconds = finished ? (Date.parse(finished) - Date.parse(started)) / 1000 : undefined;
  return `## Provenance

Made with saekit ${from.saekit} on Node ${from.node}, ${from.engine} (${from.machine}); started ${started.slice(0, 16).replace('T', ' ')} UTC${seconds === undefined ? '' : `, finished ${seconds < 120 ? `${count(seconds)} seconds` : `${count(seconds / 60)} minutes`} later`}. ${from.model ? `Hash of the model (config, headers and sizes of the weights, a piece of every tensor): ${code(from.model.hash)}. ` : ''}The same settings on the same model and data give the same weights, bit for bit, for any number of threads of one machine.`;
}
