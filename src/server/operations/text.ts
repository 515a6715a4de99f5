/** Texts read by latents: all of a text, one latent, search by inference across layers, the top of every token. */

import { latentColumn } from '../../sae/index.ts';
import {
  activationAllInput,
  activationAllSchema,
  activationOneInput,
  activationOneSchema,
  type FeatureName,
  searchAllInput,
  searchAllSchema,
  topkByTokenInput,
  topkByTokenSchema,
} from '../../shared/api.ts';
import { badRequest } from '../errors.ts';
import type { Lab, OpenRun } from '../lab.ts';
import { nameOf, tooDense } from '../names.ts';
import { firing, type Reading, readText } from '../reading.ts';
import { checkLatent } from './latent.ts';
import { operation } from './operation.ts';

type Asked = { readonly text: string; readonly ignoreBos: boolean };

/** Reads a text with some runs of one model, in the queue. */
async function reading<T>(
  lab: Lab,
  runs: readonly string[],
  { text, ignoreBos }: Asked,
  signal: AbortSignal,
  use: (open: readonly OpenRun[], read: Reading) => Promise<T>,
  param = 'run',
): Promise<T> {
  return await lab.use(
    runs,
    signal,
    (open) =>
      lab.readers.run(signal, async () => await use(open, await readText(open, text, { ignoreBos, signal }))),
    param,
  );
}

/** The text as it was cut into tokens. */
const cutText = ({ tokens, places, cut }: Reading) => ({
  tokens: [...tokens],
  places: places.map(([start, end]): [number, number] => [start, end]),
  cut,
});

type Seen = { maximum: number; position: number; count: number };

/** Of every latent that fires in a text: its peak, where, and how often. */
function seenIn({ codes }: Reading, i: number, positions?: ReadonlySet<number>): Map<number, Seen> {
  const code = codes[i]!;
  const seen = new Map<number, Seen>();
  for (let t = 0; t < code.B; t++) {
    if (positions && !positions.has(t)) continue;
    for (const { latent, value } of firing(code, t)) {
      const known = seen.get(latent);
      if (!known) seen.set(latent, { maximum: value, position: t, count: 1 });
      else {
        known.count++;
        if (value > known.maximum) Object.assign(known, { maximum: value, position: t });
      }
    }
  }
  return seen;
}

/** Activation as a share of the latent's maximum, times how rare it is in nats; 0 where neither is known. */
const surprise = ({ maximum, density }: FeatureName, value: number): number =>
  maximum === undefined || density === undefined || density <= 0 ? 0 : (value / maximum) * -Math.log(density);

