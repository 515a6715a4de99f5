/**
 * Tokens in, text out, as early as it is certain:
 *
 *     text of a token = decode(tokens before and this one) - decode(tokens before)       a token's text depends on what stands before it
 *
 * Held back: the beginning of a character whose other bytes are still to come, and whatever may become a stop string.
 *
 * A window of tokens is decoded, not the whole text. It begins where a character begins: tokenizers with a token per byte decode a run of
 * those to marks, all of it, when one character in it is not whole. For the same reason bytes that turn out to be no character change
 * what stood before them in `decode`; here what was shown stays, and only they are marks.
 */
import type { Tokenizer } from '../types.ts';

/** At least so many tokens stay when the window moves on, and text: what a decoder does at the beginning of a text is behind them. */
const CONTEXT = 8;
const WINDOW = 48;
/** Bytes of a character that can stand without its last one. */
const UNFINISHED = 3;

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

/** Where the window begins in a prompt: at a token that begins with a whole character. */
function beginning({ decode }: Pick<Tokenizer, 'decode'>, prompt: readonly number[]): number {
  for (let start = prompt.length - WINDOW; start > 0; start--)
    if (/^[^\ufffd]/u.test(decode([prompt[start]!]))) return start;
  return 0;
}

/**
 * @param prompt tokens before the first one; their text is not shown, but a character that they only begin is
 * @param stops text that ends the stream, itself not shown
 */
export function createTextStream(
  tokenizer: Pick<Tokenizer, 'decode'>,
  prompt: readonly number[],
  stops: readonly string[] = [],
) {
  let window = prompt.slice(beginning(tokenizer, prompt));
  /** Text of the window's tokens that has been taken. */
  let taken = '';
  /** Numbers of tokens of the window after which no character was unfinished; the last one is where `taken` ends. */
  let whole = [0];
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

  /** Lets the window begin at `start`, one of `whole`. */
  function moveTo(start: number): void {
    window = window.slice(start);
    whole = whole.filter((end) => end >= start).map((end) => end - start);
    taken = tokenizer.decode(window.slice(0, whole.at(-1)));
  }

  /** Takes the window's text, of which `text` is all. */
  function take(text: string): void {
    if (!text.startsWith(taken)) {
      // Bytes that are no character spoiled the run before them, which has been taken.
      moveTo(whole.at(-1)!);
      text = tokenizer.decode(window);
    }
    held += text.slice(taken.length);
    taken = text;
    whole.push(window.length);
  }

  for (let end = window.length; end >= 0; end--) {
    // More than an unfinished character: bytes that will never be one.
    const length = window.length - end > UNFINISHED ? window.length : end;
    const text = tokenizer.decode(window.slice(0, length));
    if (length === end && text.endsWith('\ufffd')) continue;
    taken = text;
    whole = [length];
    break;
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
      take(text);
      if (window.length > WINDOW) {
        const start = whole.findLast((end) => end <= window.length - CONTEXT);
        if (start !== undefined && tokenizer.decode(window.slice(start)) !== '') moveTo(start);
      }
      return release(false);
    },
    /** The end: returns what was held back, bytes that are no character as replacement characters. */
    end(): string {
      if (stopped) return '';
      take(tokenizer.decode(window));
      return release(true);
    },
  };
}
