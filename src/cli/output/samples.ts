import type { SteeredSamples } from '../../workflows/index.ts';
import type { Style } from './style.ts';
import { wrap } from './wrap.ts';

const INDENT = '           ';

/** What was asked for, and the three continuations under one another, wrapped to the terminal. */
export function samplesText(
  { without, steered, random }: SteeredSamples,
  {
    prompt,
    latent,
    strength,
    selfTest,
  }: {
    readonly prompt: string;
    readonly latent: number;
    readonly strength: number;
    /** What is known of the SAE. */
    readonly selfTest: string;
  },
  style: Style,
): string {
  const columns = Math.min(style.columns, 110) - INDENT.length - 1;
  const row = (label: string, text: string, hue?: number): string => {
    const lines = wrap(printable(prompt + text), columns);
    const shown = lines.map((line, i) => {
      const head = i === 0 && line.startsWith(printable(prompt)) ? printable(prompt) : '';
      const rest = line.slice(head.length);
      return `${i === 0 ? `  ${style.format('dim', label.padEnd(9))}` : INDENT}${style.format('dim', head)}${hue === undefined ? rest : style.tint(hue, 0.5, rest)}`;
    });
    return shown.join('\n');
  };
  return [
    row('without', without),
    row('with', steered, latent),
    row('random', random),
    style.format(
      'dim',
      `${INDENT}#${latent} added at strength ${strength}; random: a random direction as long\n${INDENT}SAE ${selfTest}`,
    ),
  ].join('\n');
}

/** Newlines as marks, so that a sample stays a few lines; what a terminal would obey as a dot. */
export const printable = (text: string): string =>
  text.replace(/\s*\n\s*/g, ' ↵ ').replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, '·');
