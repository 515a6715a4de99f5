/**
 * Tokens in, text out, as early as it is certain:
 *
 *     text of a token = decode(tokens before and this one) - decode(tokens before)       a token's text depends on what stands before it
 *
 * Held back: the beginning of a character whose other bytes are still to come, and whatever may become a stop string.
 */
import type { Tokenizer } from '../types.ts';

/** A window of tokens is decoded, not the whole text; this many stay when it moves on. */
const CONTEXT = 8;
const WINDOW = 48;

export type TextStream = ReturnType<typeof createTextStream>;

/** Length of the longest end of `text` that begins one of `stops`. */
function begun(text: string, stops: readonly string[]): number {
  for (let length = Math.max(0, ...stops.map((stop) => stop.length - 1)); length > 0; length--) {
    if (length > text.length) continue;
    const end = text.slice(-length);
    if (stops.some((stop) => stop.startsWith(end))) return length;
  }
  return 0;
}

/**
 * @param prompt tokens before the first one; their text is not shown
 * @param stops text that ends the stream, itself not shown
 */
export function createTextStream(
  tokenizer: Pick<Tokenizer, 'decode'>,
  prompt: readonly number[],
  stops: readonly string[] = [],
) {
  const window = prompt.slice(-WINDOW);
  /** Text of the window's tokens that has been taken. */
  let taken = tokenizer.decode(window).replace(/\ufffd+$/u, '');
  /** Taken, not shown. */
  let held = '';
  let shown = '';
  let stopped = false;

  function show(text: string): string {
    shown += text;
    return text;
  }

  /** What may be shown of the text held back. */
  function release(all: boolean): string {
    const places = stops.map((stop) => held.indexOf(stop)).filter((place) => place >= 0);
    if (places.length > 0) {
      stopped = true;
      held = held.slice(0, Math.min(...places));
    }
    const keep = all || stopped ? 0 : begun(held, stops);
    const out = held.slice(0, held.length - keep);
    held = held.slice(held.length - keep);
    return show(out);
  }

  return {
    /** All text shown so far. */
    get text(): string {
      return shown;
    },
    /** Whether a stop string came; nothing is shown after it. */
    get stopped(): boolean {
      return stopped;
    },
    /** Takes a token and returns the text that is new. */
    push(id: number): string {
      if (stopped) return '';
      window.push(id);
      const text = tokenizer.decode(window);
      // The bytes so far are no character; later ones may make them one.
      if (text.endsWith('\ufffd')) return '';
      held += text.slice(taken.length);
      taken = text;
      if (window.length > WINDOW) {
        window.splice(0, window.length - CONTEXT);
        taken = tokenizer.decode(window);
      }
      return release(false);
    },
    /** The end: returns what was held back, bytes that are no character as replacement characters. */
    end(): string {
      if (stopped) return '';
      held += tokenizer.decode(window).slice(taken.length);
      taken = '';
      window.length = 0;
      return release(true);
    },
  };
}
