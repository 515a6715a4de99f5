/**
 * Activations and alarms of the tokens of a text, as they are written.
 *
 *     activations [n,D] of new tokens at the hook of each watched run -> code -> values asked for; above a threshold an alarm rings
 */
import type { Model } from '../../models/types.ts';
import { encode } from '../../sae/index.ts';
import type { Alarm, FeaturesRequest, FeaturesResponse } from '../../shared/openai.ts';
import type { OpenRun } from '../lab.ts';
import { checkLatent } from '../operations/latent.ts';
import { firing, tokenTexts } from '../reading.ts';
import { runsOf } from '../steering.ts';

const TOP = 5;

export type Watch = {
  /** Hooks to capture. */
  readonly hooks: readonly string[];
  /** Takes the next tokens of a row; returns what rang, and whether the text has to end. */
  see(
    captured: Readonly<Record<string, readonly Float32Array[]>>,
    row: number,
    ids: readonly number[],
  ): Promise<{ readonly rang: readonly Alarm[]; readonly stop: boolean }>;
  /** All of a row. */
  result(row: number): FeaturesResponse;
};

type Entry = { readonly latent: number; readonly value: number };
type Row = {
  readonly promptTokens: number;
  readonly ids: number[];
  readonly seen: Entry[][];
  readonly rang: Alarm[];
};

/**
 * @param prompts tokens of the prompt of each row
 * @returns undefined when nothing is to be watched
 * @throws ApiError for a latent that is not there
 */
export function createWatch(
  { activations, alarms }: FeaturesRequest,
  {
    open,
    model,
    prompts,
    signal,
  }: { open: readonly OpenRun[]; model: Model; prompts: readonly number[]; signal: AbortSignal },
): Watch | undefined {
  if (!activations && alarms.length === 0) return undefined;
  const runOf = (name: string): OpenRun => open.find(({ run }) => run === name)!;
  for (const latent of activations?.latents ?? [])
    checkLatent(runOf(activations!.run), latent, 'features.activations.latents');
  for (const [i, { run, latent }] of alarms.entries())
    checkLatent(runOf(run), latent, `features.alarms[${i}].latent`);
  const top = activations?.top ?? (activations?.latents ? 0 : TOP);
  const watched = runsOf([...(activations ? [activations] : []), ...alarms]).map(runOf);
  const rows = prompts.map((promptTokens): Row => ({ promptTokens, ids: [], seen: [], rang: [] }));

  /** Values asked for at one token. */
  function asked(fired: readonly Entry[]): Entry[] {
    const best = fired.slice(0, top);
    const more = (activations!.latents ?? [])
      .filter((latent) => !best.some((entry) => entry.latent === latent))
      .map((latent) => fired.find((entry) => entry.latent === latent) ?? { latent, value: 0 });
    return [...best, ...more];
  }

  return {
    hooks: [...new Set(watched.map(({ hook }) => hook))],
    async see(captured, number, ids) {
      const row = rows[number]!;
      const from = row.ids.length;
      row.ids.push(...ids);
      const rang: Alarm[] = [];
      let stop = false;
      for (const { run, sae, screen, hook } of watched) {
        const { D } = sae.config;
        const x = new Float32Array(ids.length * D);
        for (const [t, token] of captured[hook]!.entries()) x.set(token, t * D);
        const code = await encode(sae, x, { screen, signal });
        for (let t = 0; t < ids.length; t++) {
          const position = from + t;
          const fired = firing(code, t);
          if (run === activations?.run) row.seen[position] = asked(fired);
          if (position < row.promptTokens) continue;
          for (const alarm of alarms) {
            const value = fired.find(({ latent }) => latent === alarm.latent)?.value ?? 0;
            if (alarm.run !== run || value <= alarm.threshold) continue;
            const { latent, threshold } = alarm;
            const [token = ''] = model.tokenizer!.tokenStrings([ids[t]!]);
            rang.push({ run, latent, threshold, value, position, token });
            stop ||= alarm.stop;
          }
        }
      }
      row.rang.push(...rang);
      return { rang, stop };
    },
    result(number) {
      const { promptTokens, ids, seen, rang } = rows[number]!;
      if (!activations) return { alarms: rang };
      const { run, hook } = runOf(activations.run);
      const tokens = tokenTexts(model, ids).flatMap((token, position) =>
        position >= promptTokens || activations.prompt
          ? [{ position, token, features: seen[position]! }]
          : [],
      );
      return { alarms: rang, activations: { run, hook, tokens } };
    },
  };
}
