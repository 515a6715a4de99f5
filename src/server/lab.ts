/**
 * What every route works on: the runs of some folders, their SAEs, and one model for all runs of that model.
 *
 *     run --folder--> SAE, hook --model name--> model (opened once)
 *
 * Models and SAEs are opened when first asked for; of those not in use only the most recently used stay.
 */

import { openModel } from '../models/index.ts';
import { placeSae } from '../models/place-sae.ts';
import type { Model } from '../models/types.ts';
import { canScreen, type Sae, type Screening } from '../sae/index.ts';
import type { RunSummary } from '../shared/api.ts';
import type { FeatureLabel } from '../shared/feature.ts';
import type { ServeConfig } from '../shared/serve.ts';
import { lockOwner, readLabels } from '../store/index.ts';
import { findTarget } from '../workflows/index.ts';
import { badRequest, unknown } from './errors.ts';
import {
  evidenceVersion,
  type FeatureSource,
  type KnownEvidence,
  labelsVersion,
  openEvidence,
  saeVersion,
  withNotes,
} from './features/source.ts';
import { createKept } from './kept.ts';
import { type Lists, openLists } from './lists.ts';
import { requireMemory } from './memory.ts';
import { createQueue, type Queue } from './queue.ts';
import { findRuns, locateModel, summarise } from './runs.ts';

const MAX_MODELS = 2;
const MAX_SAES = 16;
const MAX_SUMMARIES = 4096;
/** Reading a text takes a moment; texts that are written do not wait for it, nor it for them. */
const READERS = { running: 2, waiting: 64 };

export type ReadyRun = {
  readonly run: string;
  readonly folder: string;
  readonly hook: string;
  readonly model: Model;
  readonly modelName: string;
  readonly features: FeatureSource;
};
export type OpenRun = ReadyRun & {
  readonly sae: Sae;
  /** How its texts are encoded. */
  readonly screen: Screening | undefined;
};

export type Lab = {
  readonly config: ServeConfig;
  readonly writers: Queue;
  readonly readers: Queue;
  readonly lists: Lists;
  runs(): Promise<readonly RunSummary[]>;
  /** @param param the field that names it */
  folder(run: string, param?: string): string;
  summary(run: string, param?: string): Promise<RunSummary>;
  /** Runs `use` with what is known of the run's latents, which stays open meanwhile. */
  withFeatures<T>(run: string, use: (features: FeatureSource) => Promise<T>, param?: string): Promise<T>;
  /** Runs `use` with the run's SAE and model, which stay open meanwhile. @throws ApiError for an unknown run, or one that cannot be used */
  use<T>(
    runs: readonly string[],
    signal: AbortSignal,
    use: (open: readonly OpenRun[]) => Promise<T>,
    param?: string,
  ): Promise<T>;
  /** The same without the SAE, whose weights may be large: enough to show what is known of a latent. */
  useReader<T>(run: string, signal: AbortSignal, use: (open: ReadyRun) => Promise<T>): Promise<T>;
  useModel<T>(name: string, signal: AbortSignal, use: (model: Model) => Promise<T>): Promise<T>;
  /** Names of models: those of the runs. */
  models(): Promise<readonly string[]>;
  close(): Promise<void>;
};

