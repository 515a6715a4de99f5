/**
 * `steer-report`: for some latents, what the model does as the dose rises, beside everything that could do the same.
 *
 *     config -> latents, by activation and by output effect (choose.ts) -> candidates by dose (feature.ts) -> curves and tests (summary.ts)
 *     -> report.json, report.html
 *
 * Every measured candidate is a line of arms.jsonl, so that the same command goes on where it was stopped.
 */
import { join } from 'node:path';
import { checkers } from '../../demo/checkers.ts';
import { openModel } from '../../models/index.ts';
import { placeSae } from '../../models/place-sae.ts';
import { UsageError } from '../../shared/errors.ts';
import { schemaVersionOf } from '../../shared/migrate.ts';
import { didYouMean } from '../../shared/nearest.ts';
import type { SteeredFeature, SteerReport, SteerReportConfig } from '../../shared/steer-report.ts';
import { folderWriter, makeFolder, readLabels } from '../../store/index.ts';
import { jsonFile } from '../arrays.ts';
import { findTarget, isOwnText, requireRight } from '../evaluate-sae.ts';
import { hubAccess, modelOptions } from '../hub.ts';
import { requireWritingMemory } from '../model-memory.ts';
import { elsewhere, placeOf } from '../own-place.ts';
import { hooksOf } from '../plan.ts';
import { kept } from '../recorded.ts';
import { withResources } from '../resources.ts';
import { testOnDocuments } from '../self-test.ts';
import { openText } from '../streams.ts';
import { openArms } from './arms.ts';
import { becomes } from './becomes.ts';
import { chooseLatents } from './choose.ts';
import { latentFacts, makeConcept, ownConcept, readConcept } from './concept.ts';
import { candidateCount, matchedTo, reportFeature } from './feature.ts';
import { reportPage } from './page.ts';
import { changedHook } from './push.ts';
import { corrected } from './summary.ts';
import type { SteerReportOptions, Work } from './types.ts';

export const reportFiles = { page: 'report.html', data: 'report.json', arms: 'arms.jsonl' } as const;

/**
 * Measures what steering with some latents does, and writes report.html and report.json.
 *
 * @throws Error for an SAE that the self-test finds to be wrong on held-out text, unless `allowWrong`; UsageError when the config names a register, checker, token or latent that is not there, or leaves open what to steer with
 */
