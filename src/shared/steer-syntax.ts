/**
 * One intervention in one line, as `--steer` takes it:
 *
 *     WHAT=CHANGE[ at POSITIONS][ if [SAE:]LATENT>NUMBER]
 *
 *     WHAT       SAE:LATENT, SAE alone (splice), or FILE.safetensors with a direction of one's own
 *     CHANGE     8 or add:8, clamp:8, at-least:8, at-most:8, scale:0.5, zero, suppress or suppress:0.5 (where above 0.5), patch:TEXT, mean:TEXT, splice;
 *                a number with `max` behind it is in units of the latent's largest activation: clamp:1.5max
 *     POSITIONS  all, prompt, generated, or ranges FROM:TO, … of tokens; negative ones count back from the end of the prompt: -1: is its last on
 */
import { UsageError } from './errors.ts';
import {
  type InterventionConfig,
  type InterventionConfigInput,
  interventionSchema,
  isEmptyRange,
  MAX_STRENGTH,
  type Positions,
  steeringModes,
} from './intervention.ts';
import { didYouMean } from './nearest.ts';

const NUMBER = String.raw`[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?`;

/**
 * @param defaults for what the line does not say
 * @throws UsageError with the part that is wrong and what it should be
 */
export function parseIntervention(
  text: string,
  defaults: Pick<InterventionConfigInput, 'positions' | 'keepError'> = {},
): InterventionConfig {
  const fail = (what: string): UsageError =>
    new UsageError(
      `--steer ${JSON.stringify(text)}: ${what} Written as SAE:LATENT=CHANGE[ at POSITIONS][ if [SAE:]LATENT>NUMBER], such as runs/first:1234=clamp:8.`,
    );
  let rest = text.trim();
  const when = new RegExp(String.raw`\sif\s+(?:((?:(?!\sif\s)[^"])+):)?(\d+)\s*([<>])\s*(${NUMBER})$`).exec(
    rest,
  );
  if (when) rest = rest.slice(0, when.index).trim();
  else if (/\sif\s[^"]*$/.test(rest)) throw fail('after `if` comes LATENT>NUMBER or LATENT<NUMBER.');
  const at = /\sat\s+([^\s"]+)$/.exec(rest);
  if (at) rest = rest.slice(0, at.index).trim();
  const parts = /^([^=]+?)(?::(\d+))?=(.*)$/s.exec(rest);
  if (!parts) throw fail('there is no `=`.');
  const [, what = '', latent, change = ''] = parts;
  const own = what.endsWith('.safetensors') && latent === undefined;
  const positions = at ? parsePositions(at[1]!, fail) : defaults.positions;
  const made: InterventionConfigInput = {
    ...(own ? { vector: what } : { sae: what }),
    ...(latent === undefined ? {} : { latent: Number(latent) }),
    ...parseChange(change, fail),
    ...(positions === undefined ? {} : { positions }),
    ...(defaults.keepError === undefined ? {} : { keepError: defaults.keepError }),
    ...(when
      ? {
          when: {
            ...(when[1] === undefined ? {} : { sae: when[1] }),
            latent: Number(when[2]),
            [when[3] === '>' ? 'above' : 'below']: Number(when[4]),
          },
        }
      : {}),
  };
  if (latent === undefined && !own && made.mode !== 'splice')
    throw fail(`${made.mode} needs a latent: ${what}:LATENT=${change}.`);
  if (latent !== undefined && made.mode === 'splice')
    throw fail('splice takes the whole SAE, without a latent.');
  const checked = interventionSchema.safeParse(made);
  if (checked.success) return checked.data;
  const { path, message } = checked.error.issues[0]!;
  throw fail(`${path.join('.')}: ${message}.`);
}

function parseChange(
  change: string,
  fail: (what: string) => UsageError,
): Pick<InterventionConfigInput, 'mode' | 'value' | 'unit' | 'above' | 'text'> {
  const found = /^(?:([a-z-]+)(?::|$))?(.*)$/s.exec(change.trim());
  const [name = 'add', argument = ''] = [found?.[1], found?.[2]];
  const mode = steeringModes.find((one) => one === name);
  if (!mode)
    throw fail(
      `there is no change ${JSON.stringify(name)}; there are ${steeringModes.join(', ')}.${didYouMean(name, steeringModes)}`,
    );
  if (mode === 'patch' || mode === 'mean') {
    if (argument === '') throw fail(`${mode} needs the text of the other run: ${mode}:TEXT.`);
    return { mode, text: argument.replace(/^"(.*)"$/s, '$1') };
  }
  if (mode === 'zero' || mode === 'splice') {
    if (argument !== '') throw fail(`${mode} takes no number.`);
    return { mode };
  }
  if (mode === 'suppress' && argument === '') return { mode };
  const number = new RegExp(`^(${NUMBER})(max)?$`).exec(argument.trim());
  if (!number) throw fail(`${mode} needs a number and found ${JSON.stringify(argument)}.`);
  const value = Number(number[1]);
  if (Math.abs(value) > MAX_STRENGTH)
    throw fail(`${number[1]} is too large: expected a number from -${MAX_STRENGTH} to ${MAX_STRENGTH}.`);
  const unit = number[2] ? { unit: 'max' as const } : {};
  if ((mode === 'suppress' || mode === 'scale') && number[2])
    throw fail(
      `${mode === 'scale' ? 'scale takes a factor' : 'the threshold of suppress is an activation'}, without max.`,
    );
  return mode === 'suppress' ? { mode, above: value } : { mode, value, ...unit };
}

/** @throws UsageError for what is neither a name nor ranges */
export function parsePositions(
  text: string,
  fail: (what: string) => UsageError = (what) => new UsageError(`--positions: ${what}`),
): Positions {
  if (text === 'all' || text === 'prompt' || text === 'generated') return text;
  return text.split(',').map((part): [number, number | null] => {
    const [, from, to] = /^(-?\d+):(-?\d+)?$/.exec(part) ?? [];
    if (from === undefined)
      throw fail(
        `${JSON.stringify(text)} is no place: expected all, prompt, generated, or ranges of tokens such as 0:5,-1: (from:to).`,
      );
    const range: [number, number | null] = [Number(from), to === undefined ? null : Number(to)];
    if (isEmptyRange(range))
      throw fail(`${part} has no token: expected FROM:TO with TO behind FROM, which is not in it.`);
    return range;
  });
}
