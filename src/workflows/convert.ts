/** `saekit convert`: an SAE of one format -> a folder of another, read again and compared: arrays bit for bit, settings one by one. */
import type { HubAccess } from '../hub/types.ts';
import { subtractsBias } from '../sae/check.ts';
import { readingX } from '../sae/formats/fold.ts';
import { loadPlan } from '../sae/formats/format.ts';
import {
  type FormatName,
  formats,
  loadSae,
  openSae,
  refuseWrong,
  type Sae,
  type SaeConfig,
  type SelfTest,
  saveSae,
  writtenFormats,
} from '../sae/index.ts';
import { UsageError } from '../shared/errors.ts';
import { folderWriter } from '../store/index.ts';
import { filled, requireNewFolder } from './new-folder.ts';
import { requireSae } from './run-state.ts';
import { type TestOn, testOn } from './self-test.ts';

export type ConvertOptions = HubAccess & TestOn & { readonly to: string };

export type Converted = {
  readonly from: string;
  readonly to: FormatName;
  readonly sae: Sae['config'];
  /** What was assumed or folded, on the way in or out. */
  readonly notes: readonly string[];
  readonly test: SelfTest;
  /** Arrays that came back with other bits; empty: lossless. */
  readonly changed: readonly string[];
  /** Settings and metadata that the format has no place for; with a setting less the SAE may be of another kind, such as JumpReLU for Matryoshka. */
  readonly lost: readonly string[];
};

const FOLDED =
  'The format reads x itself: b_enc - W_enc b_dec is written as b_enc, and compared with what was read again. Codes are the same up to rounding.';

/**
 * @throws on an unknown format, a folder that is not empty, an SAE that the self-test refuses, one that the format has no place for, and one
 *   that cannot be read again; nothing is left there then
 */
export async function convertSae(
  location: string,
  out: string,
  { to, ...options }: ConvertOptions,
): Promise<Converted> {
  if (!(writtenFormats as readonly string[]).includes(to))
    throw new UsageError(
      `--to ${to}: ${to in formats ? 'that format is read, not written' : 'no such format'}. Written are ${writtenFormats.join(', ')}.`,
    );
  await requireNewFolder(out);
  await requireSae(location);
  const format = to as FormatName;
  const opened = await openSae(location, options);
  try {
    const sae = await loadPlan(opened.plan, opened.where, options.signal);
    const test = await testOn(sae, location, options);
    refuseWrong(sae, test, location);
    const again = await filled(out, async () => {
      await saveSae(folderWriter(out), sae, {
        format,
        ...(options.signal ? { signal: options.signal } : {}),
      });
      return await loadSae(out);
    });
    const folded = subtractsBias(sae.config) && !subtractsBias(again.config);
    const meant = folded ? readingX(sae) : sae;
    return {
      ...{ from: formats[opened.format].title, to: format, sae: sae.config, test },
      notes: [...opened.plan.notes, ...(folded ? [FOLDED] : [])],
      ...{ changed: differences(meant, again), lost: lostSettings(meant, again) },
    };
  } finally {
    await opened.close();
  }
}

/** Names of the arrays whose bits differ. */
function differences(a: Sae, b: Sae): string[] {
  const arrays = (sae: Sae) =>
    Object.entries(sae).filter(([, value]) => value instanceof Float32Array) as [string, Float32Array][];
  const found = new Map(arrays(b));
  return arrays(a).flatMap(([name, array]) => {
    const other = found.get(name);
    const same = other?.length === array.length && array.every((value, i) => Object.is(value, other[i]));
    return same ? [] : [name];
  });
}

/** Settings with their defaults: one that is left out is no other one. */
const settingsOf = ({ metadata: _, architecture, ...rest }: SaeConfig): Record<string, unknown> => ({
  architecture,
  ...rest,
  ...{ flattened: rest.flattened === true, subtractDecoderBias: subtractsBias(rest) },
});

/** What the SAE that was written no longer says, or says otherwise: `K 24`, `architecture matryoshka -> jumprelu`. */
function lostSettings(a: Sae, b: Sae): string[] {
  const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
  const compare = (of: Record<string, unknown>, found: Record<string, unknown>, prefix = ''): string[] =>
    Object.entries(of).flatMap(([key, value]) => {
      const now = found[key];
      if (value === undefined || JSON.stringify(now) === JSON.stringify(value)) return [];
      return [`${prefix}${key} ${text(value)}${now === undefined ? '' : ` -> ${text(now)}`}`];
    });
  const had = settingsOf(a.config);
  // One threshold for all may have become one for each.
  const { threshold } = had;
  if (typeof threshold === 'number' && b.threshold?.every((theta) => theta === Math.fround(threshold)))
    delete had.threshold;
  return [
    ...compare(had, settingsOf(b.config)),
    ...compare(a.config.metadata, b.config.metadata, 'metadata '),
  ];
}
