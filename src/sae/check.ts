/** Whether the arrays of an SAE fit its config. */
import type { Sae, SaeConfig } from './types.ts';
import { variantOf } from './variants/registry.ts';
import type { Arrays, PreSelection, RankOrThreshold, Selection } from './variants/variant.ts';

/** Width of what the SAE gives back. */
export const outputWidth = ({ D, Dout }: Pick<SaeConfig, 'D' | 'Dout'>): number => Dout ?? D;

/** Whether the encoder reads x - b_dec. */
export const subtractsBias = ({
  Dout,
  subtractDecoderBias,
}: Pick<SaeConfig, 'Dout' | 'subtractDecoderBias'>): boolean =>
  Dout === undefined && subtractDecoderBias !== false;

const optional = ['threshold', 'r_mag', 'b_mag'] as const;

/** The shape of every array that an SAE of this config has; W_skip and b_token, which any may have, only where they are there. */
export function shapesOf(
  config: SaeConfig,
  has: Pick<Arrays, 'W_skip' | 'b_token'> = {},
): Record<string, number[]> {
  const { D, F } = config;
  const Dout = outputWidth(config);
  const own = Dout / (config.places ?? 1);
  return {
    W_enc: [F, D],
    b_enc: [F],
    W_dec: [F, Dout],
    b_dec: [own],
    ...Object.fromEntries(variantOf(config.architecture).arrays.map((name) => [name, [F]])),
    ...variantOf(config.architecture).shapes?.(config as never),
    ...(has.W_skip ? { W_skip: [own, D] } : {}),
    ...(has.b_token ? { b_token: [Math.floor(has.b_token.length / Dout), Dout] } : {}),
  };
}

/** The variant's own part of a config. */
function settingsOf({
  D: _d,
  F: _f,
  Dout: _o,
  places: _p,
  subtractDecoderBias: _s,
  inputNorm: _n,
  flattened: _h,
  metadata: _m,
  ...own
}: SaeConfig) {
  return own;
}

/**
 * How an SAE's latents are chosen.
 *
 * @throws when an array is missing, surplus or of another size than the config says, and for settings outside their range
 */
export function checkSae(sae: Sae): Selection {
  const { config } = sae;
  const variant = variantOf(config.architecture);
  const settings = variant.settings.safeParse(settingsOf(config));
  if (!settings.success) {
    const [issue] = settings.error.issues;
    throw new RangeError(`${variant.title} SAE: ${issue!.path.join('.') || 'config'}: ${issue!.message}.`);
  }
  const { D, F } = config;
  for (const [name, shape] of Object.entries(shapesOf(config, sae))) {
    const found = sae[name as keyof Arrays]?.length;
    const expected = shape.reduce((product, n) => product * n, 1);
    if (found === undefined)
      throw new RangeError(
        `${name} is missing: a ${variant.title} SAE has ${[...Object.keys(shapesOf(config))].join(', ')}.`,
      );
    if (found !== expected)
      throw new RangeError(`${name} has ${found} numbers, expected ${expected} for D ${D}, F ${F}.`);
  }
  for (const name of optional)
    if (sae[name] && !variant.arrays.includes(name))
      throw new RangeError(`${name} would be ignored: a ${variant.title} SAE has none.`);
  if (config.places !== undefined && !Number.isInteger(outputWidth(config) / config.places))
    throw new RangeError(`${config.places} places do not divide a width of ${outputWidth(config)}.`);
  if (config.inputNorm !== undefined && config.Dout !== undefined)
    throw new RangeError(
      'A transcoder with a normalised input is not known: it is undone where it reads, not where it writes.',
    );
  return variant.selection(settings.data, sae);
}

/** As `checkSae`, where z has to be a function of pre: in a graph, screened, or while the model runs. @throws for matching pursuit and temporal SAEs */
export function preSelection(sae: Sae): PreSelection {
  const selection = checkSae(sae);
  if (selection.by === 'pursuit' || selection.by === 'context')
    throw new Error(
      `${describeSae(sae.config)}: ${selection.by === 'pursuit' ? 'latents are taken one after the other, each out of what the last ones left, as many as a row needs' : 'a row is read with those before it'}. That is done by encoding only: it is not screened, no ONNX graph is made of it, and its activations are not known while the model writes. To steer with it, give rows of its decoder as vectors.`,
    );
  return selection;
}

/** As `preSelection`, of what is chosen latent by latent or by rank. @throws for GroupMax too */
export function ownSelection(sae: Sae): RankOrThreshold {
  const selection = preSelection(sae);
  if (selection.by === 'group')
    throw new Error(
      `${describeSae(sae.config)}: the largest of each group is kept, which is done by encoding and in ONNX graphs only: it is not screened, and its activations are not known while the model writes. To steer with it, give rows of its decoder as vectors.`,
    );
  return selection;
}

/** Active latents per row as far as the SAE says: K, or the L0 that was recorded with it. */
export function activePerRow(config: SaeConfig): number | undefined {
  if ('K' in config) return config.K;
  const { l0 } = config.metadata;
  return typeof l0 === 'number' ? l0 : undefined;
}

/** One line for people: TopK, D 64, F 512, K 32. */
export function describeSae(config: SaeConfig): string {
  const K = 'K' in config ? [`K ${config.K}`] : [];
  const { D, Dout, places } = config;
  const reach = places === undefined ? '' : ' cross-layer';
  const kind = variantOf(config.architecture).title + (Dout === undefined ? '' : `${reach} transcoder`);
  const out = places === undefined ? Dout : `${places} layers of ${Dout! / places}`;
  const width = Dout === undefined ? [`D ${D}`] : [`D ${D} to ${out}`];
  const rows = config.inputNorm === 'centre' ? ['reads rows without their mean'] : [];
  return [kind, ...width, `F ${config.F}`, ...K, ...rows].join(', ');
}