export const textOperations = [
  operation({
    name: 'activations_of_text',
    method: 'post',
    path: '/api/activation/all',
    summary:
      'All latents of a text: what fires at every token, and which latents fire, most surprising first.',
    input: activationAllInput,
    output: activationAllSchema,
    run: (lab, { run, text, ignoreBos, densityThreshold }, signal) =>
      reading(lab, [run], { text, ignoreBos }, signal, async ([open], read) => {
        const { hook, features: source } = open!;
        const features = [];
        for (const [latent, { maximum, position, count }] of seenIn(read, 0)) {
          const name = nameOf({ run, hook }, source, latent);
          if (!tooDense(name, densityThreshold))
            features.push({ ...name, inText: maximum, position, count, surprise: surprise(name, maximum) });
        }
        const shown = new Set(features.map(({ latent }) => latent));
        return {
          ...{ run, hook, ...cutText(read) },
          values: read.tokens.map((_, t) =>
            firing(read.codes[0]!, t).filter(({ latent }) => shown.has(latent)),
          ),
          features: features.sort(
            (a, b) => b.surprise - a.surprise || b.inText - a.inText || a.latent - b.latent,
          ),
        };
      }),
  }),
  operation({
    name: 'activations_of_feature',
    method: 'post',
    path: '/api/activation/new',
    summary: 'One latent on a text: its activation at every token.',
    input: activationOneInput,
    output: activationOneSchema,
    run: (lab, { run, latent, text, ignoreBos }, signal) =>
      reading(lab, [run], { text, ignoreBos }, signal, async ([open], read) => {
        checkLatent(open!, latent);
        const values = [...latentColumn(read.codes[0]!, latent)];
        const maxValue = Math.max(...values);
        return {
          ...nameOf(open!, open!.features, latent),
          ...{
            ...cutText(read),
            values,
            maxValue,
            maxValueTokenIndex: values.indexOf(maxValue),
          },
        };
      }),
  }),
  operation({
    name: 'search_by_text',
    method: 'post',
    path: '/api/search-all',
    summary: 'Search by inference across layers: the latents of several runs that fire most in a text.',
    input: searchAllInput,
    output: searchAllSchema,
    async run(lab, { text, runs, sortIndexes, numResults, ignoreBos, densityThreshold }, signal) {
      const chosen = runs ?? (await defaultRuns(lab));
      const param = runs === undefined ? 'run' : 'runs';
      return await reading(
        lab,
        chosen,
        { text, ignoreBos },
        signal,
        async (open, read) => {
          const other = open.find(({ modelName }) => modelName !== open[0]!.modelName);
          if (other)
            throw badRequest(
              `${open[0]!.run} is of the model ${open[0]!.modelName}, ${other.run} of ${other.modelName}; a search runs one model.`,
              'runs',
            );
          const wrong = sortIndexes?.find((t) => t >= read.tokens.length);
          if (wrong !== undefined)
            throw badRequest(
              `sortIndexes: found ${wrong}, but the text has ${read.tokens.length} tokens.`,
              'sortIndexes',
            );
          const positions = sortIndexes && new Set(sortIndexes);
          const found = [];
          for (const [i, one] of open.entries()) {
            for (const [latent, { maximum }] of seenIn(read, i, positions))
              found.push({ i, latent, maximum, name: nameOf(one, one.features, latent) });
          }
          const best = found
            .filter(({ name }) => !tooDense(name, densityThreshold))
            .sort((a, b) => b.maximum - a.maximum || a.i - b.i || a.latent - b.latent)
            .slice(0, numResults);
          return {
            ...cutText(read),
            result: best.map(({ i, latent, name }) => {
              const values = [...latentColumn(read.codes[i]!, latent)];
              const maxValue = Math.max(...values);
              return { ...name, values, maxValue, maxValueTokenIndex: values.indexOf(maxValue) };
            }),
          };
        },
        param,
      );
    },
  }),
  operation({
    name: 'top_features_by_token',
    method: 'post',
    path: '/api/search-topk-by-token',
    summary: 'The strongest latents of every token of a text.',
    input: topkByTokenInput,
    output: topkByTokenSchema,
    run: (lab, { run, text, numResults, ignoreBos, densityThreshold }, signal) =>
      reading(lab, [run], { text, ignoreBos }, signal, async ([open], read) => {
        const { features: source } = open!;
        const results = [];
        for (const [position, token] of read.tokens.entries()) {
          const topFeatures = [];
          for (const { latent, value } of firing(read.codes[0]!, position)) {
            if (topFeatures.length === numResults) break;
            const name = nameOf(open!, source, latent);
            if (!tooDense(name, densityThreshold)) topFeatures.push({ ...name, activationValue: value });
          }
          const [start, end] = read.places[position]!;
          results.push({ position, token, place: [start, end] as [number, number], topFeatures });
        }
        return { run, hook: open!.hook, cut: read.cut, results };
      }),
  }),
];

/** Finished runs of the first model. */
async function defaultRuns(lab: Lab): Promise<string[]> {
  const usable = (await lab.runs()).filter(
    ({ architecture, model }) => architecture !== undefined && model !== undefined,
  );
  const chosen = usable.filter(({ model }) => model === usable[0]?.model).map(({ run }) => run);
  if (chosen.length === 0) throw badRequest('There is no finished run to search in.', 'runs');
  return chosen;
}
