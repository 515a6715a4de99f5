/** A finished run or SAE folder -> a model repository of the Hugging Face hub, with a model card, as one commit. */
import {
  type Change,
  type ExistingRepo,
  HubError,
  type HubId,
  type HubProgress,
  hubSettings,
  isCommit,
  type Pushed,
  type PushFile,
  pageOf,
  parseModelId,
  pushFiles,
} from '../hub/index.ts';
import { describeSae } from '../sae/index.ts';
import { UsageError } from '../shared/errors.ts';
import { isUnedited, modelCard } from './model-card.ts';
import { PUBLISHED, readPublication } from './publication.ts';

const CARD = 'README.md';

export type PushRunOptions = {
  /** Makes a new repository private; one that is there and public is refused. */
  readonly private?: boolean;
  /** Branch; made when it is not there. Default: main. */
  readonly revision?: string;
  /** Identifier of the hub, such as apache-2.0; the card has none otherwise. */
  readonly license?: string;
  /** Whether to publish the feature cards, which quote the held-out text. Default: true. */
  readonly features?: boolean;
  /** What to do with a README.md that somebody has written or edited there. Default: `ask`, which refuses. */
  readonly card?: 'ask' | 'keep' | 'replace';
  /** Of the commit. */
  readonly message?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: HubProgress) => void;
};

/** What a push will send, known without asking anybody. */
export type PushPlan = {
  readonly id: HubId;
  /** Where it will be seen. */
  readonly url: string;
  readonly message: string;
  readonly card: string;
  /** The card is the first of them. */
  readonly files: readonly PushFile[];
  readonly leftOut: readonly string[];
  /** Whether there is an access token; only whether. */
  readonly hasToken: boolean;
};

/**
 * Reads the folder and writes the card; nothing is sent.
 *
 * @param repo `org/name`, or `org/name@branch`
 * @throws UsageError on a name, branch or licence that cannot be one; the errors of reading a run or SAE
 */
export async function planPush(
  folder: string,
  repo: string,
  options: PushRunOptions = {},
): Promise<PushPlan> {
  const id = targetOf(repo, options.revision);
  const { license } = options;
  if (license !== undefined && !/^[a-z0-9][a-z0-9.+-]*$/.test(license))
    throw new UsageError(
      `The licence ${JSON.stringify(license)} is no identifier of the hub. Expected one such as apache-2.0, mit, cc-by-4.0 or other.`,
    );
  const { leftOut, files, ...source } = await readPublication(folder, { features: options.features ?? true });
  const card = modelCard({ ...source, name: id.name, revision: id.revision, license });
  const content = new TextEncoder().encode(card);
  const { metadata } = source.sae;
  const settings = hubSettings();
  return {
    id,
    url: pageOf(settings, id),
    message:
      options.message ??
      `SAE${metadata.hook_name ? ` at ${metadata.hook_name}` : ''}: ${describeSae(source.sae)}`,
    card,
    files: [{ path: CARD, bytes: content.length, content }, ...files],
    leftOut,
    hasToken: settings.token !== undefined,
  };
}

/**
 * Sends what was planned, as one commit.
 *
 * @throws HubError when the hub refuses or the repository has a README.md that a person wrote, Interrupted after the signal
 */
export async function pushPlanned(plan: PushPlan, options: PushRunOptions = {}): Promise<Pushed> {
  const { card = 'ask', signal, onProgress } = options;
  const onExisting = async ({ paths, read }: ExistingRepo): Promise<Change> => {
    const written = paths.includes(CARD) && card !== 'replace' && !isUnedited(await read(CARD));
    if (written && card === 'ask')
      throw new HubError(
        `${plan.id.name} has a ${CARD} that was written or changed by somebody. Keep it with --card keep, or put the new card in its place with --card replace.`,
      );
    const files = plan.files.filter(({ path }) => !(written && path === CARD));
    // An evaluation of the SAE that was there before says nothing of this one.
    const removed = PUBLISHED.filter(
      (path) => paths.includes(path) && !files.some((file) => file.path === path),
    );
    return { files, removed };
  };
  return await pushFiles(plan.id, plan.files, {
    private: options.private ?? false,
    message: plan.message,
    onExisting,
    ...(signal ? { signal } : {}),
    ...(onProgress ? { onProgress } : {}),
  });
}

function targetOf(repo: string, revision: string | undefined): HubId {
  const id = parseModelId(repo);
  if (!id)
    throw new UsageError(
      `${JSON.stringify(repo)} is no name on the hub. Expected org/name: your user or organization, and a name of letters, digits, ".", "-" and "_".`,
    );
  const named = repo.includes('@') ? id.revision : undefined;
  if (named !== undefined && revision !== undefined && named !== revision)
    throw new UsageError(`${repo} names the branch ${named} and --revision ${revision}. Name one.`);
  const branch = revision ?? id.revision;
  if (!/^[\w./-]+$/.test(branch))
    throw new UsageError(
      `${JSON.stringify(branch)} is no name of a branch. Expected letters, digits, ".", "-", "_" and "/".`,
    );
  if (isCommit(branch))
    throw new UsageError(`${branch} is a commit, which cannot be changed. Name a branch with --revision.`);
  return { ...id, revision: branch };
}
