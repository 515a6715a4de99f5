/**
 * The training loop: every batch of rows goes to every SAE that trains on them.
 *
 *     rows of B tokens at hooks h_1, h_2, …   ->  SAE 1 at h_1, SAE 2 at h_1, SAE 3 at h_2, …
 *
 * In turns, or with the model running ahead while the SAEs train (`overlap`): the rows are the same ones in the same order, so the bits are.
 *
 * It stops between two steps: when the signal is raised (state saved, status `interrupted`), and when activations or a loss are not
 * finite (state before that step saved, status `failed`). Of several SAEs, one whose loss diverged is left behind, the others go on.
 */
import { createMoments, type Moments, sideBySide, WIDEST_PCA } from '../../eval/index.ts';
import { NonFiniteActivations, type StreamArrays, type StreamPosition } from '../../harvest/index.ts';
import { createEncoder, type Sae } from '../../sae/index.ts';
import { Interrupted } from '../../shared/errors.ts';
import { wholeArray } from '../../store/index.ts';
import { type Beside, TrainingDiverged } from '../../train/index.ts';
import { withPrefix } from '../arrays.ts';
import { firstBatches, hooksOf } from '../plan.ts';
import type { SnippetProbe } from '../snippets.ts';
import type { Snippet, TrainPlan, TrainProgress } from '../types.ts';
import { type Member, ROWS_OF_HOOK } from './member.ts';
import type { Source, TrainingRows } from './source.ts';

/** As many as these, as far as this many multiplications allow. */
const MOMENT_ROWS = 65_536;
const MOMENT_OPERATIONS = 1e10;
/** Latents shown while training, and how often they are looked at. */
const SNIPPETS = 8;
const SNIPPET_MS = 2500;

export type LoopOptions = {
  readonly signal?: AbortSignal | undefined;
  /** What a person should know. */
  readonly onNote?: ((text: string) => void) | undefined;
  /** While the shuffle buffer fills, in rows. */
  readonly onFill?: ((done: number, total: number) => void) | undefined;
  /** After every batch, of every SAE. */
  readonly onProgress?: ((progress: readonly TrainProgress[]) => void) | undefined;
  /** Turns on the looking at latents of the first SAE. */
  readonly onSnippets?: ((snippets: readonly Snippet[]) => void) | undefined;
};

export type LoopResult = {
  readonly status: 'finished' | 'interrupted';
  /** Mean and covariance of the rows that a member trained on; of a transcoder's, what it reads and what it gives as one row. */
  moments(member: Member): Moments;
  /** Members whose loss was not finite, with what was said of it. */
  readonly diverged: ReadonlyMap<Member, TrainingDiverged>;
};

/**
 * Trains members, all at the same step, on one source to the end.
 *
 * @throws NonFiniteActivations, and TrainingDiverged when no member is left, with the last good state saved
 */
