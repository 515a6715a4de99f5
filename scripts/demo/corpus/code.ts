/** Source code of permissively licensed packages; one file is one group, and a document is a run of whole lines. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Span } from '../../../src/demo/labelled-text.ts';
import type { Candidate } from './document.ts';
import { cutSpans, labelCode } from './label-code.ts';

interface CodeSource {
  register: string;
  folder: string;
  extension: RegExp;
}

const sourcesOfCode: readonly CodeSource[] = [
  { register: 'typescript', folder: 'zod-4.6.7/src', extension: /\.ts$/ },
  { register: 'typescript', folder: 'rxjs-7.8.2/src', extension: /\.ts$/ },
  { register: 'typescript', folder: 'effect-4.1.0/src', extension: /\.ts$/ },
  { register: 'python', folder: 'py-django-5.2.19/django', extension: /\.py$/ },
  { register: 'python', folder: 'py-networkx-3.6.1/networkx', extension: /\.py$/ },
  { register: 'python', folder: 'py-wagtail-8.0.1/wagtail', extension: /\.py$/ },
  { register: 'css', folder: 'bootstrap-5.3.9/dist/css/bootstrap.css', extension: /\.css$/ },
  { register: 'css', folder: 'bulma-1.0.4/css/bulma.css', extension: /\.css$/ },
  { register: 'css', folder: 'admin-lte-4.10.0/dist/css/adminlte.css', extension: /\.css$/ },
  { register: 'css', folder: 'py-django-5.2.19/django', extension: /(?<!min)\.css$/ },
  { register: 'html', folder: 'admin-lte-4.10.0/dist', extension: /\.html$/ },
  { register: 'html', folder: 'py-django-5.2.19/django', extension: /\.html$/ },
  { register: 'html', folder: 'py-wagtail-8.0.1/wagtail', extension: /\.html$/ },
  { register: 'html', folder: 'py-djangorestframework-3.18.3/rest_framework', extension: /\.html$/ },
  { register: 'html', folder: 'py-django_allauth-65.21.1/allauth', extension: /\.html$/ },
];

const targetLength = 620;
/** No file and no package may fill a register. */
const maxChunksPerFile = 60;
const maxChunksPerSource = 2600;

function* filesUnder(path: string, extension: RegExp): Generator<string> {
  if (extension.test(path)) return yield path;
  for (const name of readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()) {
    if (extension.test(name) && !/migrations\/|locale\/|\.d\.ts$|vendor|\.min\./.test(name))
      yield join(path, name);
  }
}

interface Chunk {
  text: string;
  spans: Span[];
}

/** Takes out blank lines beyond one and at both ends; `position` maps old offsets to new ones. */
function squeeze(text: string): { text: string; position: number[] } {
  const kept = text
    .replace(/\n{3,}/g, (run) => `\n\n${'\0'.repeat(run.length - 2)}`)
    .replace(/^[\n\0]+|[\n\0]+$/g, (run) => '\0'.repeat(run.length));
  const position: number[] = [];
  let length = 0;
  for (const letter of kept.split('')) {
    position.push(length);
    if (letter !== '\0') length++;
  }
  return { text: kept.replaceAll('\0', ''), position: [...position, length] };
}

/** Runs of whole lines with their labels; overlong lines (data, minified code) are left out. */
function chunkCode(language: string, source: string): Chunk[] {
  const lines = source
    .replace(/[\r\0]/g, '')
    .split('\n')
    .filter((line) => line.length <= 400)
    .map((line) => `${line.trimEnd()}\n`);
  const clean = lines.join('');
  const spans = labelCode(language, clean);
  const chunks: Chunk[] = [];
  let start = 0;
  let end = 0;
  const close = () => {
    const { text, position } = squeeze(clean.slice(start, end));
    if (text.length > 200) chunks.push({ text, spans: cutSpans(spans, start, end, position) });
    start = end;
  };
  for (const line of lines) {
    end += line.length;
    if (end - start > targetLength) close();
  }
  if (end - start > 250) close();
  return chunks;
}

/** Every chunk of every source, thinned evenly where a file or a package has too many. */
export function* collectCode(root: string): Generator<Candidate> {
  for (const { register, folder, extension } of sourcesOfCode) {
    const all: Candidate[] = [];
    const origin = folder.split('/')[0] ?? folder;
    for (const path of filesUnder(join(root, folder), extension)) {
      const name = path.slice(root.length + 1);
      const chunks = chunkCode(register, readFileSync(path, 'utf8'));
      // A large style sheet is one file: there, runs of ten chunks are the groups.
      const limit = register === 'css' ? chunks.length : maxChunksPerFile;
      const step = Math.max(1, chunks.length / limit);
      for (let at = 0; at < chunks.length; at += step) {
        const i = Math.floor(at);
        const group = register === 'css' ? `${name}#${Math.floor(i / 10)}` : name;
        all.push({
          id: `${register}/${name}/${i}`,
          register,
          group,
          ...(chunks[i] as Chunk),
          meta: { language: register, package: origin },
        });
      }
    }
    const step = Math.max(1, all.length / maxChunksPerSource);
    for (let at = 0; at < all.length; at += step) yield all[Math.floor(at)] as Candidate;
  }
}
