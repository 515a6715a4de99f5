/**
 * Which files of a dataset repository are which configuration and split. First what the card says (`configs` with `data_files`), else by
 * name as the `datasets` library does: a word for the split in the path, or everything is `train`.
 */
import { nearestNames } from '../shared/nearest.ts';
import { HubError } from './errors.ts';
import type { HubFile } from './types.ts';

/** Configuration -> split -> files, in the order of the card or of the names. */
export type Layout = Map<string, Map<string, HubFile[]>>;

/** What can be read; of several kinds the one with the most files is the data set. */
const READABLE = /\.(parquet|jsonl|ndjson|csv|tsv|txt)(\.gz)?$/i;
const SPLITS: readonly [string, RegExp][] = [
  ['train', /(?:^|[-._ /\d])(?:train|training)(?=$|[-._ /\d])/i],
  ['validation', /(?:^|[-._ /\d])(?:validation|valid|val|dev)(?=$|[-._ /\d])/i],
  ['test', /(?:^|[-._ /\d])(?:test|testing|eval|evaluation)(?=$|[-._ /\d])/i],
];

const CONVERTED = /^([^/]+)\/(?:partial-)?([^/]+)\/\d+\.parquet$/;

const kindOf = (path: string): string => READABLE.exec(path)?.[1]?.toLowerCase() ?? '';
const byPath = (a: HubFile, b: HubFile): number => (a.path < b.path ? -1 : 1);

