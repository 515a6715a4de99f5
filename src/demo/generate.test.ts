// Every generator against something that was written by somebody else: JSON.parse, Buffer, Date, URL, or a pattern read off the text.
import { describe, expect, it } from 'vitest';
import { createRng } from '../shared/rng.ts';
import { type GeneratedRegister, generate, generators } from './generate.ts';
import type { LabelledText, Span } from './labelled-text.ts';
import { registerByName } from './registers.ts';

const names = Object.keys(generators) as GeneratedRegister[];
const sample = (register: GeneratedRegister, count = 60): LabelledText[] =>
  Array.from({ length: count }, (_, i) => generate(register, `test/${register}/${i}`));
const textOf = ({ text }: LabelledText, span: Span) => text.slice(span.start, span.end);
const withLabel = (document: LabelledText, label: string) =>
  document.spans.filter((span) => span.label === label).map((span) => textOf(document, span));
const lines = (text: string) => text.trim().split('\n');

describe.each(names)('%s', (register) => {
  it('gives the same document for the same seed, other documents for other seeds', () => {
    expect(generate(register, 'a')).toEqual(generate(register, 'a'));
    expect(new Set(sample(register).map(({ text }) => text)).size).toBe(60);
  });

  it('is 80 to 1500 characters long, with the labels that the register lists, sorted and inside the text', () => {
    const listed = registerByName(register).labels;
    const seen = new Set<string>();
    for (const { text, spans } of sample(register)) {
      expect(text.length).toBeGreaterThan(80);
      expect(text.length).toBeLessThan(1500);
      for (const [i, { start, end, label }] of spans.entries()) {
        seen.add(label);
        expect(start >= 0 && start < end && end <= text.length).toBe(true);
        expect(start).toBeGreaterThanOrEqual(spans[i - 1]?.start ?? 0);
      }
    }
    expect([...seen].sort()).toEqual([...listed].sort());
  });
});

/** What the text of every span of a label must look like. */
const shapes: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  dna: {
    codon: /^(?!TA[AG]$|TGA$)[ACGT]{3}$/,
    'start-codon': /^ATG$/,
    'stop-codon': /^(TA[AG]|TGA)$/,
    'tata-box': /^TATAAA$/,
  },
  hex: { offset: /^[0-9a-f]{8}$/, bytes: /^[0-9a-f]{2}( [0-9a-f]{2})*$/, digest: /^[0-9a-f]+$/ },
  dates: {
    year: /^(19|20)\d\d$/,
    day: /^\d\d?$/,
    time: /^\d\d?:\d\d(:\d\d| [ap]m)?$/,
    'iso-date': /^\d{4}-\d\d-\d\d$/,
  },
  'http-logs': {
    ip: /^(\d{1,3}\.){3}\d{1,3}$/,
    method: /^[A-Z]+$/,
    status: /^[1-5]\d\d$/,
    bytes: /^\d+$/,
    path: /^\/\S+$/,
  },
  csv: { 'quoted-field': /^"[^"]+"$/, 'number-field': /^-?\d+(\.\d+)?$/, header: /^[a-z_]+(,[a-z_]+)+$/ },
  json: { 'in-string': /^[^"]+$/, number: /^-?\d/, literal: /^(true|false|null)$/ },
  arithmetic: { operand: /^\d+$/, operator: /^[-+*/]$/, result: /^\d+$/, carry: /^\d+ \+ \d+ = \d+$/ },
  brackets: { closing: /^[)\]}>]$/ },
  chess: {
    square: /^[a-h][1-8]$/,
    'move-number': /^\d+\.$/,
    castle: /^O-O(-O)?[+#]?$/,
    capture: /x/,
    check: /[+#]$/,
  },
  recipes: {
    duration: /^(\d+ minutes|1 hour)$/,
    temperature: /^\d{3} C$/,
    quantity: /^[\d/]+$/,
    title: /^[A-Z]/,
  },
  money: {
    money: /^([$£€]\d+(\.\d\d)?|\d+(\.\d\d)? (dollars|euros))$/,
    brand: /^[A-Z][a-z]+$/,
    speaker: /^[A-Z][a-z]+$/,
  },
  reviews: { stars: /^[1-5] out of 5 stars$/, sentiment: /[.]$/, brand: /^[A-Z][a-z]+$/ },
};

it.each(Object.keys(shapes) as GeneratedRegister[])('marks in %s what the labels say', (register) => {
  for (const [label, shape] of Object.entries(shapes[register] ?? {})) {
    // DNA breaks its lines anywhere, inside a codon too.
    const texts = sample(register)
      .flatMap((document) => withLabel(document, label))
      .map((text) => (register === 'dna' ? text.replace('\n', '') : text));
    expect(texts.length, label).toBeGreaterThan(0);
    expect(
      texts.filter((text) => !shape.test(text)),
      label,
    ).toEqual([]);
  }
});

it('writes JSON that parses, and marks exactly its strings', () => {
  for (const document of sample('json')) {
    const strings: string[] = [];
    JSON.parse(document.text, (key, value) => {
      if (key !== '' && !/^\d+$/.test(key)) strings.push(key);
      if (typeof value === 'string') strings.push(value);
      return value;
    });
    const marked = withLabel(document, 'in-string').map((text) => JSON.parse(`"${text}"`) as string);
    expect(marked.sort()).toEqual(strings.sort());
  }
});

it.each(['json', 'brackets'] as const)(
  'labels every character of %s with the depth that counting gives',
  (register) => {
    for (const { text, spans } of sample(register)) {
      const bare =
        register === 'json' ? text.replace(/"(\\.|[^"\\])*"/g, (string) => '.'.repeat(string.length)) : text;
      let depth = 0;
      const counted = [...bare].map((letter) => {
        if ('([{<'.includes(letter)) return ++depth;
        return ')]}>'.includes(letter) ? depth-- : depth;
      });
      expect(depth).toBe(0);
      const labelled = new Array<number>(text.length).fill(0);
      for (const { start, end, label, value } of spans)
        if (label === 'depth') labelled.fill(Number(value), start, end);
      expect(labelled).toEqual(counted);
    }
  },
);