/** @param listsFile where named lists are kept */
export function createLab(folders: readonly string[], config: ServeConfig, listsFile: string): Lab {
  const models = createKept<Model>(MAX_MODELS, (model) => model.close());
  const saes = createKept<{ sae: Sae; hook: string; model: string }>(MAX_SAES);
  const sources = createKept<KnownEvidence>(MAX_SAES, (source) => source.close());
  const labels = createKept<ReadonlyMap<number, FeatureLabel>>(MAX_SAES);
  const summaries = createKept<Omit<RunSummary, 'live'>>(MAX_SUMMARIES);

  type Found = ReturnType<typeof findRuns>;
  /** @param found of one look at the folders, which takes a while where there are many runs */
  function folder(run: string, param = 'run', found: Found = findRuns(folders)): string {
    const path = found.get(run);
    if (path === undefined) throw unknown('run', run, param, [...found.keys()]);
    return path;
  }

  async function summaryOf(run: string, path: string): Promise<RunSummary> {
    const read = () => summarise(run, path);
    const known = await summaries.use(
      `${run} ${path} ${await evidenceVersion(path)} ${await saeVersion(path)}`,
      read,
      async (found) => found,
    );
    const live = (await lockOwner(path)) !== undefined;
    return { ...known, live, ...(config.model === undefined ? {} : { model: config.model }) };
  }

  /** @throws ApiError for a run that cannot be used, or not yet */
  async function ready(run: string, param = 'run', found?: Found) {
    const path = folder(run, param, found);
    const { problem, architecture, model, hook, status, step } = await summaryOf(run, path);
    if (problem !== undefined) throw badRequest(`${run} cannot be used: ${problem}`, param);
    if (architecture === undefined)
      throw badRequest(`${run} has no finished SAE yet (${status}, step ${step}).`, param);
    if (model === undefined)
      throw badRequest(
        `${run} does not say which model it was trained on. Start the server with --model.`,
        param,
      );
    return { path, modelName: model, hook };
  }

  async function withFeaturesIn<T>(path: string, use: (features: FeatureSource) => Promise<T>): Promise<T> {
    const [evidence, said] = await Promise.all([evidenceVersion(path), labelsVersion(path)]);
    // A label that is given leaves the tables open, which may be large.
    return await sources.use(
      `${path} ${evidence}`,
      () => openEvidence(path),
      (known) =>
        labels.use(
          `${path} ${said}`,
          () => readLabels(path),
          (notes) => use(withNotes(known, notes)),
        ),
    );
  }

  const modelsOf = (runs: readonly RunSummary[]): readonly string[] => [
    ...new Set(config.model === undefined ? runs.flatMap(({ model }) => model ?? []) : [config.model]),
  ];

  const lab: Lab = {
    config,
    writers: createQueue({ running: config.running, waiting: config.queue }),
    readers: createQueue(READERS),
    lists: openLists(listsFile),
    folder: (run, param) => folder(run, param),
    summary: async (run, param) => await summaryOf(run, folder(run, param)),
    runs: async () => await Promise.all([...findRuns(folders)].map(([run, path]) => summaryOf(run, path))),
    withFeatures: async (run, use, param) => await withFeaturesIn(folder(run, param), use),
    models: async () => modelsOf(await lab.runs()),
    async useModel(name, signal, use) {
      signal.throwIfAborted();
      const runs = await lab.runs();
      const known = modelsOf(runs);
      if (!known.includes(name)) throw unknown('model', name, 'model', known);
      const first = runs.find(({ model }) => model === name);
      return await openedModel(name, first?.folder ?? '.', use);
    },
    async use(runs, signal, use, param) {
      const found = findRuns(folders);
      const go = async (opened: readonly OpenRun[]): Promise<Awaited<ReturnType<typeof use>>> => {
        const next = runs[opened.length];
        if (next === undefined) return await use(opened);
        signal.throwIfAborted();
        const { path, modelName } = await ready(next, param, found);
        const read = () => findTarget({ sae: path, model: modelName, data: ['-'] });
        // Another SAE may lie there than was opened before.
        return await saes.use(`${path} ${await saeVersion(path)}`, read, ({ sae, hook }) =>
          openedModel(modelName, path, async (model) => {
            try {
              placeSae(model, sae, { hook });
            } catch (error) {
              throw badRequest(`${next}: ${(error as Error).message}`, param ?? 'run');
            }
            requireMemory(model, hook);
            const screen = canScreen(sae) ? config.screen : undefined;
            const one = { run: next, folder: path, sae, screen, hook, model, modelName };
            return await withFeaturesIn(path, (features) => go([...opened, { ...one, features }]));
          }),
        );
      };
      return await go([]);
    },
    async useReader(run, signal, use) {
      signal.throwIfAborted();
      const { path, modelName, hook = '' } = await ready(run);
      return await openedModel(modelName, path, (model) =>
        withFeaturesIn(path, (features) => use({ run, folder: path, hook, model, modelName, features })),
      );
    },
    async close() {
      await Promise.all([models.close(), sources.close(), labels.close()]);
    },
  };

  function openedModel<T>(name: string, folder: string, use: (model: Model) => Promise<T>): Promise<T> {
    const { device, lowMemory, threads } = config;
    const open = () =>
      openModel(locateModel(name, folder), {
        device,
        mapped: lowMemory,
        ...(threads === undefined ? {} : { threads }),
      });
    return models.use(name, open, use);
  }

  return lab;
}
