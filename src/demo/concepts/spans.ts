/** Concepts that are labels of spans, made by the generators or the corpus labellers. */
import type { Span } from '../labelled-text.ts';
import { type Concept, joinRanges } from './types.ts';

/** One row: name, sentence, kind, registers ('*' for any), label, and which values count. */
type Row = readonly [
  name: string,
  about: string,
  kind: Concept['kind'],
  registers: readonly string[],
  label: string | readonly string[],
  accept?: (value: string) => boolean,
];

const is = (value: string) => (given: string) => given === value;
const code = ['typescript', 'python'];

const rows: readonly Row[] = [
  ['json/in-string', 'Inside a JSON string', 'structure', ['json'], 'in-string'],
  ['json/key', 'Inside a key of a JSON object', 'structure', ['json'], 'in-string', is('key')],
  [
    'json/value-string',
    'Inside a string that is a JSON value',
    'structure',
    ['json'],
    'in-string',
    is('value'),
  ],
  [
    'json/deep',
    'JSON at nesting depth 3 or more',
    'structure',
    ['json'],
    'depth',
    (value) => Number(value) >= 3,
  ],
  [
    'brackets/deep',
    'Bracket depth 4 or more',
    'structure',
    ['brackets'],
    'depth',
    (value) => Number(value) >= 4,
  ],
  [
    'brackets/shallow',
    'Bracket depth 0 or 1',
    'structure',
    ['brackets'],
    'depth',
    (value) => Number(value) <= 1,
  ],
  ['brackets/closing', 'A closing bracket', 'structure', ['brackets'], 'closing'],
  ['csv/header', 'The header line of a table', 'structure', ['csv'], 'header'],
  ['csv/quoted-field', 'A quoted field of a table', 'structure', ['csv'], 'quoted-field'],
  ['url/host', 'The host of a URL', 'structure', ['urls'], 'host'],
  ['url/query', 'The query of a URL', 'structure', ['urls'], 'query'],
  ['log/ip', 'An IP address in a log', 'structure', ['http-logs'], 'ip'],
  ['log/timestamp', 'A time stamp in a log', 'structure', ['http-logs'], 'timestamp'],
  ['log/client-error', 'A status 4xx in a log', 'meaning', ['http-logs'], 'status', is('4xx')],
  ['log/agent', 'The user agent in a log', 'structure', ['http-logs'], 'agent'],
  ['hex/ascii', 'The readable column of a hex dump', 'structure', ['hex'], 'ascii'],
  ['base64/text', 'Base64 of English text', 'meaning', ['base64'], 'payload', is('text')],
  ['base64/bytes', 'Base64 of random bytes', 'meaning', ['base64'], 'payload', is('bytes')],
  ['dna/gene', 'Inside a gene', 'meaning', ['dna'], 'gene'],
  ['chess/move-number', 'The number of a move', 'structure', ['chess'], 'move-number'],
  ['chess/knight', 'A move of a knight', 'meaning', ['chess'], 'move', is('N')],
  ['chess/pawn', 'A move of a pawn', 'meaning', ['chess'], 'move', is('P')],
  ['chess/capture', 'A capture', 'meaning', ['chess'], 'capture'],
  ['chess/square', 'The target square of a move', 'structure', ['chess'], 'square'],
  ['arithmetic/result', 'The result of a sum', 'structure', ['arithmetic'], 'result'],
  ['arithmetic/operator', 'A sign of arithmetic', 'structure', ['arithmetic'], 'operator'],
  ['date/weekday', 'The name of a weekday in a date', 'meaning', ['dates'], 'weekday'],
  ['date/month', 'The name of a month in a date', 'meaning', ['dates'], 'month'],
  ['date/time', 'The time of day', 'meaning', ['dates'], 'time'],
  ['recipe/ingredient', 'An ingredient', 'meaning', ['recipes'], 'ingredient'],
  ['recipe/spice', 'A spice', 'meaning', ['recipes'], 'ingredient', is('spice')],
  ['recipe/quantity-unit', 'A quantity or its unit', 'meaning', ['recipes'], ['quantity', 'unit']],
  ['recipe/duration', 'How long something cooks', 'meaning', ['recipes'], 'duration'],
  ['money/amount', 'An amount of money in a dialogue', 'meaning', ['money'], 'money'],
  ['money/instrument', 'A means of payment', 'meaning', ['money'], 'instrument'],
  ['money/speaker', 'The name of a speaker before a line', 'structure', ['money'], 'speaker'],
  ['commerce/brand', 'The name of a brand', 'meaning', ['money', 'reviews'], 'brand'],
  ['commerce/product', 'The name of a product', 'meaning', ['money', 'reviews'], 'product'],
  ['review/positive', 'A sentence of praise', 'meaning', ['reviews'], 'sentiment', is('positive')],
  ['review/negative', 'A sentence of complaint', 'meaning', ['reviews'], 'sentiment', is('negative')],
  ['review/stars', 'The rating of a review', 'structure', ['reviews'], 'stars'],
  ['code/comment', 'A comment or docstring', 'structure', code, ['comment', 'docstring']],
  ['code/string', 'A string of TypeScript or Python', 'structure', code, 'string'],
  ['code/import', 'The keyword import', 'structure', code, 'keyword', is('import')],
  ['code/return', 'The keyword return', 'structure', code, 'keyword', is('return')],
  ['css/selector', 'The selector of a style rule', 'structure', ['css'], 'selector'],
  ['css/value', 'The value of a style property', 'structure', ['css'], 'value'],
  ['html/tag', 'A tag (its bracket and name)', 'structure', ['html'], 'tag'],
  ['html/attribute-value', 'The value of an attribute', 'structure', ['html'], 'attribute-value'],
  ['html/template', 'A template instruction', 'structure', ['html'], 'template'],
  ['definition/headword', 'The words that are defined', 'structure', ['definitions'], 'headword'],
  ['definition/example', 'A quoted example', 'structure', ['definitions'], 'quotation'],
  ['novel/speech', 'Direct speech in a novel', 'meaning', ['novels'], 'quotation'],
  ['scripture/verse-number', 'The number of a verse', 'structure', ['scripture'], 'verse-number'],
  ['country/field-name', 'The name of a field of the factbook', 'structure', ['countries'], 'field-name'],
  ['country/percentage', 'A percentage', 'meaning', ['countries'], 'percentage'],
  ['maths/answer', 'The worked answer of a problem', 'structure', ['maths'], 'answer'],
  ['maths/equation', 'An equation in a worked answer', 'structure', ['maths'], 'equation'],
];

export const spanConcepts: readonly Concept[] = rows.map(([name, about, kind, registers, label, accept]) => {
  const labels = typeof label === 'string' ? [label] : label;
  const holds = (span: Span) =>
    labels.includes(span.label) && (accept === undefined || accept(span.value ?? ''));
  return {
    name,
    about,
    kind,
    truth: ({ register, spans }) =>
      registers.includes(register)
        ? joinRanges(spans.filter(holds).map(({ start, end }) => [start, end] as const))
        : [],
  };
});
