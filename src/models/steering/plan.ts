/**
 * Changes -> sites of the steering bus. What one SAE does at one hook is one site; its latents and directions are rows of the site's inputs.
 *
 *     reads   [R]  latents whose z is needed: those that are changed by more than a constant, and those of rules
 *     writes  [W]  one for each change: z' - z of its source column times its direction
 *
 * Columns of z: site after site, each [0 | z of its reads]. A change that needs no z reads the column of zeros, z' - z = its shift.
 */
import type { SteerSite } from '../../graph/index.ts';
import { findHook } from '../hooks.ts';
import type { HookInfo } from '../types.ts';
import type { Change, Condition, Intervention, LatentCode } from './types.ts';

/** A column of z. */
type Read = { readonly latent: number } | { readonly direction: Float32Array };

export type PlannedWrite = {
  readonly intervention: Intervention;
  readonly change: Change;
  readonly direction: Float32Array;
  /** Column of this site, and of all sites so far. */
  src: number;
  when: number;
};

export type PlannedSite = {
  readonly site: SteerSite;
  readonly code: LatentCode | undefined;
  readonly reads: Read[];
  readonly writes: PlannedWrite[];
  /** What is replaced before the changes. */
  readonly replace: Intervention[];
  /** z of all latents is needed: the K best, or a reconstruction. */
  readonly dense: boolean;
};

/** Width of a hook's rows; heads lie one after the other. */
export function rowWidth({ name, dims, width }: HookInfo): number {
  if (dims.length === 3 && dims[1] === 'T') return width;
  if (dims.length === 4 && dims[1] === 'T') return Number(dims[2]) * width;
  throw new Error(`Steering changes rows [B,T,width]; ${name} is [${dims.join(',')}]`);
}

type Place = Pick<SteerSite, 'writes' | 'reads' | 'slot'>;

/** The order of sites: that in which what they write is computed; of those that write the same, the ones that read it first. */
export function inOrder(hooks: readonly HookInfo[], a: Place, b: Place): number {
  const place = (name: string): number => hooks.indexOf(findHook(hooks, name));
  return (
    place(a.writes) - place(b.writes) ||
    Number(a.reads !== a.writes) - Number(b.reads !== b.writes) ||
    place(a.reads) - place(b.reads) ||
    a.slot - b.slot
  );
}

type Draft = Omit<PlannedSite, 'site' | 'dense'> & {
  readonly writesTo: string;
  readonly readsFrom: string;
  readonly reads: Read[];
};

const addsOnly = ({ scale, least, most }: Change): boolean =>
  scale === 1 && least === Number.NEGATIVE_INFINITY && most === Number.POSITIVE_INFINITY;

