/** `saekit generate --steer`: text with interventions beside the same text without them and with random directions, as they are written. */
import type { Model } from '../../models/types.ts';
import { selfTestText } from '../../sae/index.ts';
import { UsageError } from '../../shared/errors.ts';
import type { GenerateConfig } from '../../shared/generate.ts';
import { parseIntervention, parsePositions } from '../../shared/steer-syntax.ts';
import { randomised, steer } from '../../steer/index.ts';
import {
  type NamedSae,
  openInterventions,
  steeredModel,
  type WriteOptions,
  writeText,
} from '../../workflows/index.ts';
import { leastKnown } from '../../workflows/interventions.ts';
import type { Context } from '../context.ts';
import { withDownloads } from '../output/downloads.ts';
import { createLive } from '../output/live.ts';
import { tellMemory } from '../output/model-memory.ts';
import { type Column, sideBySide } from '../output/side-by-side.ts';

type Given = {
  readonly prompt: string;
  readonly writing: WriteOptions & { readonly seed: number };
  readonly open: (location: string) => Promise<Model>;
};

export async function generateSteered(
  config: GenerateConfig,
  given: NonNullable<GenerateConfig['steer']>,
  { prompt, writing, open }: Given,
  context: Context,
): Promise<void> {
  const { print, write, json, signal, style } = context;
  const defaults = { positions: parsePositions(config.positions), keepError: config.keepError };
  const changes = given.map((one) => (typeof one === 'string' ? parseIntervention(one, defaults) : one));
  const known = new Map<string, NamedSae>();
  const specs = await withDownloads(context, (access) =>
    openInterventions(changes, { ...access, known, otherModel: config.allowWrong }),
  );
  const vectors = changes.flatMap(({ vector }) => vector ?? []);
  const model = await open(await steeredModel(config.model, [...known.values()], vectors));
  try {
    tellMemory(model, context);
    const interventions = await steer(model, specs, { signal }).catch((error: Error) => {
      if (signal.aborted) throw error;
      throw new UsageError(error.message);
    });
    // Where whole rows are replaced there is no direction to draw.
    const drawn = interventions.some(({ direction }) => direction !== undefined);
    const versions = {
      ...{ without: [], with: interventions },
      ...(drawn ? { random: randomised(interventions, writing.seed) } : {}),
    };
    const texts: Record<string, string> = Object.fromEntries(Object.keys(versions).map((name) => [name, '']));
    const live = createLive(write, style, signal);
    const columns = (): Column[] =>
      Object.entries(texts).map(([label, text]) => ({
        ...{ label, text: prompt + text },
        ...(label === 'with' ? { hue: 1 } : {}),
      }));
    await Promise.all(
      Object.entries(versions).map(async ([name, version]) => {
        texts[name] = await writeText(model, {
          ...writing,
          interventions: version,
          onText(text) {
            texts[name] += text;
            if (!json) live.draw(sideBySide(columns(), style));
          },
        });
      }),
    );
    live.clear();
    const test = leastKnown(known.values());
    const selfTest = test ? { selfTest: test } : {};
    print(
      json
        ? JSON.stringify({ ...config, prompt, steer: changes, ...texts, steered: texts.with, ...selfTest })
        : sideBySide(columns(), style).join('\n'),
    );
    if (!json && test) print(style.format('dim', `  SAE ${selfTestText(test)}`));
  } finally {
    await model.close();
  }
}