export async function steerReport(
  config: SteerReportConfig,
  options: SteerReportOptions = {},
): Promise<{ report: SteerReport; folder: string }> {
  const { signal } = options;
  if (config.latents === undefined && config.register === undefined && config.positive === undefined)
    throw new UsageError(
      'Say what to steer with: --latents, or a concept to choose them for: --register, or --positive with files of texts that have it.',
    );
  const checker = checkerOf(config);
  const target = await findTarget({ ...config, contextLength: undefined }, hubAccess(options));
  const { sae } = target;
  const folder = config.out ?? join(target.folder, 'steering');
  return await withResources(async (own) => {
    const threads = config.threads === undefined ? {} : { threads: config.threads };
    const model = own(await openModel(target.model, { ...modelOptions(config, options), ...threads }));
    if (model.info.encoder)
      throw new UsageError(`${model.info.name} is an encoder: it writes no text to steer.`);
    const memory = requireWritingMemory(model);
    if (config.prompt === '' && model.info.bosTokenId === undefined)
      throw new UsageError(`${model.info.name} has no token that begins a text, so it needs one: --prompt.`);
    const hook = placeSae(model, sae, { hook: target.hook, otherModel: config.allowWrong });
    for (const latent of config.latents ?? [])
      if (latent >= sae.config.F)
        throw new UsageError(`Latent ${latent} is not there: this SAE has latents 0 to ${sae.config.F - 1}.`);
    const corpus = own(
      await openText(model, {
        data: target.data,
        textField: target.textField,
        ...(target.heldout ? { heldout: target.heldout } : {}),
        ...target.reading,
        ...hubAccess(options),
      }),
    );
    options.onTarget?.(target, model, memory);
    const contextLength = target.contextLength ?? Math.min(model.info.contextLength, 256);
    const test = await testOnDocuments(sae, config.sae, {
      ...{ ...target, model, documents: corpus.heldout, contextLength, signal, hooks: hooksOf(target) },
      compare: isOwnText(config) && elsewhere(target.trained, placeOf(target, model)) === undefined,
    });
    requireRight(config, sae, test);
    const writes = await changedHook(model, sae, hook);
    const work: Work = { config, options, model, sae, hook, writes, checker };
    const texts = await readConcept(config, corpus.heldout, target.textField, signal);
    const labelled = byTurns(texts.positive, texts.negative);
    const facts = await latentFacts(model, sae, labelled, {
      ...{ hook, tokens: config.indexTokens, share: texts.share, watch: config.latents ?? [], signal },
      onProgress: (done, total) => options.onProgress?.({ stage: 'latents', done, total }),
    });
    const shared = texts.positive.length > 0 ? makeConcept(model, texts, config.target) : undefined;
    const chosen = await chooseLatents(work, facts, shared);
    // Whatever is refused is refused before there is a folder.
    const subjects = chosen.map((one) => ({
      chosen: one,
      concept: shared ?? ownConcept(model, config.target, one.latent, labelled, facts),
      matched: matchedTo(work, one.latent, facts),
    }));
    await makeFolder(folder);
    const count = chosen.length * candidateCount(config);
    const arms = await openArms(work, join(folder, reportFiles.arms), count, texts);
    const features: SteeredFeature[] = [];
    const labels = await readLabels(target.folder);
    for (const subject of subjects) {
      const label = labels.get(subject.chosen.latent)?.label;
      const measured = await reportFeature(work, subject, facts, arms);
      features.push({ ...measured, ...(label === undefined ? {} : { label }) });
    }
    const report: SteerReport = {
      schemaVersion: schemaVersionOf('steering'),
      created: new Date().toISOString(),
      model: { name: model.info.name, hash: model.info.hash },
      sae: config.sae,
      hook,
      selfTest: kept(test),
      config,
      level: 0.95,
      features: corrected(features),
      notes: notesOf(config, shared === undefined),
    };
    const writer = folderWriter(folder);
    await writer.write(reportFiles.data, ...jsonFile(report));
    const page = new TextEncoder().encode(reportPage(report));
    await writer.write(reportFiles.page, [page], page.length);
    return { report, folder };
  });
}

function checkerOf({ checker, register }: SteerReportConfig): ((text: string) => boolean) | undefined {
  if (checker !== undefined && checkers[checker] === undefined) {
    const names = Object.keys(checkers);
    throw new UsageError(
      `--checker ${checker}: no such checker.${didYouMean(checker, names)} There are: ${names.join(', ')}.`,
    );
  }
  const check = checkers[checker ?? register?.toLowerCase() ?? ''];
  return check && ((text) => becomes(check, text));
}

/** One of either side in turn, so that a bound on tokens cuts both. */
function byTurns(positive: readonly string[], negative: readonly string[]) {
  return Array.from({ length: Math.max(positive.length, negative.length) }, (_, i) => [
    { text: positive[i] ?? '', positive: true },
    { text: negative[i] ?? '', positive: false },
  ])
    .flat()
    .filter(({ text }) => text !== '');
}

function notesOf(
  { samples, controls, temperature, strengths }: SteerReportConfig,
  ownTexts: boolean,
): string[] {
  return [
    `A strength of 1 is the latent's largest activation on held-out text; every control pushes as far, at every token but special ones.`,
    `Every candidate wrote ${samples} texts with the same random numbers, temperature ${temperature}.`,
    `p: rank of the latent${strengths.length === 1 ? '' : `'s mean over ${strengths.length} doses`} among ${controls} random latents of like density and norm; it cannot be below ${(1 / (controls + 1)).toPrecision(2)}. Adjusted: Benjamini and Hochberg over all tests.`,
    'A latent chosen by output effect was the best of many on other texts; its p-value says whether fresh texts agree, not that no other would do.',
    ...(ownTexts
      ? [
          "A latent's own concept is the tenth of the held-out texts (at least eight) on which it fires most, so its selectivity is above 0 by this choice: it says how much its firing gathers in few texts.",
        ]
      : []),
    'Intervals are at 95 %: exact binomial for shares of one candidate, bootstrap over texts or documents elsewhere.',
    'Loss is that of the written text under the unsteered model, e to that power the perplexity; a low one may mean repetition.',
  ];
}