/** The sites of some changes, in the order in which their hooks are computed. */
export function planSteering(
  hooks: readonly HookInfo[],
  interventions: readonly Intervention[],
): readonly PlannedSite[] {
  const drafts: Draft[] = [];

  /** The site of an SAE, or any for a direction that stands for itself: it reads rows as they are. */
  function draftOf(writesTo: string, readsFrom: string, code: LatentCode | undefined): Draft {
    const found = drafts.find(
      (one) =>
        one.writesTo === writesTo &&
        one.readsFrom === readsFrom &&
        (one.code === code || (code === undefined && one.code?.norm === undefined)),
    );
    if (found) return found;
    const made: Draft = { writesTo, readsFrom, code, reads: [], writes: [], replace: [] };
    drafts.push(made);
    return made;
  }

  /** Where the z of a condition is found: with the SAE's own changes, or on its own. */
  const draftOfCondition = ({ code, reads }: Condition): Draft =>
    drafts.find((one) => one.code === code && one.readsFrom === reads) ?? draftOf(reads, reads, code);

  // SAEs first: directions join them.
  const ordered = [...interventions].sort(
    (a, b) => Number(b.code !== undefined) - Number(a.code !== undefined),
  );
  for (const intervention of ordered) {
    const { writes, reads, code, latent, direction, change, replace } = intervention;
    const draft = draftOf(writes, reads, code);
    if (replace !== undefined) draft.replace.push(intervention);
    if (change === undefined || direction === undefined) continue;
    const write: PlannedWrite = { intervention, change, direction, src: 0, when: 0 };
    draft.writes.push(write);
    if (!addsOnly(change)) write.src = columnOf(draft, latent === undefined ? { direction } : { latent });
  }
  for (const draft of [...drafts])
    for (const { intervention } of draft.writes)
      if (intervention.when) columnOf(draftOfCondition(intervention.when), intervention.when);

  const siteOf = ({ writesTo, readsFrom }: Draft) => ({ writes: writesTo, reads: readsFrom, slot: 0 });
  // What replaces the rows stands before what adds to them.
  drafts.sort((a, b) => Number(b.replace.length > 0) - Number(a.replace.length > 0));
  drafts.sort((a, b) => inOrder(hooks, siteOf(a), siteOf(b)));
  const planned: PlannedSite[] = [];
  let columns = 0;
  for (const draft of drafts) {
    const before = planned.filter(({ site }) => site.writes === draft.writesTo);
    if (
      draft.replace.some((one) => one.replace !== draft.replace[0]!.replace) ||
      (draft.replace.length > 0 && before.some(({ replace }) => replace.length > 0))
    )
      throw new Error(
        `${draft.writesTo} is replaced twice, by ${draft.code?.name ?? 'given values'} and another SAE or run; a hook takes one`,
      );
    const { code, reads, writes, replace } = draft;
    planned.push({
      site: {
        writes: draft.writesTo,
        Dout: rowWidth(findHook(hooks, draft.writesTo)),
        reads: draft.readsFrom,
        D: rowWidth(findHook(hooks, draft.readsFrom)),
        slot: before.filter(({ site }) => site.reads === draft.readsFrom).length,
      },
      code,
      reads,
      writes,
      replace,
      dense:
        code !== undefined &&
        (replace.some((one) => one.replace === 'reconstruction') ||
          (code.rank !== undefined && reads.some((read) => 'latent' in read))),
    });
  }
  // Rules look at columns of this site or of one before.
  for (const [i, { code, reads, writes, site }] of planned.entries()) {
    const starts = columns;
    columns += 1 + reads.length;
    for (const write of writes) {
      const { when } = write.intervention;
      if (!when) {
        write.when = starts;
        continue;
      }
      let at = 0;
      const source = planned.findIndex((one) => one.code === when.code && one.site.reads === when.reads);
      if (source < 0 || source > i)
        throw new Error(
          `A rule at ${site.writes} (${code?.name ?? 'a direction'}) looks at latent ${when.latent} of ${when.code.name}, which is read at ${when.reads}: that is computed later. Rules look at the same hook or at one before it.`,
        );
      for (const one of planned.slice(0, source)) at += 1 + one.reads.length;
      write.when = at + 1 + indexOf(orderedReads(planned[source]!), when);
    }
  }
  for (const one of planned)
    for (const write of one.writes) {
      const { intervention, direction } = write;
      if (write.src > 0)
        write.src =
          1 +
          indexOf(
            orderedReads(one),
            intervention.latent === undefined ? { direction } : { latent: intervention.latent },
          );
    }
  return planned;
}

/** Rows of the small encoder come before those that are picked from the code of all latents. */
export const thinReads = ({ reads, dense }: PlannedSite): Read[] =>
  reads.filter((read) => !dense || 'direction' in read);
export const denseReads = ({ reads, dense }: PlannedSite): Extract<Read, { latent: number }>[] =>
  reads.filter((read) => dense && 'latent' in read) as Extract<Read, { latent: number }>[];
const orderedReads = (site: PlannedSite): Read[] => [...thinReads(site), ...denseReads(site)];

const same = (a: Read, b: Read): boolean =>
  'latent' in a ? 'latent' in b && a.latent === b.latent : 'direction' in b && a.direction === b.direction;
const indexOf = (reads: readonly Read[], read: Read): number => reads.findIndex((one) => same(one, read));

/** The column of a read, 1-based; it is added where it is new. */
function columnOf({ reads }: Pick<Draft, 'reads'>, read: Read): number {
  if (indexOf(reads, read) < 0) reads.push(read);
  return 1 + indexOf(reads, read);
}
