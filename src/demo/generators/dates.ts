/**
 * Dates and times in many notations, with true weekdays: diaries, calendars, lists of time stamps.
 * Spans: `weekday`, `month`, `year`, `day`, `time`, and `iso-date` around whole ISO dates.
 */
import type { Rng } from '../../shared/rng.ts';
import { createDraft, type Draft, type LabelledText } from '../labelled-text.ts';
import { cities, firstNames, months, weekdays } from '../word-lists.ts';

const dayMs = 86_400_000;
const two = (value: number) => String(value).padStart(2, '0');
const reasons = [
  'dentist',
  'board meeting',
  'flight to',
  'train to',
  'call with',
  'lunch with',
  'rehearsal',
  'deadline for the report',
  'birthday of',
  'visit to',
  'exam',
  'concert',
  'rent is due',
  'open house',
  'interview with',
] as const;

type Notation = (draft: Draft, date: Date) => void;

const weekdayOf = (date: Date) => weekdays[date.getUTCDay()] as string;
const monthOf = (date: Date) => months[date.getUTCMonth()] as string;

function putClock(draft: Draft, date: Date): void {
  draft.mark('time', `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`);
}

function putIso(draft: Draft, date: Date): void {
  draft.mark('iso-date', () => {
    draft.mark('year', String(date.getUTCFullYear()));
    draft.put(`-${two(date.getUTCMonth() + 1)}-`);
    draft.mark('day', two(date.getUTCDate()));
  });
}

function putWords(draft: Draft, date: Date, order: 'day-first' | 'month-first', short: boolean): void {
  const cut = (name: string) => (short ? name.slice(0, 3) : name);
  draft.mark('weekday', cut(weekdayOf(date)), weekdayOf(date));
  draft.put(', ');
  const day = () => draft.mark('day', String(date.getUTCDate()));
  const month = () => draft.mark('month', cut(monthOf(date)), monthOf(date));
  if (order === 'day-first') {
    day();
    draft.put(' ');
    month();
    draft.put(' ');
  } else {
    month();
    draft.put(' ');
    day();
    draft.put(', ');
  }
  draft.mark('year', String(date.getUTCFullYear()));
}

const notations: readonly Notation[] = [
  putIso,
  (draft, date) => {
    putIso(draft, date);
    draft.put('T');
    draft.mark(
      'time',
      `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`,
    );
    draft.put('Z');
  },
  (draft, date) => putWords(draft, date, 'day-first', false),
  (draft, date) => putWords(draft, date, 'month-first', false),
  (draft, date) => {
    putWords(draft, date, 'day-first', true);
    draft.put(' ');
    putClock(draft, date);
    draft.put(' +0000');
  },
  (draft, date) => {
    draft.mark('day', two(date.getUTCDate()));
    draft.put(`/${two(date.getUTCMonth() + 1)}/`);
    draft.mark('year', String(date.getUTCFullYear()));
    draft.put(' ');
    const hour = date.getUTCHours();
    draft.mark(
      'time',
      `${hour % 12 === 0 ? 12 : hour % 12}:${two(date.getUTCMinutes())} ${hour < 12 ? 'am' : 'pm'}`,
    );
  },
];

/** Ten to sixteen entries in one notation, evenly or unevenly spaced, with or without remarks. */
export function generateDates(rng: Rng): LabelledText {
  const draft = createDraft();
  const notation = rng.pick(notations);
  const diary = rng.int(3) > 0;
  const step = rng.pick([dayMs, 7 * dayMs, 3_600_000, 15 * 60_000, 0]);
  let time = Date.UTC(
    1900 + rng.int(140),
    rng.int(12),
    1 + rng.int(28),
    rng.int(24),
    5 * rng.int(12),
    rng.int(60),
  );
  for (let line = 8 + rng.int(5); line > 0; line--) {
    const date = new Date(time);
    notation(draft, date);
    if (diary) {
      const reason = rng.pick(reasons);
      const what = reason.endsWith(' to')
        ? ` ${rng.pick(cities)}`
        : /(with|of)$/.test(reason)
          ? ` ${rng.pick(firstNames)}`
          : '';
      draft.put(`  ${reason}${what}`);
    }
    draft.put('\n');
    time += step > 0 ? step : 60_000 * (1 + rng.int(60 * 24 * 20));
  }
  return draft.done();
}
