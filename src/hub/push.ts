/**
 * Files -> one commit of a model repository on the hub.
 *
 *     POST repos/create, branch/NAME     what is missing of the two
 *     POST preupload, LFS batch          which files are large, and which of those the hub does not have yet
 *     PUT                                those, to the storage that the hub names
 *     POST commit                        all names at once: before it nothing is seen, after it everything
 *
 * The token goes with the requests to the hub itself (connect.ts); @huggingface/hub, which knows the order and the storage, never gets it.
 */
import { pathToFileURL } from 'node:url';
import { Interrupted } from '../shared/errors.ts';
import { connectHub, type Hub } from './connect.ts';
import { answerToPush, HubError, HubUnreachable } from './errors.ts';
import { repoPath } from './settings.ts';
import type { HubAccess, HubId, HubProgress } from './types.ts';

export type PushFile = {
  /** In the repository. */
  readonly path: string;
  readonly bytes: number;
  /** What it holds, or the file on disk that does: read while it is sent. */
  readonly content: Uint8Array<ArrayBuffer> | { readonly file: string };
};

export type PushOptions = Pick<HubAccess, 'signal'> & {
  readonly private: boolean;
  /** First line of the commit's message. */
  readonly message: string;
  /** Asked when the repository is there already: throws to refuse, or says what is changed in it. Default: the files are put into it. */
  readonly onExisting?: (repo: ExistingRepo) => Promise<Change>;
  readonly onProgress?: (progress: HubProgress) => void;
};

/** Files that a commit puts into a branch, and paths that it removes. */
export type Change = { readonly files: readonly PushFile[]; readonly removed: readonly string[] };

/** What the branch holds, or, when it is still to be made, the branch that it is made from. */
export type ExistingRepo = {
  readonly paths: readonly string[];
  read(path: string): Promise<string>;
};

export type Pushed = {
  readonly commit: string;
  /** The repository's page at the branch. */
  readonly url: string;
  /** False when the repository was there already. */
  readonly created: boolean;
};

type RepoInfo = { readonly private: boolean; readonly paths: readonly string[]; readonly branch: boolean };

/** The page of a repository, at its branch. */
export const pageOf = ({ endpoint }: Pick<Hub, 'endpoint'>, id: HubId): string =>
  `${endpoint}/${repoPath(id)}${id.revision === 'main' ? '' : `/tree/${encodeURIComponent(id.revision)}`}`;

/**
 * Sends files to `id.revision`, a branch, and commits them all at once; repository and branch are made when they are not there.
 *
 * @throws HubError without a token or when the hub refuses, HubUnreachable when it is not reached, Interrupted after the signal;
 *   the message says what is on the hub then
 */
export async function pushFiles(
  id: HubId,
  files: readonly PushFile[],
  options: PushOptions,
): Promise<Pushed> {
  const { signal } = options;
  const hub = connectHub(signal ? { signal } : {});
  if (hub.token === undefined && !hub.offline)
    throw new HubError(`${id.name} was not pushed: ${howToGetToken(hub)}`);
  const stage: Stage = { created: false, sending: false, committing: false };
  try {
    signal?.throwIfAborted();
    const repo = await findRepo(hub, id);
    if (repo && options.private && !repo.private)
      throw new HubError(
        `${id.name} is there and public, and --private was asked for. Push to another name, or make it private at ${hub.endpoint}/${id.name}/settings.`,
      );
    const change = (repo && (await options.onExisting?.(existing(hub, id, repo)))) ?? { files, removed: [] };
    if (!repo) {
      await create(hub, id, options.private);
      stage.created = true;
    }
    if (!repo?.branch && id.revision !== 'main')
      await post(hub, id, {
        path: `models/${id.name}/branch/${encodeURIComponent(id.revision)}`,
        body: {},
        taken: `${id.name} has something else that is called ${id.revision}. Choose another name for the branch.`,
      });
    stage.sending = true;
    const onCommit = (): void => void (stage.committing = true);
    const commit = await commitFiles(hub, id, { ...change, onCommit }, options);
    return { commit, url: pageOf(hub, id), created: !repo };
  } catch (error) {
    throw withState(error, hub, id, stage);
  }
}

async function findRepo(hub: Hub, id: HubId): Promise<RepoInfo | undefined> {
  const read = async (path: string): Promise<RepoInfo | undefined> => {
    const response = await hub.fetch(`${hub.endpoint}/api/models/${id.name}${path}`);
    // Also for a repository that is there: the branch is not.
    if (response.status === 404) return void (await response.body?.cancel());
    const info = (await (await answerToPush(hub, id, response)).json()) as {
      private?: boolean;
      siblings?: { rfilename: string }[];
    };
    const paths = (info.siblings ?? []).map(({ rfilename }) => rfilename);
    return { private: info.private === true, paths, branch: path !== '' };
  };
  return (await read(`/revision/${encodeURIComponent(id.revision)}`)) ?? (await read(''));
}

