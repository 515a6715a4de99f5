/**
 * Whether an export of Neuronpedia is of an SAE: by the names of model and layer, where both sides say them, and by the number of latents,
 * which no row says. n latents have rows, the last of them m − 1, the SAE has F:
 *
 *     n / F                                            most latents have one
 *     P = Π_i (F − n − i) / (F − i),  0 <= i < F − m   chance that the last F − m latents are all among those without, if any n may be
 *
 * Few rows, or an end that chance does not explain, are of another SAE, or a part.
 */
import { UsageError } from '../../shared/errors.ts';

const LEAST_SHARE = 0.5;
const LEAST_CHANCE = 1e-6;

export type FromExport = {
  readonly modelId: string;
  /** What they call the layer and SAE: 6-res-jb. */
  readonly source: string;
  /** Indices of all rows. */
  readonly indices: ReadonlySet<number>;
  /** Hooks that rows name. */
  readonly hooks: ReadonlySet<string>;
};

export type Receiving = {
  /** For messages. */
  readonly run: string;
  readonly F: number;
  /** As the SAE's file says. */
  readonly metadata: Readonly<Record<string, unknown>>;
};

/** @throws UsageError when the export covers too few of F latents, or ends before them */
export function requireCount({ modelId, source, indices }: FromExport, { run, F }: Receiving): void {
  const n = indices.size;
  const most = indices.size === 0 ? 0 : [...indices].reduce((a, b) => Math.max(a, b)) + 1;
  let chance = 1;
  for (let i = 0; i < F - most; i++) chance *= (F - n - i) / (F - i);
  if (n / F >= LEAST_SHARE && chance >= LEAST_CHANCE) return;
  throw new UsageError(
    `${modelId}/${source} has rows of ${n} latents, the last ${most - 1}, but the SAE in ${run} has ${F}: it is another SAE, or a part of the export. If it is a part, add --partial.`,
  );
}

/**
 * @param vouched the model was named by the one who imports: names of models differ between programs
 * @throws UsageError naming what differs: hook, layer, site or model
 */
export function requireNames(
  { modelId, source, hooks }: FromExport,
  { run, metadata }: Receiving,
  vouched: boolean,
): void {
  const { hook_name: hook, model_name: model, neuronpedia_id: known } = metadata;
  if (typeof known === 'string' && known.includes('/')) {
    if (known.toLowerCase() === `${modelId}/${source}`.toLowerCase()) return;
    throw new UsageError(
      `The export is of ${modelId}/${source}, but the SAE in ${run} says that it is ${known}.`,
    );
  }
  if (typeof hook === 'string') {
    for (const name of hooks)
      if (name !== hook)
        throw new UsageError(`The dashboards are of hook ${name}, the SAE in ${run} reads ${hook}.`);
    // A hook says more than a name.
    if (hooks.size === 0 && !sameLayer(source, hook))
      throw new UsageError(`The export is of ${source}, but the SAE in ${run} reads ${hook}.`);
  }
  if (typeof model === 'string' && !vouched && plainName(model) !== plainName(modelId))
    throw new UsageError(
      `The export is of the model ${modelId}, but the SAE in ${run} is of ${model}. If that is another name of the same one, add --model-id ${modelId}.`,
    );
}

/** Words of a source, and parts of a hook's name: residual stream, attention, MLP. */
const SITES = [
  { word: /^res(id|idual)?$/, hooks: /resid/ },
  { word: /^attn?$/, hooks: /attn/ },
  { word: /^mlp$/, hooks: /mlp/ },
] as const;

/** 6-res-jb, blocks.6.hook_resid_pre -> true; also where one of both does not say layer or site. */
function sameLayer(source: string, hook: string): boolean {
  if (source.includes('hook_')) return source === hook;
  const [layer, layerOfHook] = [/^\d+(?=[-_]|$)/.exec(source)?.[0], /^blocks\.(\d+)\./.exec(hook)?.[1]];
  if (layer !== undefined && layerOfHook !== undefined && Number(layer) !== Number(layerOfHook)) return false;
  const words = source.toLowerCase().split(/[-_]/);
  const site = SITES.find((one) => words.some((word) => one.word.test(word)));
  const siteOfHook = SITES.find(({ hooks }) => hooks.test(hook));
  return site === undefined || siteOfHook === undefined || site === siteOfHook;
}

/** meta-llama/Llama-3.1-8B-Instruct, llama3.1-8b-it -> llama318bit: names that the hub and Neuronpedia write in other ways. */
export function plainName(model: string): string {
  const name = model
    .toLowerCase()
    .replace(/[/\\]+$/, '')
    .split(/[/\\]/)
    .at(-1)!;
  const plain = name
    .replace(/^meta-(?=llama)/, '')
    .replace(/-(hf|pt)$/, '')
    .replace(/instruct\b/, 'it')
    .replace(/[^a-z0-9]/g, '');
  return plain === 'gpt2' ? 'gpt2small' : plain;
}
