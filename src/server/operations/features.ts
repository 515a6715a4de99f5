/** Runs and their latents: lists, cards, search, labels. */
import { z } from 'zod';
import { logitEffects } from '../../explain/index.ts';
import type { Model } from '../../models/types.ts';
import { decoderNeighbours, openSae, rowsInFile, rowsInMemory } from '../../sae/index.ts';
import {
  type FeatureName,
  featureNoteInput,
  featureNoteSchema,
  featurePageSchema,
  featureSchema,
  featuresQuerySchema,
  latentIndex,
  type Match,
  runDetailSchema,
  runId,
  runSummarySchema,
} from '../../shared/api.ts';
import { readRun, writeLabel } from '../../store/index.ts';
import { readEvaluation } from '../../workflows/inspect.ts';
import { ApiError, badRequest } from '../errors.ts';
import type { FeatureSource, Found, TokenTexts } from '../features/source.ts';
import type { Lab } from '../lab.ts';
import { nameOf } from '../names.ts';
import { tokenTexts } from '../reading.ts';
import { checkLatent, checkLatentBelow } from './latent.ts';
import { operation } from './operation.ts';

const NEIGHBOURS = 8;
const LIKE = 200;

/** Token ids as text. */
const textsIn = (model: Model): TokenTexts => ({
  passage: async (ids, peak) => tokenTexts(model, ids, peak),
  names: async (ids) => model.tokenizer?.tokenStrings([...ids]) ?? ids.map((id) => `[${id}]`),
});

