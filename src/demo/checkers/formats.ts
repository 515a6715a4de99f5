/**
 * Checkers of the generated registers. A text may be cut at its end, as samples of a model are: what stands after the last line break
 * (or the last space) is then only required to be a beginning. Form is checked, and where said so, truth.
 */
import { applyMove, type ChessPosition, legalMoves, moveToSan, startPosition } from '../chess.ts';

export type Checker = (text: string) => boolean;

/** Shorter texts are never accepted: too little to tell registers apart. */
const leastLength = 24;

/** Complete lines of a text, and the rest after the last line break. */
function splitLines(text: string): { lines: string[]; rest: string } {
  const all = text.replace(/^\n+/, '').split('\n');
  const rest = all.pop() ?? '';
  return { lines: all.filter((line) => line.trim() !== ''), rest };
}

/** All complete lines match, at least `least` of them. Text without a final line break: its last line may be cut. */
function everyLine(text: string, least: number, accept: (line: string) => boolean): boolean {
  if (text.trim().length < leastLength) return false;
  const { lines, rest } = splitLines(text);
  if (rest.trim() !== '' && accept(rest)) lines.push(rest);
  return lines.length >= least && lines.every(accept);
}

/** Only the letters A, C, G, T. */
export const checkDna: Checker = (text) =>
  text.trim().length >= leastLength && /^[ACGT\n]+$/.test(text.trim());

/** Lines of 64 characters of the alphabet and a last shorter one, padding only at the end, letters of both cases and digits. */
export const checkBase64: Checker = (text) => {
  const body = text.trim();
  if (body.length < 40 || !/^[A-Za-z0-9+/\n]+={0,2}$/.test(body)) return false;
  const lines = body.split('\n');
  if (lines.slice(0, -1).some((line) => line.length !== 64) || (lines.at(-1) ?? '').length > 64) return false;
  return [/[A-Z]/, /[a-z]/, /\d/].every((kind) => kind.test(body)) && new Set(body).size >= 16;
};

const hexDigest = /^(?=.*[a-f])(?=.*\d)[0-9a-f]{32,64}$/;
const hexDump = /^[0-9a-f]{8}: [0-9a-f]{2}(?: [0-9a-f]{2}){0,15} {2}.{1,16}$/;

/** Hex dump lines, or digests of 16 to 32 bytes. */
export const checkHex: Checker = (text) =>
  everyLine(text, 1, (line) => hexDigest.test(line) || hexDump.test(line));

const monthNames = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');
const dateForms: readonly { pattern: RegExp; order: readonly ('year' | 'month' | 'day')[] }[] = [
  { pattern: /^(\d{4})-(\d\d)-(\d\d)(?:T\d\d:\d\d:\d\dZ)?(?= {2}|$)/, order: ['year', 'month', 'day'] },
  { pattern: /^(\d\d)\/(\d\d)\/(\d{4}) \d{1,2}:\d\d [ap]m(?= {2}|$)/, order: ['day', 'month', 'year'] },
  {
    pattern: /^[A-Z][a-z]{2,8}, (\d{1,2}) ([A-Z][a-z]{2,8}) (\d{4})(?: \d\d:\d\d \+0000)?(?= {2}|$)/,
    order: ['day', 'month', 'year'],
  },
  {
    pattern: /^[A-Z][a-z]{2,8}, ([A-Z][a-z]{2,8}) (\d{1,2}), (\d{4})(?= {2}|$)/,
    order: ['month', 'day', 'year'],
  },
];

function startsWithDate(line: string): boolean {
  return dateForms.some(({ pattern, order }) => {
    const match = pattern.exec(line);
    if (match === null) return false;
    const part = (name: 'year' | 'month' | 'day') => match[order.indexOf(name) + 1] as string;
    const month = /^\d/.test(part('month'))
      ? Number(part('month'))
      : monthNames.indexOf(part('month').slice(0, 3).toLowerCase()) + 1;
    const [year, day] = [Number(part('year')), Number(part('day'))];
    return month >= 1 && month <= 12 && day >= 1 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
  });
}

/** Every line starts with a date that exists in the calendar. */
export const checkDates: Checker = (text) => everyLine(text, 3, startsWithDate);

/** Every line is one absolute URL. */
export const checkUrls: Checker = (text) =>
  everyLine(
    text,
    2,
    (line) =>
      /^(?:https?|ftp):\/\/[\w.-]+\.[a-z]{2,}(?::\d+)?(?:[/?#]\S*)?$/.test(line) && URL.canParse(line),
  );

const logLine =
  /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3}) - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+\d{4}\] "[A-Z]+ \/\S* HTTP\/1\.[01]" [1-5]\d\d \d+ "[^"]*" "[^"]*"$/;

/** Every line is in the combined log format, with octets up to 255. */
export const checkHttpLogs: Checker = (text) =>
  everyLine(
    text,
    1,
    (line) =>
      logLine
        .exec(line)
        ?.slice(1, 5)
        .every((octet) => Number(octet) <= 255) ?? false,
  );

function csvFields(line: string): string[] | undefined {
  const fields = line.match(/(?<=^|,)(?:"(?:[^"]|"")*"|[^",]*)(?=,|$)/g);
  return fields === null || fields.join(',') !== line ? undefined : fields;
}

