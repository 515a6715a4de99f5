/**
 * Names of published SAEs, from SAELens's own registry: one YAML file that names releases, their repositories on the hub, and the SAEs in
 * them. It is fetched when a name is first asked for and kept for a day; SAEKIT_SAE_REGISTRY names another copy, a file or an address.
 *
 *     saelens:RELEASE/SAE_ID         saelens:gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71   ->  org/name/path of the hub
 *     neuronpedia:MODEL/SOURCE       neuronpedia:gpt2-small/8-res-jb                                  ->  the same
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nearestNames } from '../shared/nearest.ts';
import { connectHub } from './connect.ts';
import { HubError, HubUnreachable } from './errors.ts';
import type { HubAccess } from './types.ts';

const PUBLISHED =
  'https://raw.githubusercontent.com/decoderesearch/SAELens/main/sae_lens/pretrained_saes.yaml';
const KEPT_MS = 24 * 3600 * 1000;
const MAX_BYTES = 2 ** 26;

export type RegisteredSae = {
  readonly release: string;
  readonly id: string;
  readonly model: string;
  readonly repo: string;
  readonly path: string;
  /** How SAELens reads it; null is its own format. */
  readonly conversion: string;
  readonly l0?: number;
  readonly neuronpedia?: string;
  /** A scale of the input that stands in no file. */
  readonly scale?: number;
  /** Settings that take the place of those in cfg.json, for a whole release: how the model was loaded, how rows are normalised. */
  readonly overrides?: Readonly<Record<string, unknown>>;
};

/** Conversions of SAELens whose files are read here. */
const READ = [
  ...[
    'null',
    'gemma_2',
    'gemma_2_transcoder',
    'gemma_3',
    'llama_scope',
    'llama_scope_r1_distill',
    'sparsify',
  ],
  ...[
    'dictionary_learning_1',
    'qwen_scope',
    'goodfire',
    'deepseek_r1',
    'connor_rob_hook_z',
    ...['mwhanna_transcoder', 'temporal', 'mntss_clt_layer_transcoder'],
  ],
];
/** Where a path of the registry is no path of the repository: it is the number of a layer. */
const FILE_OF: Readonly<Record<string, (path: string) => string>> = {
  mntss_clt_layer_transcoder: (layer) => `W_enc_${layer}.safetensors`,
};
/** Of these the scale of the input is taken from the registry. */
const SCALED = ['null', 'llama_scope_r1_distill'];
/** In files of these it stands itself. */
const IN_FILE = ['llama_scope', 'temporal'];

const scalarOf = (text: string): unknown =>
  text === 'true' || text === 'false'
    ? text === 'true'
    : text !== '' && Number.isFinite(Number(text))
      ? Number(text)
      : text;