it('writes base64 that Buffer reads and writes back, English in the texts', () => {
  for (const { text, spans } of sample('base64')) {
    const body = text.replaceAll('\n', '');
    const bytes = Buffer.from(body, 'base64');
    expect(bytes.toString('base64')).toBe(body);
    const isEnglish = /^[a-z .]+$/.test(bytes.toString('latin1'));
    expect(spans.find(({ label }) => label === 'payload')?.value).toBe(isEnglish ? 'text' : 'bytes');
  }
});

it('writes hex dumps whose columns agree', () => {
  for (const document of sample('hex')) {
    const readable = withLabel(document, 'ascii');
    for (const [i, row] of withLabel(document, 'bytes').entries()) {
      const bytes = Buffer.from(row.replaceAll(' ', ''), 'hex');
      expect(readable[i]).toBe(bytes.toString('latin1').replace(/[^\x20-\x7e]/g, '.'));
    }
  }
});

it('writes true arithmetic, and finds the sums that carry', () => {
  for (const document of sample('arithmetic')) {
    const carrying = withLabel(document, 'carry');
    for (const line of lines(document.text)) {
      const [left = '', right = ''] = line.split(' = ');
      expect(Function(`return ${left.replaceAll(/\b0+(?=\d)/g, '')}`)(), line).toBe(Number(right));
      const [a = '', sign, b = '', more] = left.split(' ');
      if (sign !== '+' || more !== undefined) continue;
      // A sum carries if its digits add up to less than those of its terms.
      const digits = (text: string) => [...text].reduce((sum, digit) => sum + Number(digit), 0);
      expect(carrying.includes(line), line).toBe(digits(right) < digits(a) + digits(b));
    }
  }
});

