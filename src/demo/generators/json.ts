/**
 * JSON values that parse, indented or in one line.
 * Spans: `in-string` (between the quotes; value `key` or `value`), `number`, `literal`, and `depth` (runs of text at one nesting depth,
 * value: the depth; an opening bracket already belongs to the inside, a closing one still does).
 */
import type { Rng } from '../../shared/rng.ts';
import { compareSpans, createDraft, type Draft, type LabelledText } from '../labelled-text.ts';
import { adjectives, brands, cities, firstNames, lastNames, nouns, products } from '../word-lists.ts';

interface JsonWriter {
  rng: Rng;
  draft: Draft;
  /** Spaces per level; 0 writes one line. */
  indent: number;
  /** Switches the depth run. */
  enter: (depth: number) => void;
}

function putString(writer: JsonWriter, text: string, role: 'key' | 'value'): void {
  writer.draft.put('"');
  writer.draft.mark('in-string', text, role);
  writer.draft.put('"');
}

function randomString(rng: Rng): string {
  switch (rng.int(7)) {
    case 0:
      return `${rng.pick(firstNames)} ${rng.pick(lastNames)}`;
    case 1:
      return rng.pick(cities);
    case 2:
      return `${rng.pick(brands)} ${rng.pick(products)}`;
    case 3:
      return `${rng.pick(firstNames).toLowerCase()}@${rng.pick(nouns)}.com`;
    case 4:
      return `the ${rng.pick(adjectives)} ${rng.pick(nouns)}\\n`;
    case 5:
      return `${1990 + rng.int(40)}-0${1 + rng.int(9)}-${10 + rng.int(18)}`;
    default:
      return `${rng.pick(adjectives)} ${rng.pick(nouns)}`;
  }
}

function putScalar(writer: JsonWriter): void {
  const { rng, draft } = writer;
  const kind = rng.int(8);
  if (kind < 4) putString(writer, randomString(rng), 'value');
  else if (kind === 4) draft.mark('literal', rng.pick(['true', 'false', 'null']));
  else if (kind === 5) draft.mark('number', String(rng.int(1000)));
  else if (kind === 6) draft.mark('number', (rng.uniform() * 1000).toFixed(2));
  else draft.mark('number', `${rng.int(2) === 0 ? '-' : ''}${rng.int(90) + 1}e${rng.int(9)}`);
}

function putContainer(writer: JsonWriter, depth: number): void {
  const { rng, draft, indent } = writer;
  const isObject = depth === 1 || rng.int(3) > 0;
  const count = 2 + rng.int(depth === 1 ? 4 : 3);
  const newline = (level: number) => draft.put(indent > 0 ? `\n${' '.repeat(indent * level)}` : '');
  writer.enter(depth);
  draft.put(isObject ? '{' : '[');
  const keys = new Set<string>();
  while (keys.size < count)
    keys.add(rng.int(2) === 0 ? rng.pick(nouns) : `${rng.pick(adjectives)}_${rng.pick(nouns)}`);
  for (const [i, key] of [...keys].entries()) {
    if (i > 0) draft.put(indent > 0 ? ',' : ', ');
    newline(depth);
    if (isObject) {
      putString(writer, key, 'key');
      draft.put(': ');
    }
    if (depth < 5 && rng.uniform() < 0.36) {
      putContainer(writer, depth + 1);
      writer.enter(depth);
    } else putScalar(writer);
  }
  newline(depth - 1);
  draft.put(isObject ? '}' : ']');
}

/** One JSON object of some 200 to 900 characters. */
export function generateJson(rng: Rng): LabelledText {
  for (;;) {
    const draft = createDraft();
    const runs: { start: number; end: number; label: string; value: string }[] = [];
    let open: { start: number; depth: number } | undefined;
    const enter = (depth: number) => {
      const now = draft.length();
      if (open !== undefined && now > open.start)
        runs.push({ start: open.start, end: now, label: 'depth', value: String(open.depth) });
      open = { start: now, depth };
    };
    putContainer({ rng, draft, indent: rng.pick([0, 2, 2, 4]), enter }, 1);
    enter(0);
    const { text, spans } = draft.done();
    // Too short or too long: draw again from the same stream.
    if (text.length < 200 || text.length > 900) continue;
    return { text, spans: [...spans, ...runs].sort(compareSpans) };
  }
}