const existing = (hub: Hub, id: HubId, { paths, branch }: RepoInfo): ExistingRepo => ({
  paths,
  async read(path) {
    const revision = encodeURIComponent(branch ? id.revision : 'main');
    const response = await hub.fetch(`${hub.endpoint}/${id.name}/resolve/${revision}/${path}`);
    return await (await answerToPush(hub, id, response)).text();
  },
});

async function create(hub: Hub, id: HubId, isPrivate: boolean): Promise<void> {
  const [organization, name] = id.name.split('/');
  // Not asked to be private it is what the organization has as its default, mostly public.
  const visibility = isPrivate ? { visibility: 'private' } : {};
  await post(hub, id, {
    path: 'repos/create',
    body: { type: 'model', organization, name, ...visibility },
    taken: `${id.name} is there, and the access token may not see it. Give it the right to at ${hub.endpoint}/settings/tokens, or choose another name.`,
  });
}

type Post = { readonly path: string; readonly body: object; readonly taken: string };

async function post(hub: Hub, id: HubId, { path, body, taken }: Post): Promise<void> {
  const response = await hub.fetch(`${hub.endpoint}/api/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (response.status === 409) throw new HubError(taken);
  await (await answerToPush(hub, id, response)).body?.cancel();
}

async function commitFiles(
  hub: Hub,
  id: HubId,
  { files, removed, onCommit }: Change & { readonly onCommit: () => void },
  { message, onProgress, signal }: PushOptions,
): Promise<string> {
  const { commit } = await import('@huggingface/hub');
  const { name } = id;
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  const onBytes = (bytes: number): void => {
    done += bytes;
    onProgress?.({ name, done, total });
  };
  onBytes(0);
  const send = async (input: Parameters<typeof fetch>[0], init: RequestInit = {}): Promise<Response> => {
    if (String(input).startsWith(`${hub.endpoint}/api/models/${name}/commit/`)) onCommit();
    const body = init.body instanceof Blob ? new CountedBlob(init.body, onBytes) : undefined;
    return await answerToPush(hub, id, await hub.fetch(input, body ? { ...init, body } : init));
  };
  const result = await commit({
    repo: { type: 'model', name },
    branch: id.revision,
    title: message,
    operations: [
      ...files.map(({ path, content }) => ({
        operation: 'addOrUpdate' as const,
        path,
        content: 'file' in content ? pathToFileURL(content.file) : new Blob([content]),
      })),
      ...removed.map((path) => ({ operation: 'delete' as const, path })),
    ],
    hubUrl: hub.endpoint,
    fetch: send,
    // Plain uploads, which every hub and mirror takes; the other way splits files over requests to more hosts.
    useXet: false,
    ...(signal ? { abortSignal: signal } : {}),
  });
  if (!result) throw new HubError(`${hub.endpoint} names no commit for ${name}.`);
  // Small files went with the commit, and what the hub had already was not sent.
  onBytes(total - done);
  return result.commit.oid;
}

/** A body that tells how much of it was read; a second try begins anew. */
class CountedBlob extends Blob {
  readonly #blob: Blob;
  readonly #onBytes: (bytes: number) => void;
  #sent = 0;
  constructor(blob: Blob, onBytes: (bytes: number) => void) {
    super();
    this.#blob = blob;
    this.#onBytes = onBytes;
  }
  override get size(): number {
    return this.#blob.size;
  }
  override stream(): ReturnType<Blob['stream']> {
    this.#onBytes(-this.#sent);
    this.#sent = 0;
    const counter = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform: (chunk, controller) => {
        this.#sent += chunk.length;
        this.#onBytes(chunk.length);
        controller.enqueue(chunk);
      },
    });
    return this.#blob.stream().pipeThrough(counter);
  }
}

const howToGetToken = ({ endpoint }: Hub): string =>
  `there is no access token. Make one that may write at ${endpoint}/settings/tokens and set it as HF_TOKEN, or log in with \`hf auth login\`.`;

/** How far it was when an error came: `committing` from the one request on that changes the branch. */
type Stage = { created: boolean; sending: boolean; committing: boolean };

/** The error with what it means for the repository. */
function withState(error: unknown, hub: Hub, id: HubId, { created, sending, committing }: Stage): Error {
  const stopped = hub.signal?.aborted === true;
  const passing = stopped || error instanceof HubUnreachable;
  const known = error instanceof HubError;
  const message = stopped ? 'Stopped.' : known ? error.message : `${id.name}: ${(error as Error).message}.`;
  const state =
    committing && (passing || !known)
      ? `Whether the commit was made is not known: look at ${pageOf(hub, id)}. Pushing again does no harm.`
      : `No commit was made${created ? `; ${id.name} was, and is empty` : ''}.${passing && sending ? ' Push again; a large file that has arrived whole is not sent a second time.' : ''}`;
  const text = `${message} ${state}`;
  if (stopped) return new Interrupted(text, { cause: error });
  if (!known) return new HubError(text, { cause: error });
  error.message = text;
  return error;
}