it('writes dates with true weekdays and months', () => {
  let checked = 0;
  for (const document of sample('dates')) {
    const pick = (label: string) => document.spans.filter((span) => span.label === label);
    for (const [i, weekday] of pick('weekday').entries()) {
      const [month, day, year] = [pick('month')[i], pick('day')[i], pick('year')[i]] as [Span, Span, Span];
      const date = new Date(`${month.value} ${textOf(document, day)}, ${textOf(document, year)} UTC`);
      expect(date.toLocaleDateString('en-US', { weekday: 'long', timeZone: 'UTC' })).toBe(weekday.value);
      expect((weekday.value ?? '').startsWith(textOf(document, weekday))).toBe(true);
      checked++;
    }
    for (const iso of withLabel(document, 'iso-date'))
      expect(new Date(iso).toISOString().slice(0, 10)).toBe(iso);
  }
  expect(checked).toBeGreaterThan(100);
});

it('writes URLs whose parts are those that URL finds', () => {
  for (const document of sample('urls')) {
    const hosts = withLabel(document, 'host');
    const queries = withLabel(document, 'query');
    const urls = lines(document.text).map((line) => new URL(line));
    expect(urls.map((url) => url.hostname)).toEqual(hosts);
    expect(urls.map((url) => url.search).filter((search) => search !== '')).toEqual(queries);
    expect(urls.map((url) => url.hash).filter((hash) => hash !== '')).toEqual(
      withLabel(document, 'fragment'),
    );
  }
});

it('writes logs in time order with octets below 256', () => {
  for (const document of sample('http-logs')) {
    const times = withLabel(document, 'timestamp').map((text) =>
      Date.parse(text.replace(/\//g, ' ').replace(':', ' ')),
    );
    expect(times.every((time, i) => !Number.isNaN(time) && time >= (times[i - 1] ?? 0))).toBe(true);
    for (const ip of withLabel(document, 'ip'))
      expect(ip.split('.').every((octet) => Number(octet) < 256)).toBe(true);
  }
});

it('writes tables whose rows have as many fields as the header, labelled by column', () => {
  for (const { text, spans } of sample('csv')) {
    const [header = '', ...rows] = lines(text);
    const columns = header.split(',');
    for (const row of rows)
      expect(row.replace(/"[^"]*"/g, 'quoted').split(',').length, row).toBe(columns.length);
    const labelled = spans.filter(({ label }) => label === 'column').map(({ value }) => value);
    expect(labelled).toEqual(rows.flatMap(() => columns));
  }
});

it('writes genes that start with ATG, keep the frame and end with a stop codon', () => {
  for (const document of sample('dna')) {
    const genes = withLabel(document, 'gene').map((gene) => gene.replaceAll('\n', ''));
    expect(genes.length).toBeGreaterThan(0);
    for (const gene of genes) expect(gene).toMatch(/^ATG((?!TAA|TAG|TGA)[ACGT]{3}){10,}(TAA|TAG|TGA)$/);
    expect(document.text).toMatch(/^([ACGT]{60}\n)*[ACGT]{1,60}$/);
  }
});

it('uses in the steps of a recipe only what its list names', () => {
  for (const document of sample('recipes')) {
    const listed = lines(document.text).filter((line) => line.startsWith('- '));
    for (const ingredient of withLabel(document, 'ingredient')) {
      expect(
        listed.some((line) => line.endsWith(` ${ingredient}`)),
        ingredient,
      ).toBe(true);
    }
  }
});

it('keeps the sentiment of a review with its stars', () => {
  for (const { text, spans } of sample('reviews')) {
    const ratings = spans.filter(({ label }) => label === 'stars');
    for (const [i, { value, end }] of ratings.entries()) {
      const stop = ratings[i + 1]?.start ?? text.length;
      const moods = new Set(
        spans
          .filter((span) => span.label === 'sentiment' && span.start >= end && span.end <= stop)
          .map((span) => span.value),
      );
      moods.delete('neutral');
      if (Number(value) >= 4) expect(moods).not.toContain('negative');
      if (Number(value) <= 2) expect(moods).not.toContain('positive');
    }
  }
});

it('depends on the state of the random generator alone', () => {
  const rng = createRng('shared stream');
  const state = rng.state();
  const first = names.map((name) => generators[name](rng).text);
  rng.restore(state);
  expect(names.map((name) => generators[name](rng).text)).toEqual(first);
});