/** The subset of YAML that the registry is written in: names, two levels of `key: value`, a list of such, and under config_overrides a third. */
export function parseRegistry(text: string): RegisteredSae[] {
  const saes: RegisteredSae[] = [];
  let release = '';
  let head: Record<string, string> = {};
  let items: Record<string, string>[] = [];
  let overrides: Record<string, unknown> = {};
  /** The key of the release that the lines below it belong to, and of its overrides. */
  let [part, inner] = ['', ''];
  const unquoted = (value: string): string => value.trim().replace(/^(['"])(.*)\1$/, '$2');
  const finish = (): void => {
    for (const { id = '', path = '', l0, neuronpedia, norm_scaling_factor: scale } of items)
      saes.push({
        ...{
          release,
          id,
          path,
          model: head.model ?? '',
          repo: head.repo_id ?? '',
          conversion: head.conversion_func ?? 'null',
        },
        ...(l0 === undefined || Number.isNaN(Number(l0)) ? {} : { l0: Number(l0) }),
        ...(neuronpedia === undefined || neuronpedia === 'null' ? {} : { neuronpedia }),
        ...(scale === undefined || scale === 'null' ? {} : { scale: Number(scale) }),
        ...(Object.keys(overrides).length === 0 ? {} : { overrides }),
      });
    [head, items, overrides, part] = [{}, [], {}, ''];
  };
  for (const line of text.split('\n')) {
    const [, spaces = '', dash, key, value = ''] =
      /^( *)(- )?([\w.@-]+):(?: (.*))?$/.exec(line.trimEnd()) ?? [];
    if (key === undefined) continue;
    if (spaces === '' && !dash) {
      finish();
      release = key;
    } else if (spaces.length === 2 && !dash) {
      head[key] = unquoted(value);
      part = key;
    } else if (part === 'config_overrides' && !dash) {
      if (spaces.length === 4) inner = key;
      if (spaces.length === 4 && value.trim() !== '') overrides[key] = scalarOf(unquoted(value));
      else if (spaces.length === 6)
        overrides[inner] = { ...(overrides[inner] as object | undefined), [key]: scalarOf(unquoted(value)) };
    } else if (part === 'saes' && dash && spaces.length <= 4) items.push({ [key]: unquoted(value) });
    else if (part === 'saes' && spaces.length === 4 && items.length > 0) items.at(-1)![key] = unquoted(value);
  }
  finish();
  // An SAE that is listed twice is what the last entry says, as for any reader of YAML.
  const byName = new Map(saes.map((sae) => [`${sae.release}/${sae.id}`, sae]));
  return [...byName.values()].filter(({ id, repo }) => id !== '' && repo !== '');
}

/** All registered SAEs. @throws when the registry is neither kept nor reachable */
export async function readRegistry(access: HubAccess = {}): Promise<RegisteredSae[]> {
  const hub = connectHub(access);
  const given = process.env.SAEKIT_SAE_REGISTRY || PUBLISHED;
  if (!/^https?:/.test(given)) return parseRegistry(await readFile(given, 'utf8'));
  const kept = join(hub.assets, 'sae-registry.yaml');
  const age = await stat(kept).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => Number.POSITIVE_INFINITY,
  );
  if (age > KEPT_MS) {
    try {
      const response = await hub.fetch(given);
      if (!response.ok) throw new HubError(`${given} answers ${response.status}.`);
      const text = await response.text();
      if (text.length > MAX_BYTES || parseRegistry(text).length === 0)
        throw new HubError(`${given} is no registry of SAEs.`);
      await mkdir(hub.assets, { recursive: true });
      const temporary = `${kept}.tmp-${randomUUID()}`;
      await writeFile(temporary, text);
      await rename(temporary, kept);
    } catch (error) {
      if (!(error instanceof HubError)) throw error;
      if (age === Number.POSITIVE_INFINITY)
        throw new HubUnreachable(
          `${error.message} Names of published SAEs come from SAELens's registry, which is not kept here yet. Give org/name/path of the hub instead, or a copy of the file in SAEKIT_SAE_REGISTRY.`,
        );
      hub.onNote?.(`${error.message} Using the registry of SAEs as it was kept.`);
    }
  }
  return parseRegistry(await readFile(kept, 'utf8'));
}

/** Those of which release, id, model or neuronpedia name hold every word. */
export function searchRegistry(saes: readonly RegisteredSae[], words: readonly string[]): RegisteredSae[] {
  const wanted = words.map((word) => word.toLowerCase());
  return saes.filter((sae) => {
    const text = [sae.release, sae.id, sae.model, sae.repo, sae.neuronpedia ?? ''].join(' ').toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
}

/** Why a registered SAE is not read here; undefined when it is. */
export function unreadable({ conversion, scale, overrides = {} }: RegisteredSae): string | undefined {
  if (!READ.includes(conversion)) return `SAELens reads it with ${conversion}, a form that is not read here`;
  if (scale !== undefined && !IN_FILE.includes(conversion) && !SCALED.includes(conversion))
    return `its input scale ${scale} stands in the registry only, and is not folded here`;
  const named = conversion === 'temporal' ? ['dataset_path', 'model_name', 'hook_name'] : ['dataset_path'];
  const settings = Object.keys(overrides).filter((key) => !named.includes(key));
  if (settings.length > 0 && conversion !== 'null')
    return `the registry changes its ${settings.join(', ')}, which is known for SAELens's own format only`;
  return undefined;
}

/** What the registry has of `saelens:…` and `neuronpedia:…`; undefined for other locations. @throws for a name that is not registered, with the nearest */
export async function registeredSae(
  location: string,
  access?: HubAccess,
): Promise<RegisteredSae | undefined> {
  const [, scheme, name = ''] = /^(saelens|neuronpedia):(.+)$/.exec(location) ?? [];
  if (scheme === undefined) return undefined;
  const saes = await readRegistry(access);
  const nameOf = (sae: RegisteredSae): string =>
    scheme === 'saelens' ? `${sae.release}/${sae.id}` : (sae.neuronpedia ?? '');
  const found = saes.find((sae) => nameOf(sae) === name);
  if (!found) {
    const near = nearestNames(
      name,
      [...new Set(saes.map(nameOf))].filter((one) => one !== ''),
    );
    throw new HubError(
      `${location}: not in the registry of ${saes.length} SAEs.${near.length > 0 ? ` Nearest: ${near.slice(0, 3).join(', ')}.` : ''} To look: saekit saes search WORD`,
    );
  }
  return found;
}

/** Where an SAE lies, and what the registry says beside its files. */
export type ResolvedSae = Pick<RegisteredSae, 'overrides'> & { readonly location: string };

/** `saelens:…` and `neuronpedia:…` as org/name/path of the hub; anything else as it is. @throws as `registeredSae`, and for one that is not read here */
export async function resolveSaeName(location: string, access?: HubAccess): Promise<ResolvedSae> {
  const found = await registeredSae(location, access);
  if (!found) return { location };
  const why = unreadable(found);
  if (why) throw new HubError(`${location}: ${why}.`);
  const scaled = found.scale !== undefined && SCALED.includes(found.conversion);
  const overrides = { ...found.overrides, ...(scaled ? { norm_scaling_factor: found.scale } : {}) };
  const path = FILE_OF[found.conversion]?.(found.path) ?? found.path;
  return {
    location: path === '' || path === '.' ? found.repo : `${found.repo}/${path}`,
    ...(Object.keys(overrides).length > 0 ? { overrides } : {}),
  };
}