export async function trainMembers(
  source: Source,
  members: readonly Member[],
  options: LoopOptions,
): Promise<LoopResult> {
  const { signal, onProgress } = options;
  const [{ plan, checkpoint }] = members as [Member];
  const { batchTokens: B } = plan.config;
  const { totalSteps, checkpointSteps, overlap } = plan.settings;
  const hooks = [...new Set(members.flatMap((member) => hooksOf(member.plan.settings)))];
  /** Of what it reads, and of what a transcoder gives. */
  const placesOf = (member: Member): number[] =>
    hooksOf(member.plan.settings).map((hook) => hooks.indexOf(hook));
  const ofMember = (member: Member, { xs, tokens }: Batch): [x: Float32Array, beside: Beside] => {
    const [x, y] = placesOf(member).map((k) => xs[k]!);
    return [x!, { y, ...(member.plan.config.tokenBias ? { tokens } : {}) }];
  };
  const at = checkpoint?.json.stream as StreamPosition | undefined;
  const { rows, filled } = source.open(plan, hooks, { at, signal });
  // Without an evaluation nobody asks for them.
  const wanted = plan.config.evalTokens > 0;
  const sites = new Map(members.map((member) => [String(placesOf(member)), placesOf(member)]));
  const moments = new Map<string, Moments>();
  for (const [site, places] of sites) {
    const D = places.reduce((sum, k) => sum + rows.widths[k]!, 0);
    moments.set(site, createMoments(D, { covariance: D <= WIDEST_PCA }));
  }
  const momentsOf = (member: Member): Moments => moments.get(String(placesOf(member)))!;
  const result = (status: LoopResult['status']): LoopResult => ({
    status,
    moments: momentsOf,
    diverged,
  });
  const diverged = new Map<Member, TrainingDiverged>();
  let active = [...members];
  let ahead: Promise<void> | undefined;
  let begun = false;

  async function save(): Promise<void> {
    const state = rows.state();
    for (const member of active) await saveMember(member, state);
  }

  async function saveMember(member: Member, { position, arrays }: RowsState): Promise<void> {
    const own = placesOf(member).map((k) => arrays[k]!);
    await member.save(position, own, wanted ? momentsOf(member).state() : new Map());
  }

  try {
    // Steps on the rows that the scales were taken from come first, so that no row is spent on initialisation only.
    if (checkpoint) await restoreRows(rows, momentsOf, hooks, members);
    let first = checkpoint ? undefined : await firstRows(rows, plan, options);
    for (const member of members) {
      const said = await (first
        ? member.begin(...ofMember(member, { xs: first.sample }))
        : member.begin(undefined, {}));
      if (said !== undefined) options.onNote?.(said);
    }
    begun = true;
    const waiting = first?.batches ?? [];
    // Let go of the sample: the batches, which are views of it, go one by one.
    first = undefined;
    filled();

    const look = await snippetLooker(source, members, options.onSnippets);
    const batch = rows.widths.map((D) => new Float32Array(B * D));
    const step = (): number => active[0]!.trainer.step;
    while (step() < totalSteps) {
      // Rows taken out of the stream are not in its state: train on them before a state is saved.
      if (signal?.aborted && waiting.length === 0) break;
      const next = waiting.shift() ?? (await nextRows(rows, B, batch));
      if (wanted)
        for (const [site, places] of sites)
          await collect(
            moments.get(site)!,
            places.map((k) => next.xs[k]!),
            B,
          );
      // What goes wrong there is told by the next call of `next`.
      ahead = overlap && step() + 1 < totalSteps ? rows.prepare(B).catch(() => {}) : undefined;
      const before = performance.now();
      const progress: TrainProgress[] = [];
      for (const member of active) {
        try {
          progress.push(await member.step(...ofMember(member, next), rows));
        } catch (error) {
          if (!(error instanceof TrainingDiverged)) throw error;
          diverged.set(member, error);
        }
      }
      rows.stages.sae += performance.now() - before;
      await ahead;
      if (active.some((member) => diverged.has(member))) active = await leaveBehind(rows);
      onProgress?.(progress);
      if (step() % checkpointSteps === 0 && waiting.length === 0 && step() < totalSteps) await save();
      await look?.();
    }
    const finished = step() >= totalSteps;
    if (!finished) await save();
    return result(finished ? 'finished' : 'interrupted');
  } catch (error) {
    // Before the first step there is no state: the run is continued from its beginning.
    if (error instanceof Interrupted) return result('interrupted');
    if (error instanceof NonFiniteActivations && begun) {
      await save();
      for (const member of active) await fail(member, error);
    } else if (!(error instanceof TrainingDiverged))
      // A full disk, for one: whatever can still be written is.
      for (const member of active) await member.writeRun('failed').catch(() => {});
    throw error;
  } finally {
    // The model is not closed in the middle of a run.
    await ahead;
    await rows.close();
  }

  /** Saves the members that diverged as they were before that step; throws when nobody is left. */
  async function leaveBehind(from: TrainingRows): Promise<Member[]> {
    const state = from.state();
    for (const [member, error] of diverged) {
      if (!active.includes(member)) continue;
      await saveMember(member, state);
      await fail(member, error);
    }
    const left = active.filter((member) => !diverged.has(member));
    if (left.length === 0) throw diverged.values().next().value;
    return left;
  }
}

type RowsState = ReturnType<TrainingRows['state']>;

/** Says where the state before the bad numbers is. */
async function fail({ folder, trainer, writeRun }: Member, error: Error): Promise<void> {
  await writeRun('failed');
  error.message = `Stopped at step ${trainer.step}: ${error.message}\nThe state before that is saved in ${folder.path}/checkpoints/step-${trainer.step}.`;
}

