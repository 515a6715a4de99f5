import type { Unembed } from '../../explain/index.ts';
import { directionsOf, extremeIds } from '../../explain/logit-effects.ts';

/** Tokens raised, and lowered, that are kept. */
const LOGITS = 12;

/** Raised and lowered tokens of the i-th of `latents`, computed for 64 at a time. */
export function logitTiles(
  latents: readonly number[],
  W_dec: Float32Array,
  F: number,
  unembed: Unembed | undefined,
  tokenStrings: (ids: readonly number[]) => string[],
  signal: AbortSignal | undefined,
) {
  const TILE = 64;
  const none = { raises: [], raises_texts: [], raises_by: [], lowers: [], lowers_texts: [], lowers_by: [] };
  let tile: { first: number; logits: Float32Array; V: number } | undefined;
  const tokenString = (id: number) => tokenStrings([id])[0]!;
  return async (i: number): Promise<Record<keyof typeof none, readonly (number | string)[]>> => {
    if (!unembed) return none;
    if (!tile || i >= tile.first + TILE) {
      const part = latents.slice(i, i + TILE);
      const logits = await unembed(directionsOf(part, W_dec, F), part.length, signal ? { signal } : {});
      tile = { first: i, logits, V: logits.length / part.length };
    }
    const { first, logits, V } = tile;
    const effects = logits.subarray((i - first) * V, (i - first + 1) * V);
    const [raises, lowers] = ([1, -1] as const).map((sign) => extremeIds(effects, LOGITS, sign, tokenString));
    return {
      raises: raises!,
      raises_texts: tokenStrings(raises!),
      raises_by: raises!.map((id) => effects[id]!),
      lowers: lowers!,
      lowers_texts: tokenStrings(lowers!),
      lowers_by: lowers!.map((id) => effects[id]!),
    };
  };
}
