/** How latents are turned: strengths in units of the largest activation, and the edits of a link, RUN:7:add:8,RUN:9:zero. */
import type { Feature, FeatureList, SteerRequest } from './api.ts';
import { decoded } from './words.ts';

/** The slider is in units of the largest activation; beyond it texts mostly break. */
export const [LEAST, MOST, STEP] = [-6, 6, 0.5];
/** As strong as a latent is at most in the index, a few times over: less is rarely seen. */
export const USUAL = 3.5;

/** Of a link; anything but a number in reach is the usual one. */
export function strengthIn(params: URLSearchParams): number {
  const given = Number(params.get('strength') ?? USUAL);
  return given >= LEAST && given <= MOST ? given : USUAL;
}

/** The largest activation; of a latent that never fired in the index, or was not indexed, what many have. */
export const unitOf = ({ maximum = 10 }: Pick<Feature, 'maximum'>): number => maximum;

export type Mode = NonNullable<SteerRequest['features'][number]['mode']>;
export type Edit = { run: string; latent: number; mode: Mode; value?: number };

/** What a value is: an activation, a factor, or nothing that is asked for. Modes that need another text are not among them. */
const VALUES: Partial<Record<Mode, 'activation' | 'factor' | 'none'>> = {
  ...{ add: 'activation', clamp: 'activation', 'at-least': 'activation', 'at-most': 'activation' },
  ...{ scale: 'factor', zero: 'none', suppress: 'none' },
};
export const OFFERED = Object.keys(VALUES) as Mode[];
/** undefined: not done here. */
export const valueKind = (mode: Mode): 'activation' | 'factor' | 'none' | undefined =>
  Object.hasOwn(VALUES, mode) ? VALUES[mode] : undefined;

/** The edit in another mode; a value that means the same stays, `last` is the one before for values of another kind. */
export function inMode({ value, ...edit }: Edit, mode: Mode, last?: number): Edit {
  const kind = valueKind(mode);
  if (kind === 'none' || kind === undefined) return { ...edit, mode };
  if (kind === valueKind(edit.mode) && value !== undefined) return { ...edit, mode, value };
  return { ...edit, mode, value: last ?? (kind === 'factor' ? 2 : USUAL * unitOf({})) };
}

export const asText = (edits: readonly Edit[]): string =>
  edits
    .map(({ run, latent, mode, value }) =>
      [encodeURIComponent(run), latent, mode, ...(value === undefined ? [] : [value])].join(':'),
    )
    .join(',');

export const asEdits = (text: string): Edit[] =>
  text.split(',').flatMap((part) => {
    const [run, latent, mode = 'add', value] = part.split(':');
    if (!run || !/^\d+$/.test(latent ?? '')) return [];
    const edit: Edit = { run: decoded(run), latent: Number(latent), mode: mode as Mode };
    // A value that is missing is the usual one of its mode.
    return value === undefined ? [inMode(edit, edit.mode)] : [{ ...edit, value: Number(value) || 0 }];
  });

/** A list as edits of the steering page, with its modes. */
export const presetOf = ({ features }: Pick<FeatureList, 'features'>): string =>
  `/steer?edits=${encodeURIComponent(
    asText(
      features.map(({ run, latent, mode = 'add', value }) => ({
        ...{ run, latent, mode },
        ...(value === undefined ? {} : { value: Number(value.toPrecision(3)) }),
      })),
    ),
  )}`;
