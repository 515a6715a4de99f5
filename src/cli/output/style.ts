/**
 * Colour and width of a terminal, decided once. Colour is never the only carrier of a meaning.
 *
 * Off when NO_COLOR is set, when the output is no terminal (unless FORCE_COLOR is set), or when TERM is "dumb".
 */
import { styleText } from 'node:util';

type Format = 'bold' | 'dim' | 'underline' | 'red' | 'green' | 'yellow' | 'cyan';

export type Style = {
  readonly colour: boolean;
  readonly terminal: boolean;
  /** Columns; 100 when the output is no terminal. */
  readonly columns: number;
  format(formats: Format | readonly Format[], text: string): string;
  /** `text` tinted with hue `hue` (any integer) in strength `share` in [0,1]: below 0.04 nothing, at 1 a filled mark. */
  tint(hue: number, share: number, text: string): string;
};

/** Twelve mid-light colours of the 256-colour palette that read on black and on white. */
const hues = [173, 74, 142, 139, 72, 167, 110, 179, 108, 133, 68, 137];

/** What of the stream and the environment matters. */
export type Output = { readonly isTTY?: boolean | undefined; readonly columns?: number | undefined };

/**
 * @param output the stream that is written to
 * @param env the process environment: NO_COLOR, FORCE_COLOR, TERM, COLUMNS
 */
export function createStyle(output: Output, env: Readonly<Record<string, string | undefined>>): Style {
  const terminal = output.isTTY === true;
  const forced = env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '' && env.FORCE_COLOR !== '0';
  const refused = (env.NO_COLOR !== undefined && env.NO_COLOR !== '') || env.FORCE_COLOR === '0';
  const colour = !refused && (forced || (terminal && env.TERM !== 'dumb'));
  const wide = Number(env.COLUMNS);
  const columns = Math.max(40, output.columns ?? (Number.isInteger(wide) && wide > 0 ? wide : 100));
  return {
    colour,
    terminal,
    columns,
    format(formats, text) {
      if (!colour || text === '') return text;
      // We have decided above; styleText's own look at the stream would decide again.
      return styleText(formats as Format | Format[], text, { validateStream: false });
    },
    tint(hue, share, text) {
      if (!colour || text === '' || !(share >= 0.04)) return text;
      const code = hues[((hue % hues.length) + hues.length) % hues.length];
      if (share >= 0.85) return `\x1b[48;5;${code}m\x1b[38;5;16m${text}\x1b[39m\x1b[49m`;
      const weight = share >= 0.5 ? '\x1b[1m' : share < 0.2 ? '\x1b[2m' : '';
      return `${weight}\x1b[38;5;${code}m${text}\x1b[39m${weight === '' ? '' : '\x1b[22m'}`;
    },
  };
}
