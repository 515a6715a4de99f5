/**
 * URLs, and access logs of a web server in the combined format.
 * Spans: urls — `scheme`, `host`, `port`, `path`, `query`, `fragment`; logs — `ip`, `timestamp`, `method`, `path`, `status`
 * (value: its class, such as `4xx`), `bytes`, `agent`.
 */
import type { Rng } from '../../shared/rng.ts';
import { createDraft, type Draft, type LabelledText } from '../labelled-text.ts';
import { adjectives, months, nouns } from '../word-lists.ts';

const suffixes = ['com', 'com', 'com', 'org', 'net', 'io', 'edu', 'gov', 'de', 'fr', 'co.uk', 'jp'] as const;
const files = [
  'index.html',
  'main.css',
  'app.js',
  'logo.png',
  'photo.jpg',
  'feed.xml',
  'data.json',
  'report.pdf',
  'favicon.ico',
] as const;
const statuses = [
  200, 200, 200, 200, 200, 200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 404, 500, 502, 503,
] as const;
const agents = [
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36',
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) Gecko/20100101',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)',
  'curl/8.4.0',
  'python-requests/2.31.0',
  'ExampleBot/2.1 (+http://bot.example.org)',
] as const;
const two = (value: number) => String(value).padStart(2, '0');

function randomPath(rng: Rng): string {
  let path = '';
  for (let depth = rng.int(3); depth >= 0; depth--)
    path += `/${rng.int(4) === 0 ? String(rng.int(10_000)) : rng.pick(nouns)}`;
  return rng.int(3) === 0 ? `${path}/${rng.pick(files)}` : path;
}

function randomQuery(rng: Rng): string {
  const keys = ['id', 'page', 'q', 'sort', 'lang', 'ref', 'limit', 'token'] as const;
  const pairs = Array.from({ length: 1 + rng.int(3) }, () => {
    const key = rng.pick(keys);
    if (key === 'q') return `q=${rng.pick(adjectives)}+${rng.pick(nouns)}`;
    if (key === 'sort') return `sort=${rng.pick(['asc', 'desc', 'name', 'date'])}`;
    if (key === 'lang') return `lang=${rng.pick(['en', 'fr', 'de', 'ja', 'ru'])}`;
    return `${key}=${rng.int(key === 'page' ? 50 : 100_000)}`;
  });
  return `?${pairs.join('&')}`;
}

function putUrl(draft: Draft, rng: Rng): void {
  draft.mark('scheme', rng.pick(['https', 'https', 'https', 'http', 'ftp']));
  draft.put('://');
  const www = rng.pick(['', '', 'www.', 'api.', 'blog.', 'cdn.']);
  draft.mark(
    'host',
    `${www}${rng.pick(adjectives)}${rng.pick(['', '-'])}${rng.pick(nouns)}.${rng.pick(suffixes)}`,
  );
  if (rng.int(8) === 0) {
    draft.put(':');
    draft.mark('port', rng.pick(['80', '443', '8080', '3000', '5432']));
  }
  draft.mark('path', randomPath(rng));
  if (rng.int(2) === 0) draft.mark('query', randomQuery(rng));
  if (rng.int(5) === 0) draft.mark('fragment', `#${rng.pick(nouns)}`);
}

/** Six to ten URLs, one a line. */
export function generateUrls(rng: Rng): LabelledText {
  const draft = createDraft();
  for (let line = 6 + rng.int(5); line > 0; line--) {
    putUrl(draft, rng);
    draft.put('\n');
  }
  return draft.done();
}

/** Four to six lines of an access log in time order. */
export function generateHttpLog(rng: Rng): LabelledText {
  const draft = createDraft();
  let time = Date.UTC(
    2005 + rng.int(20),
    rng.int(12),
    1 + rng.int(28),
    rng.int(24),
    rng.int(60),
    rng.int(60),
  );
  const clients = Array.from(
    { length: 3 },
    () => `${1 + rng.int(223)}.${rng.int(256)}.${rng.int(256)}.${1 + rng.int(254)}`,
  );
  for (let line = 4 + rng.int(3); line > 0; line--) {
    const date = new Date(time);
    draft.mark('ip', rng.pick(clients));
    draft.put(' - - [');
    const month = (months[date.getUTCMonth()] as string).slice(0, 3);
    const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
    draft.mark('timestamp', `${two(date.getUTCDate())}/${month}/${date.getUTCFullYear()}:${clock} +0000`);
    draft.put('] "');
    draft.mark('method', rng.pick(['GET', 'GET', 'GET', 'GET', 'POST', 'PUT', 'DELETE', 'HEAD']));
    draft.put(' ');
    draft.mark('path', randomPath(rng) + (rng.int(4) === 0 ? randomQuery(rng) : ''));
    draft.put(' HTTP/1.1" ');
    const status = String(rng.pick(statuses));
    draft.mark('status', status, `${status.charAt(0)}xx`);
    draft.put(' ');
    draft.mark('bytes', String(rng.int(100_000)));
    draft.put(' "-" "');
    draft.mark('agent', rng.pick(agents));
    draft.put('"\n');
    time += 1000 * rng.int(30);
  }
  return draft.done();
}