/** A header of names, then rows with as many fields. */
export const checkCsv: Checker = (text) => {
  const { lines } = splitLines(text);
  const [header, ...rows] = lines;
  if (header === undefined || !/^[a-z][a-z_]*(?:,[a-z][a-z_]*){2,}$/.test(header) || rows.length < 2)
    return false;
  const width = header.split(',').length;
  return rows.every((row) => csvFields(row)?.length === width);
};

/** Closes what a cut JSON text has left open; the text itself if nothing is open. */
export function completeJson(text: string): string {
  const open: string[] = [];
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const letter = text[i] as string;
    if (inString) {
      if (letter === '\\') i++;
      else if (letter === '"') inString = false;
    } else if (letter === '"') inString = true;
    else if (letter === '{' || letter === '[') open.push(letter === '{' ? '}' : ']');
    else if (letter === '}' || letter === ']') open.pop();
  }
  return text + (inString ? '"' : '') + open.reverse().join('');
}

function parses(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'object';
  } catch {
    return false;
  }
}

/** `JSON.parse` accepts the text; if it is cut, it accepts the text up to its last comma with everything closed. */
export const checkJson: Checker = (text) => {
  const body = text.trim();
  if (body.length < leastLength || !/^[[{]/.test(body)) return false;
  if (parses(body) || parses(completeJson(body))) return true;
  const comma = body.lastIndexOf(',');
  return comma > leastLength && parses(completeJson(body.slice(0, comma)));
};

/** Every line is an equation of whole numbers in the form of the generator; `isTrueArithmetic` tells whether it holds. */
export const checkArithmetic: Checker = (text) =>
  everyLine(text, 3, (line) => /^\d+(?: [-+*/] \d+){1,2} = \d+$/.test(line));

/** Whether a line of arithmetic is true (left to right is enough: the only chains are sums). */
export function isTrueArithmetic(line: string): boolean {
  const parts = line.split(' ');
  let value = Number(parts[0]);
  for (let i = 1; parts[i] !== '='; i += 2) {
    const next = Number(parts[i + 1]);
    if (Number.isNaN(next)) return false;
    if (parts[i] === '+') value += next;
    else if (parts[i] === '-') value -= next;
    else if (parts[i] === '*') value *= next;
    else value /= next;
  }
  return value === Number(parts.at(-1));
}

/** Brackets of four kinds that never close wrongly, with a few letters; open brackets at the end are forgiven. */
export const checkBrackets: Checker = (text) => {
  const body = text.trim();
  if (body.length < leastLength || !/^[()[\]{}<>abcxyz ]+$/.test(body)) return false;
  const closing: Readonly<Record<string, string>> = { ')': '(', ']': '[', '}': '{', '>': '<' };
  const stack: string[] = [];
  let count = 0;
  for (const letter of body) {
    if ('([{<'.includes(letter)) stack.push(letter);
    else if (letter in closing && stack.pop() !== closing[letter]) return false;
    if (!'abcxyz '.includes(letter)) count++;
  }
  return count >= body.length / 2;
};

/** Numbered moves that are all legal from the start position, at least six; a cut last word is not counted. */
export const checkChess: Checker = (text) => {
  const words = text.trim().split(/\s+/);
  if (!/\s$/.test(text)) words.pop();
  let position: ChessPosition = startPosition();
  let plies = 0;
  for (const word of words) {
    if (/^(?:1-0|0-1|1\/2-1\/2)$/.test(word)) continue;
    if (/^\d+\.$/.test(word)) {
      if (plies % 2 !== 0 || Number(word.slice(0, -1)) !== plies / 2 + 1) return false;
      continue;
    }
    const moves = legalMoves(position);
    const move = moves.find((candidate) => moveToSan(position, candidate, moves) === word);
    if (move === undefined) return false;
    position = applyMove(position, move);
    plies++;
  }
  return plies >= 6;
};

/** Lines of a recipe: servings, list items with a quantity, numbered steps; at least one of the latter two kinds and three lines. */
export const checkRecipes: Checker = (text) => {
  const { lines } = splitLines(text);
  const items = lines.filter((line) => /^- \d+(?:\/\d+)? /.test(line)).length;
  const steps = lines.filter((line) => /^\d\. [A-Z]/.test(line)).length;
  const titles = lines.filter((line) => /^(?:Serves \d+|[A-Z][a-z]+(?: [A-Z][a-z]+)+)$/.test(line)).length;
  return items + steps >= 3 && items + steps + titles === lines.length;
};

/** Two speakers in turn, and an amount of money. */
export const checkMoney: Checker = (text) => {
  const { lines } = splitLines(text);
  const speakers = lines.map((line) => /^([A-Z][a-z]+): \S/.exec(line)?.[1]);
  if (lines.length < 3 || speakers.includes(undefined) || new Set(speakers).size !== 2) return false;
  if (speakers.some((speaker, i) => i > 0 && speaker === speakers[i - 1])) return false;
  return /[$£€]\d|\d (?:dollars|euros)/.test(text);
};

/** A rating line, then sentences. */
export const checkReviews: Checker = (text) =>
  /^[1-5] out of 5 stars\n[A-Z][^\n]{20,}/.test(text.trimStart());