/** The same with the run's model opened when it is first needed, and kept while `use` runs. */
async function withTexts<T>(
  lab: Lab,
  run: string,
  signal: AbortSignal,
  use: (texts: TokenTexts) => Promise<T>,
): Promise<T> {
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  let held: Promise<void> | undefined;
  let opened: Promise<TokenTexts> | undefined;
  const open = (): Promise<TokenTexts> => {
    opened ??= new Promise((resolve, reject) => {
      held = lab.useReader(run, signal, async ({ model }) => {
        resolve(textsIn(model));
        await ended;
      });
      held.catch(reject);
    });
    return opened;
  };
  try {
    return await use({
      passage: async (ids, peak) => (await open()).passage(ids, peak),
      names: async (ids) => (await open()).names(ids),
    });
  } finally {
    end();
    await held?.catch(() => {});
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

/** A line of a search field has no end of a line: \n is one, \t a tab, \\ and \" themselves. */
const unescaped = (text: string): string =>
  text.replace(/\\([nrt"\\])/g, (_, one: string) => ESCAPES[one] ?? one);

/** Latents whose decoder rows point most like that of one; of large SAEs these rows alone are read. */
async function alike(
  lab: Lab,
  run: string,
  latent: number,
  count: number,
  signal: AbortSignal,
): Promise<{ latent: number; cosine: number }[]> {
  const opened = await openSae(lab.folder(run), { signal });
  try {
    const rows = rowsInFile(opened);
    if (rows) return await decoderNeighbours(rows, latent, count, signal);
  } finally {
    await opened.close();
  }
  return await lab.use([run], signal, ([open]) =>
    decoderNeighbours(rowsInMemory(open!.sae), latent, count, signal),
  );
}

/** A query of the search field -> latents in order. */
async function search(
  lab: Lab,
  run: string,
  { query, passages }: { readonly query: string; readonly passages: boolean },
  source: FeatureSource,
  texts: TokenTexts,
  signal: AbortSignal,
): Promise<Found> {
  const [, kind, rest = ''] = /^\s*(?:(#|token:|logit:|like:)(.*))?$/s.exec(query) ?? [];
  const quoted = unescaped(rest.trim().replace(/^"(.*)"$/s, '$1'));
  if (kind === '#' || kind === 'like:') {
    const [, digits] = /^\s*#?(\d{1,9})\s*$/.exec(rest) ?? [];
    if (digits === undefined)
      throw badRequest(`query: found ${query}, expected a number of a latent such as ${kind}1234.`, 'query');
    const latent = Number(digits);
    const { latents: F = 0 } = await lab.summary(run);
    checkLatentBelow(F, run, latent, 'query');
    if (kind === '#') return { latents: [latent] };
    const near = await alike(lab, run, latent, LIKE, signal);
    const cosines = new Map(near.map(({ latent, cosine }) => [latent, cosine]));
    return {
      latents: [...cosines.keys()],
      why: async (found) => ({ in: 'writes', value: cosines.get(found)! }),
    };
  }
  if (kind !== undefined && quoted === '')
    throw badRequest(
      `query: found ${query}, expected ${kind}"x", with \\n for the end of a line and \\t for a tab.`,
      'query',
    );
  if (kind === 'token:' || kind === 'logit:') {
    const places = await (kind === 'token:' ? source.peaksAt : source.raises)(quoted, texts);
    // Those for which it comes first are first; the sort keeps the order of the rest.
    const ordered = [...places].sort((a, b) => a[1] - b[1]);
    return {
      latents: ordered.map(([latent]) => latent),
      why: async (found) => ({
        in: kind === 'token:' ? 'peaks' : 'raises',
        text: quoted,
        value: places.get(found)!,
      }),
    };
  }
  const words = query.split(/\s+/).filter((word) => word !== '');
  return words.length === 0 ? { latents: source.latents } : await source.search(words, texts, passages);
}

/** Nearest decoder rows, from the tables or else from the SAE, and of a latent that no table or card has its output tokens. */
async function nearAndOutputs(
  lab: Lab,
  run: string,
  latent: number,
  { source, indexed }: { source: FeatureSource; indexed: boolean },
  signal: AbortSignal,
) {
  const near = await source.neighbours(latent);
  if (near) return { near, outputs: {} };
  return await lab.use([run], signal, async ([open]) => {
    checkLatent(open!, latent);
    const { sae, model } = open!;
    const effects = async () => {
      if (model.info.encoder || sae.config.D !== model.info.D) return {};
      const [one] = await lab.readers.run(signal, () => logitEffects(model, sae, [latent], { signal }));
      return { raises: [...one!.raises], lowers: [...one!.lowers] };
    };
    return {
      near: await decoderNeighbours(rowsInMemory(sae), latent, NEIGHBOURS, signal),
      outputs: indexed ? {} : await effects(),
    };
  });
}

export const featureOperations = [
  operation({
    name: 'list_runs',
    method: 'get',
    path: '/api/runs',
    summary: 'All runs: model, hook, size, state and main figures.',
    input: z.strictObject({}),
    output: z.strictObject({ runs: z.array(runSummarySchema) }),
    run: async (lab) => ({ runs: [...(await lab.runs())] }),
  }),
  operation({
    name: 'get_run',
    method: 'get',
    path: '/api/runs/{run}',
    summary: 'One run: its config, where it comes from, and its evaluation with intervals.',
    input: z.strictObject({ run: runId }),
    output: runDetailSchema,
    async run(lab, { run }) {
      const summary = await lab.summary(run);
      const folder = lab.folder(run);
      const earlier =
        summary.kind === 'run' && summary.problem === undefined ? await readRun(folder) : undefined;
      const evaluation = summary.problem === undefined ? await readEvaluation(folder) : undefined;
      return {
        ...summary,
        ...(earlier
          ? { config: earlier.config as Record<string, unknown>, provenance: earlier.provenance }
          : {}),
        ...(evaluation ? { evaluation } : {}),
        indexed:
          summary.problem === undefined
            ? await lab.withFeatures(run, async ({ latents }) => latents.length)
            : 0,
      };
    },
  }),
  operation({
    name: 'search_features',
    method: 'get',
    path: '/api/features/{run}',
    summary:
      'Latents of a run by words, number, token, logit or likeness; without a query, the most interesting.',
    input: featuresQuerySchema,
    output: featurePageSchema,
    async run(lab, { run, offset, limit, ...asked }, signal) {
      const { hook = '' } = await lab.summary(run);
      const look = async (source: FeatureSource, texts: TokenTexts) => {
        const { latents, passages, why } = await search(lab, run, asked, source, texts, signal);
        const features: (FeatureName & { passages?: number; match?: Match })[] = [];
        for (const latent of latents.slice(offset, offset + limit)) {
          const match = await why?.(latent);
          features.push({
            ...nameOf({ run, hook }, source, latent),
            ...(passages?.has(latent) ? { passages: passages.get(latent)! } : {}),
            ...(match ? { match } : {}),
          });
        }
        return { ...{ run, total: latents.length, offset }, features };
      };
      return await lab.withFeatures(run, (source) =>
        withTexts(lab, run, signal, (texts) => look(source, texts)),
      );
    },
  }),
  operation({
    name: 'get_feature',
    method: 'get',
    path: '/api/feature/{run}/{latent}',
    summary: 'One latent: label, guess, examples, density, registers, logit effects, neighbours.',
    input: z.strictObject({ run: runId, latent: latentIndex }),
    output: featureSchema,
    async run(lab, { run, latent }, signal) {
      return await lab.useReader(run, signal, async ({ model, hook, modelName, features: source }) => {
        const found = await source.about(latent, textsIn(model));
        // Tables have all there is to show; the SAE, which may be large, is opened for what is not in them.
        const { near, outputs } = await nearAndOutputs(
          lab,
          run,
          latent,
          { source, indexed: found !== undefined },
          signal,
        );
        const { together, ...evidence } = found ?? {};
        const { label, origin, note, checked } = source.note(latent) ?? {};
        return {
          ...outputs,
          ...evidence,
          ...{ run, latent, model: modelName, hook, indexed: found !== undefined },
          ...(label === undefined ? {} : { label, ...(origin ? { origin } : {}) }),
          ...(note === undefined ? {} : { note }),
          ...(checked === undefined ? {} : { checked }),
          ...(together && {
            together: together.map((other) => ({
              ...nameOf({ run, hook }, source, other.latent),
              ...other,
            })),
          }),
          neighbours: near.map(({ latent, cosine }) => ({
            ...nameOf({ run, hook }, source, latent),
            cosine,
          })),
        };
      });
    },
  }),
  operation({
    name: 'label_feature',
    method: 'put',
    path: '/api/label/{run}/{latent}',
    summary:
      "Saves what a person calls a latent, or a note, to the run's labels.jsonl. A field that is left out stays; while the label stays, so does who gave it.",
    input: featureNoteInput,
    output: featureNoteSchema.extend({ run: runId, latent: latentIndex }),
    async run(lab, { run, latent, was, ...given }, signal) {
      const { latents: F = 0 } = await lab.summary(run);
      const { folder, before } = await lab.useReader(run, signal, async ({ folder, features }) => {
        checkLatentBelow(F, run, latent);
        return { folder, before: features.note(latent) };
      });
      for (const field of ['label', 'note'] as const)
        if (was && given[field] !== undefined && (before?.[field] ?? '') !== (was[field] ?? ''))
          throw new ApiError(
            `Somebody else has changed the ${field} meanwhile: ${before?.[field] === undefined ? 'it is gone' : `it is “${before[field]}” now`}. Nothing was saved.`,
            { status: 409, param: field, code: 'changed_meanwhile' },
          );
      const today = new Date().toISOString().slice(0, 10);
      const { label, note } = { ...before, ...given };
      const kept = {
        ...(label?.trim() ? { label: label.trim() } : {}),
        ...(note?.trim() ? { note: note.trim() } : {}),
      };
      const empty = kept.label === undefined && kept.note === undefined;
      // A note beside a label says nothing of who gave the label.
      const same = kept.label !== undefined && kept.label === before?.label;
      const checked = given.checked ?? (same ? before!.checked : `by a person, in saekit serve, ${today}`);
      const origin = same ? before!.origin : 'person';
      await writeLabel(folder, latent, empty ? undefined : { latent, ...kept, checked, origin });
      return { run, latent, ...kept, ...(empty ? {} : { checked }) };
    },
  }),
];
