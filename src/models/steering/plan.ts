/**
 * Changes -> sites of the steering bus. What one SAE does at one hook is one site; its latents and directions are rows of the site's inputs.
 *
 *     reads   [R]  latents whose z is needed: those that are changed by more than a constant, and those of rules
 *     writes  [W]  one for each change: z' - z of its source column times its direction
 *
 * Columns of z: site after site, each [0 | z of its reads]. A change that needs no z reads the column of zeros, z' - z = its shift.
 */
import type { SteerSite } from '../../graph/index.ts';
import { UsageError } from '../../shared/errors.ts';
import { findHook } from '../hooks.ts';
import type { HookInfo } from '../types.ts';
import type { Change, Intervention, LatentCode } from './types.ts';

/** A column of z. */
type Read = { readonly latent: number } | { readonly direction: Float32Array };

export type PlannedWrite = {
  readonly intervention: Intervention;
  readonly change: Change;
  readonly direction: Float32Array;
  /** Column of this site, and of all sites so far. */
  src: number;
  when: number;
  /** Where the latent of its rule is read. */
  source?: PlannedSite;
};

/** Changes that cannot be made together, and the one of them to change. */
export class SteeringConflict extends UsageError {
  readonly intervention: Intervention;
  constructor(message: string, intervention: Intervention) {
    super(message);
    this.intervention = intervention;
  }
}

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

const describe = ({ code, replace }: Intervention): string =>
  replace === 'reconstruction' ? `the reconstruction of ${code!.name}` : 'rows of the run of another text';

/** A hook is replaced by one SAE, or by rows of one run. */
function checkReplaced(interventions: readonly Intervention[]): void {
  const replacing = interventions.filter(({ replace }) => replace !== undefined);
  for (const one of replacing) {
    const first = replacing.find(({ writes }) => writes === one.writes)!;
    if (first.replace === one.replace && first.code === one.code && first.reads === one.reads) continue;
    throw new SteeringConflict(
      `${one.writes} is replaced twice, by ${describe(first)} and by ${describe(one)}; a hook takes one. Leave out a splice, a patch, or keepError false.`,
      one,
    );
  }
}

/**
 * The sites of some changes, in the order in which their hooks are computed. The order of the changes does not matter.
 *
 * @throws SteeringConflict for a hook that is replaced twice, and a rule that looks at what is computed later
 */
export function planSteering(
  hooks: readonly HookInfo[],
  interventions: readonly Intervention[],
): readonly PlannedSite[] {
  checkReplaced(interventions);
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
  const siteOf = ({ writesTo, readsFrom }: Draft) => ({ writes: writesTo, reads: readsFrom, slot: 0 });
  const byHook = (a: Draft, b: Draft): number => inOrder(hooks, siteOf(a), siteOf(b));
  const codesOfRules = new Set(interventions.map(({ when }) => when?.code));
  // At one place what replaces the rows comes before what adds to them, and that which rules look at before the rest.
  const rank = ({ replace, code }: Draft): number =>
    replace.length > 0 ? 0 : code && codesOfRules.has(code) ? 1 : 2;
  drafts.sort((a, b) => rank(a) - rank(b)).sort(byHook);

  // A rule looks at the SAE's own changes where they come no later than it does, else at a site that only reads: z is the same.
  const readers: Draft[] = [];
  const sources = new Map<PlannedWrite, Draft>();
  for (const [i, { writes }] of drafts.entries())
    for (const write of writes) {
      const { when } = write.intervention;
      if (!when) continue;
      let source = [...drafts.slice(0, i + 1), ...readers].find(
        ({ code, readsFrom }) => code === when.code && readsFrom === when.reads,
      );
      if (!source) {
        const { reads, code } = when;
        source = { writesTo: reads, readsFrom: reads, code, reads: [], writes: [], replace: [] };
        readers.push(source);
      }
      columnOf(source, when);
      sources.set(write, source);
    }

  const all = [...readers, ...drafts].sort(byHook);
  const planned: PlannedSite[] = [];
  for (const draft of all) {
    const before = planned.filter(({ site }) => site.writes === draft.writesTo);
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
  const starts: number[] = [];
  for (const [i, { code, writes, site }] of planned.entries()) {
    starts.push(i === 0 ? 0 : starts[i - 1]! + 1 + planned[i - 1]!.reads.length);
    for (const write of writes) {
      const { when } = write.intervention;
      write.when = starts[i]!;
      if (!when) continue;
      const source = all.indexOf(sources.get(write)!);
      if (source > i)
        throw new SteeringConflict(
          `A rule at ${site.writes} (${code?.name ?? 'a direction'}) looks at latent ${when.latent} of ${when.code.name}, which is read at ${when.reads}: that is computed later. Rules look at the same hook or at one before it.`,
          write.intervention,
        );
      write.source = planned[source]!;
      write.when = starts[source]! + 1 + indexOf(orderedReads(write.source), when);
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