/** Puts the rows where the checkpoints left them, every hook from one of its members. */
async function restoreRows(
  rows: TrainingRows,
  momentsOf: (member: Member) => Moments,
  hooks: readonly string[],
  members: readonly Member[],
): Promise<void> {
  const arrays: StreamArrays[] = [];
  for (const hook of hooks) {
    const { plan, checkpoint } = members.find((member) => hooksOf(member.plan.settings).includes(hook))!;
    const own: StreamArrays = new Map();
    const prefix = ROWS_OF_HOOK[hooksOf(plan.settings).indexOf(hook)]!;
    for (const [name, array] of withPrefix(checkpoint!.arrays, prefix))
      own.set(name, (await wholeArray(array)) as Float32Array | Int32Array);
    arrays.push(own);
  }
  const restored = new Set<Moments>();
  for (const member of members) {
    const moments = momentsOf(member);
    if (restored.has(moments)) continue;
    restored.add(moments);
    const { checkpoint } = member;
    const seen = new Map<string, Float64Array>();
    for (const [name, array] of withPrefix(checkpoint!.arrays, 'moments.'))
      seen.set(name, (await wholeArray(array)) as Float64Array);
    // Early saekits did not store them: the controls then rest on the rows from here on.
    if (seen.size > 0) moments.restore(seen);
  }
  rows.restore(members[0]!.checkpoint!.json.stream as StreamPosition, arrays);
}

/** The first rows of every hook: as one sample for the scales, and as the batches that are trained on first, which are views of it. */
async function firstRows(
  rows: TrainingRows,
  { config, settings: { shuffleTokens } }: TrainPlan,
  { onFill }: LoopOptions,
): Promise<{ sample: readonly Float32Array[]; batches: Batch[] }> {
  const { batchTokens: B } = config;
  const count = firstBatches(config);
  const sample = rows.widths.map((D) => new Float32Array(count * B * D));
  const timer =
    onFill && setInterval(() => onFill(Math.min(rows.tokensSeen, shuffleTokens), shuffleTokens), 300);
  try {
    const batches: Batch[] = [];
    for (let i = 0; i < count; i++) {
      const into = sample.map((x, k) => x.subarray(i * B * rows.widths[k]!, (i + 1) * B * rows.widths[k]!));
      batches.push(await nextRows(rows, B, into));
    }
    return { sample, batches };
  } finally {
    clearInterval(timer);
  }
}

/** Rows [B,D] of every hook, and the token of each. */
type Batch = { readonly xs: readonly Float32Array[]; readonly tokens?: Int32Array };

/** The next B rows of every hook; a training stream does not end. */
export async function nextRows(
  rows: Pick<TrainingRows, 'next'>,
  B: number,
  into?: readonly Float32Array[],
): Promise<Batch> {
  const batch = await rows.next(B, into);
  if (batch === undefined)
    throw new Error(
      `The data ended before a batch of ${B} tokens was full. Add text or lower --batch-tokens.`,
    );
  return batch;
}

/** Rows behind the mean and covariance of the controls; wider than PCA goes only the mean is taken. */
export const momentRows = (D: number): number =>
  D > WIDEST_PCA
    ? MOMENT_ROWS
    : Math.min(MOMENT_ROWS, Math.max(10 * D, Math.floor(MOMENT_OPERATIONS / (D * D))));

/** Takes the B rows of one place, or of several side by side, as far as they are wanted. */
async function collect(moments: Moments, xs: readonly Float32Array[], B: number): Promise<void> {
  const rows = Math.min(B, momentRows(moments.D) - moments.n);
  if (rows > 0) await moments.add(sideBySide(xs, B), rows);
}

/** Looks at latents of the first member every few seconds, when somebody wants to see them and there is a text. */
async function snippetLooker(
  source: Source,
  [first]: readonly Member[],
  onSnippets: LoopOptions['onSnippets'],
): Promise<(() => Promise<void>) | undefined> {
  if (!onSnippets || !source.openProbe) return undefined;
  const { plan, trainer } = first!;
  const probe = await source.openProbe(plan, SNIPPETS);
  let lookedAt = Number.NEGATIVE_INFINITY;
  return async () => {
    if (performance.now() - lookedAt <= SNIPPET_MS || trainer.step < 3) return;
    onSnippets(await look(probe, await trainer.exportSae()));
    lookedAt = performance.now();
  };
}

async function look(probe: SnippetProbe, sae: Sae): Promise<Snippet[]> {
  const encoder = await createEncoder(sae);
  try {
    return await probe.look((x) => encoder.encode(x));
  } finally {
    await encoder.close();
  }
}
