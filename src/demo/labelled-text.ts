/**
 * Text with exact labels, and the small writer that all generators use to make it: what is written inside `mark` becomes a span,
 * so a span cannot disagree with its text.
 */

/** A labelled stretch of a text: UTF-16 offsets, half-open. */
export interface Span {
  start: number;
  end: number;
  label: string;
  value?: string;
}

/** A text and what is known about its parts; spans are sorted by start, then by longer first, and may nest. */
export interface LabelledText {
  text: string;
  spans: Span[];
}

/** Collects a text piece by piece. */
export interface Draft {
  /** Number of UTF-16 units written so far. */
  length(): number;
  /** Appends text without a label. */
  put(text: string): void;
  /** Appends a text, or whatever a function writes, as one span. Empty stretches are not recorded. */
  mark(label: string, content: string | (() => void), value?: string): void;
  /** The finished text. */
  done(): LabelledText;
}

/** Orders spans by start; of two with the same start the longer comes first. */
export function compareSpans(a: Span, b: Span): number {
  return a.start - b.start || b.end - a.end;
}

/** Starts an empty draft. */
export function createDraft(): Draft {
  const pieces: string[] = [];
  const spans: Span[] = [];
  let length = 0;
  function put(text: string): void {
    pieces.push(text);
    length += text.length;
  }
  return {
    length: () => length,
    put,
    mark(label, content, value) {
      const start = length;
      if (typeof content === 'string') put(content);
      else content();
      if (length > start)
        spans.push(
          value === undefined ? { start, end: length, label } : { start, end: length, label, value },
        );
    },
    done: () => ({ text: pieces.join(''), spans: spans.sort(compareSpans) }),
  };
}
