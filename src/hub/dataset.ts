/**
 * `org/name[@revision][:config/split][#column]` -> files in the cache, or, of large Parquet, files read by range.
 *
 * The repository's own files are taken where they can be read, else those of refs/convert/parquet. What was found is noted in
 * HF_HOME/assets/saekit, so that cached data also opens without the network.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cachedFile, repoCache } from './cache.ts';
import { connectHub, type Hub } from './connect.ts';
import { answer, HubError, HubUnreachable } from './errors.ts';
import { chooseFiles, convertedLayout, layoutOf, type Wanted } from './layout.ts';
import { openRemote, type RemoteFile } from './range.ts';
import { bringFiles, listRepo, resolveCommit } from './snapshot.ts';
import type { HubAccess, HubFile, HubId } from './types.ts';

/** Parquet beyond this is read by range instead of downloaded. */
const WHOLE_BYTES = 2 ** 27;
/** Every file costs its footer before the first row is read; of more, evenly spaced ones are taken. */
const MAX_REMOTE_FILES = 64;

export type DatasetArgument = HubId & Wanted & { readonly column: string | undefined };

const DATASET =
  /^([a-z0-9][\w.-]*\/[a-z0-9_][\w.-]*)(?:@([\w./-]+))?(?::([^/#:]+)(?:\/([^/#]+))?)?(?:#(.+))?$/i;

export function parseDatasetArgument(text: string): DatasetArgument | undefined {
  const [, name, revision = 'main', config, split, column] = DATASET.exec(text) ?? [];
  return name === undefined || name.includes('..')
    ? undefined
    : { type: 'dataset', name, revision, config, split, column };
}

export type DatasetFile = HubFile & {
  /** On this disk; when absent, `remote` reads it. */
  readonly local?: string;
  readonly remote?: RemoteFile;
};
export type Dataset = {
  readonly name: string;
  readonly commit: string;
  readonly files: readonly DatasetFile[];
};

type Found = { readonly commit: string; readonly files: readonly HubFile[] };

/**
 * @param stream read Parquet by range; false downloads it. Default: by range beyond 128 MiB
 * @throws HubError when the data set, its configuration or split is missing (the nearest are named), or the hub is not reached and it is not cached
 */
export async function openHubDataset(
  argument: DatasetArgument,
  { stream, ...access }: HubAccess & { readonly stream?: boolean } = {},
): Promise<Dataset> {
  const hub = connectHub(access);
  const { name } = argument;
  const repo = repoCache(hub.cache, argument);
  const noted = join(
    hub.assets,
    'datasets',
    name.replace('/', '--'),
    `${encodeURIComponent([argument.revision, argument.config, argument.split].join(':'))}.json`,
  );
  let found: Found;
  try {
    found = await find(hub, argument);
  } catch (error) {
    if (!(error instanceof HubUnreachable)) throw error;
    const earlier = await readFile(noted, 'utf8').then(
      (text) => JSON.parse(text) as Found,
      () => undefined,
    );
    const cached =
      earlier && (await Promise.all(earlier.files.map(({ path }) => cachedFile(repo, earlier.commit, path))));
    if (!earlier || cached?.some((file) => file === undefined))
      throw new HubUnreachable(`${error.message} ${name} is not whole in the cache ${hub.cache} either.`);
    if (!hub.offline)
      hub.onNote?.(`${error.message} Using ${name} at ${earlier.commit.slice(0, 7)} from the cache.`);
    const { commit, files } = earlier;
    return { name, commit, files: files.map((file) => ({ ...file, local: repo.file(commit, file.path) })) };
  }
  const { commit } = found;
  const total = found.files.reduce((sum, { size }) => sum + size, 0);
  const parquet = found.files.every(({ path }) => path.endsWith('.parquet'));
  if (parquet && (stream ?? total > WHOLE_BYTES)) {
    const step = Math.max(1, found.files.length / MAX_REMOTE_FILES);
    const used = found.files.filter((_, i) => Math.floor(i / step) !== Math.floor((i - 1) / step));
    if (used.length < found.files.length)
      hub.onNote?.(`${name}: ${used.length} of ${found.files.length} files are read, evenly spaced.`);
    return {
      name,
      commit,
      files: used.map((file) => ({ ...file, remote: openRemote(hub, argument, commit, file) })),
    };
  }
  await bringFiles(hub, argument, commit, found.files);
  await repo.writeRef(argument.revision, commit);
  await mkdir(dirname(noted), { recursive: true });
  await writeFile(noted, JSON.stringify(found));
  return {
    name,
    commit,
    files: found.files.map((file) => ({ ...file, local: repo.file(commit, file.path) })),
  };
}

async function find(hub: Hub, argument: DatasetArgument): Promise<Found> {
  const commit = await resolveCommit(hub, argument);
  const files = await listRepo(hub, argument, commit, { recursive: true });
  const layout = layoutOf(files, await cardOf(hub, argument, commit));
  if (layout.size > 0) return { commit, files: chooseFiles(argument.name, layout, argument).files };
  const converted = { ...argument, revision: 'refs/convert/parquet' };
  try {
    const at = await resolveCommit(hub, converted);
    const made = convertedLayout(await listRepo(hub, converted, at, { recursive: true }));
    const chosen = chooseFiles(argument.name, made, argument).files;
    if (chosen.some(({ path }) => path.includes('/partial-')))
      hub.onNote?.(
        `${argument.name}: the hub has made Parquet of the first part of this split only; that part is read.`,
      );
    return { commit: at, files: chosen };
  } catch (error) {
    if (!(error instanceof HubError) || !/has no revision/.test(error.message)) throw error;
    throw new HubError(
      `${argument.name} holds nothing that can be read (Parquet, JSONL, CSV, TSV, text; here ${files
        .slice(0, 5)
        .map(({ path }) => path)
        .join(', ')}), and the hub has made no Parquet of it.`,
    );
  }
}

/** The front matter of the data set's README, as the hub has parsed it. */
async function cardOf(hub: Hub, id: HubId, commit: string): Promise<{ configs?: unknown }> {
  const url = `${hub.endpoint}/api/datasets/${id.name}/revision/${commit}`;
  const { cardData } = (await (await answer(hub, id, await hub.fetch(url), 'the card')).json()) as {
    cardData?: { configs?: unknown };
  };
  return cardData ?? {};
}