/** `data/train-*`, `**` for any folders, `?`, `[0-9]`, `{a,b}`; a plain name means the file, or all of a folder. */
export function globRegExp(pattern: string): RegExp {
  let source = '';
  let braces = 0;
  const plain = pattern.replace(/^\.?\//, '').replace(/\/$/, '');
  for (let i = 0; i < plain.length; i++) {
    const c = plain[i]!;
    if (plain.startsWith('**/', i)) {
      source += '(?:.*/)?';
      i += 2;
    } else if (plain.startsWith('**', i)) {
      source += '.*';
      i++;
    } else if (c === '*') source += '[^/]*';
    else if (c === '?') source += '[^/]';
    else if (c === '[') {
      const end = plain.indexOf(']', i + 1);
      source +=
        end < 0
          ? '\\['
          : `[${plain
              .slice(i + 1, end)
              .replace(/^!/, '^')
              .replaceAll('\\', '\\\\')}]`;
      if (end > 0) i = end;
    } else if (c === '{' && plain.includes('}', i)) {
      source += '(?:';
      braces++;
    } else if (c === '}' && braces > 0) {
      source += ')';
      braces--;
    } else if (c === ',' && braces > 0) source += '|';
    else source += c.replace(/[\\^$.|+()[\]{}]/g, '\\$&');
  }
  return new RegExp(`^${source}(?:/.*)?$`);
}

type CardConfig = { config_name?: unknown; data_files?: unknown; data_dir?: unknown; default?: unknown };

const strings = (value: unknown): string[] =>
  (Array.isArray(value) ? value : [value]).filter((item): item is string => typeof item === 'string');

/** The card's `data_files` in one form: patterns by split. */
function patternsOf({ data_files: files, data_dir: folder }: CardConfig): Map<string, string[]> | undefined {
  const within = (pattern: string): string =>
    typeof folder === 'string' ? `${folder.replace(/\/$/, '')}/${pattern}` : pattern;
  if (files === undefined) return undefined;
  const plain = strings(files);
  if (plain.length > 0) return new Map([['train', plain.map(within)]]);
  const out = new Map<string, string[]>();
  const add = (split: string, path: unknown): void =>
    void out.set(split, [...(out.get(split) ?? []), ...strings(path).map(within)]);
  if (Array.isArray(files))
    for (const item of files as { split?: unknown; path?: unknown }[])
      add(String(item.split ?? 'train'), item.path);
  else for (const [split, path] of Object.entries(files as object)) add(split, path);
  return out;
}

/** Files of the commonest kind that can be read, by split. */
function bySplitName(files: readonly HubFile[]): Map<string, HubFile[]> {
  const readable = files.filter(({ path }) => READABLE.test(path) && !/(^|\/)[._]/.test(path));
  const counts = new Map<string, number>();
  for (const { path } of readable) counts.set(kindOf(path), (counts.get(kindOf(path)) ?? 0) + 1);
  const [commonest] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [];
  const out = new Map<string, HubFile[]>();
  for (const file of readable.filter(({ path }) => kindOf(path) === commonest).sort(byPath)) {
    const split = SPLITS.find(([, word]) => word.test(file.path))?.[0] ?? 'train';
    out.set(split, [...(out.get(split) ?? []), file]);
  }
  return out;
}

/** The layout of a repository's own files; empty when none can be read. */
export function layoutOf(files: readonly HubFile[], card: { readonly configs?: unknown }): Layout {
  if (card.configs === undefined && files.every(({ path }) => CONVERTED.test(path) || path.startsWith('.')))
    return convertedLayout(files);
  const layout: Layout = new Map();
  const configs = (Array.isArray(card.configs) ? card.configs : []) as CardConfig[];
  for (const config of configs) {
    const name = String(config.config_name ?? 'default');
    const patterns = patternsOf(config);
    const folder = typeof config.data_dir === 'string' ? globRegExp(config.data_dir) : undefined;
    const splits = patterns
      ? new Map([...patterns].map(([split, list]) => [split, matching(files, list)]))
      : bySplitName(files.filter(({ path }) => folder?.test(path) ?? true));
    const found = new Map([...splits].filter(([, list]) => list.length > 0));
    if (found.size > 0) layout.set(name, found);
  }
  if (configs.length === 0) {
    const splits = bySplitName(files);
    if (splits.size > 0) layout.set('default', splits);
  }
  return layout;
}

function matching(files: readonly HubFile[], patterns: readonly string[]): HubFile[] {
  const expressions = patterns.map(globRegExp);
  return files
    .filter(({ path }) => READABLE.test(path) && expressions.some((expression) => expression.test(path)))
    .sort(byPath);
}

/** The layout of refs/convert/parquet, which the hub makes of every data set it can read: CONFIG/SPLIT/0000.parquet. */
export function convertedLayout(files: readonly HubFile[]): Layout {
  const layout: Layout = new Map();
  for (const file of [...files].sort(byPath)) {
    const [, config, split] = CONVERTED.exec(file.path) ?? [];
    if (config === undefined || split === undefined) continue;
    const splits = layout.get(config) ?? new Map<string, HubFile[]>();
    layout.set(config, splits.set(split, [...(splits.get(split) ?? []), file]));
  }
  return layout;
}

export type Wanted = { readonly config: string | undefined; readonly split: string | undefined };

const list = (names: readonly string[]): string =>
  names.length > 12 ? `${names.slice(0, 12).join(', ')} and ${names.length - 12} more` : names.join(', ');

/**
 * The files that were asked for. Without a configuration: the only one, or the one called `default`; without a split: the only one, or `train`.
 * A single name may be either.
 */
export function chooseFiles(
  name: string,
  layout: Layout,
  wanted: Wanted,
): { config: string; split: string; files: readonly HubFile[] } {
  const configs = [...layout.keys()];
  const only = layout.size === 1 ? configs[0] : layout.has('default') ? 'default' : undefined;
  let { config, split } = wanted;
  if (
    config !== undefined &&
    split === undefined &&
    !layout.has(config) &&
    layout.get(only ?? '')?.has(config)
  )
    [config, split] = [only, config];
  config ??= only;
  if (config === undefined)
    throw new HubError(
      `${name} has ${configs.length} configurations: ${list(configs)}. Name one, such as ${name}:${configs[0]}.`,
    );
  const splits = layout.get(config);
  if (!splits)
    throw new HubError(
      `${name} has no configuration "${config}".${near(config, [...configs, ...(layout.get(only ?? '')?.keys() ?? [])])} It has ${list(configs)}.`,
    );
  const names = [...splits.keys()];
  split ??= splits.has('train') ? 'train' : splits.size === 1 ? names[0] : undefined;
  if (split === undefined)
    throw new HubError(
      `${name}:${config} has the splits ${list(names)}. Name one, such as ${name}:${config}/${names[0]}.`,
    );
  const files = splits.get(split);
  if (!files)
    throw new HubError(
      `${name}:${config} has no split "${split}".${near(split, names)} It has ${list(names)}.`,
    );
  return { config, split, files };
}

function near(wanted: string, names: readonly string[]): string {
  const found = nearestNames(wanted, names);
  return found.length === 0 ? '' : ` Did you mean ${found.join(' or ')}?`;
}
