/** The app's files when it is built, else one page that says what is here. */
import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Hono } from 'hono';
import { html } from 'hono/html';
import { getMimeType } from 'hono/utils/mime';
import type { RunSummary } from '../../shared/api.ts';
import { ApiError } from '../errors.ts';
import type { Lab } from '../lab.ts';
import { operations } from '../operations/all.ts';

/** Scripts of this server alone; a model in a worker needs WebAssembly. Texts and labels come from anywhere and stay inert. */
const POLICY =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'";

/** In ms: what the page is made of goes out before anything is opened for it. */
const ASSETS_FIRST = 60;

/** Pages of the app (web/src/main.tsx). */
const PAGE = /^\/(|feature\/.+|search(\/.*)?|runs(\/.*)?|steer\/?|lists\/?)$/;

/** Paths from the root of the site -> files. Only what stands in this list is ever read. */
function filesOf(folder: string): ReadonlyMap<string, string> {
  if (!existsSync(folder)) return new Map();
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return new Map(
    names.map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      return [path.slice(folder.length).replaceAll('\\', '/'), path];
    }),
  );
}

/** @param folder dist/web */
export function addPages(app: Hono, lab: Lab, folder: string): void {
  const files = filesOf(folder);
  const index = files.get('/index.html');

  async function fileResponse(path: string, { fixed = false, status = 200 } = {}): Promise<Response> {
    const type = getMimeType(path) ?? 'application/octet-stream';
    return new Response(new Uint8Array(await readFile(path)), {
      status,
      headers: {
        'Content-Type': type,
        'Cache-Control': fixed ? 'public, max-age=31536000, immutable' : 'no-cache',
        'Content-Security-Policy': POLICY,
      },
    });
  }

  /** What a page of a run asks for first takes longest to open: that begins while the browser reads the page. */
  function warm(path: string): void {
    const [, run] = /^\/(?:feature|search)\/([^/]+)/.exec(path) ?? [];
    if (run === undefined) return;
    setTimeout(() => {
      Promise.resolve()
        .then(() => lab.withFeatures(decodeURIComponent(run), async () => {}))
        // The page asks the same, and says what is wrong.
        .catch(() => {});
    }, ASSETS_FIRST).unref();
  }

  app.get('*', async (c) => {
    const file = files.get(c.req.path);
    // Assets are named by their content.
    if (file !== undefined) return await fileResponse(file, { fixed: c.req.path.startsWith('/assets/') });
    // /runs.json, /feature/RUN/7.json, …: the data of the page of that name.
    if (c.req.path.endsWith('.json')) {
      const url = new URL(c.req.url);
      url.pathname = `/api${url.pathname.slice(0, -'.json'.length)}`;
      // The page of all latents of a run shows what /api/features finds.
      if (url.pathname.startsWith('/api/search/')) {
        url.pathname = url.pathname.replace('/api/search/', '/api/features/');
        url.searchParams.set('query', url.searchParams.get('q') ?? '');
        url.searchParams.delete('q');
      }
      if (!c.req.path.startsWith('/api/'))
        return await app.fetch(
          new Request(url, { headers: c.req.raw.headers, signal: c.req.raw.signal }),
          c.env,
        );
    }
    // Names of runs have points in them: what a page is, its first part says.
    const isPage = PAGE.test(c.req.path) && !c.req.path.endsWith('.json');
    // Somebody who mistyped an address reads so on a page with the bar; programs get an error to read.
    const forPeople =
      (c.req.header('Accept') ?? '').includes('text/html') && !/^\/(api|v1)\/|\.json$/.test(c.req.path);
    if (!isPage && forPeople && index !== undefined) return await fileResponse(index, { status: 404 });
    if (!isPage || (index === undefined && c.req.path !== '/'))
      throw new ApiError(
        `There is nothing at ${c.req.path.slice(0, 200)}. GET /openapi.json lists what there is.`,
        { status: 404, code: 'not_found' },
      );
    if (index !== undefined) {
      warm(c.req.path);
      return await fileResponse(index);
    }
    c.header('Content-Security-Policy', POLICY);
    return c.html(plainPage(await lab.runs(), new URL(c.req.url).origin));
  });
}

const figure = (value: number | undefined): string => (value === undefined ? '' : value.toFixed(3));

/** `html` escapes what is put in. */
function plainPage(runs: readonly RunSummary[], origin: string) {
  const row = ({ run, model, hook, latents, fvu, status, problem }: RunSummary) =>
    html`<tr><td><a href="/runs/${encodeURIComponent(run)}.json">${run}</a></td><td>${model ?? ''}</td><td>${hook ?? ''}</td><td>${latents ?? ''}</td><td>${figure(fvu)}</td><td>${problem ?? status ?? ''}</td><td><a href="/features/${encodeURIComponent(run)}.json">features</a></td></tr>`;
  const first = runs.find(({ architecture }) => architecture !== undefined)?.run ?? 'RUN';
  const model = runs.find(({ model }) => model !== undefined)?.model ?? 'MODEL';
  const examples = [
    `curl ${origin}/api/search-all --json '{"text": "The meeting was held on the 4th of March"}'`,
    `curl ${origin}/api/steer --json '{"prompt": "The meeting will be held", "features": [{"run": "${first}", "latent": 0, "value": 8}]}'`,
    `curl ${origin}/v1/completions --json '{"model": "${model}", "prompt": "The meeting", "max_tokens": 20}'`,
  ].join('\n');
  return html`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>saekit</title>
<style>body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left}pre{overflow:auto}</style></head>
<body><h1>saekit</h1><p>The API is running. The app is not built into this installation; what there is:</p>
<table><thead><tr><th>run</th><th>model</th><th>hook</th><th>latents</th><th>FVU</th><th></th><th></th></tr></thead><tbody>${runs.map(row)}</tbody></table>
${runs.length === 0 ? html`<p>No runs yet. Train one: <code>saekit train --model FOLDER --data FILES</code></p>` : ''}
<h2>Ask it</h2><pre>${examples}</pre>
<h2>Routes</h2><table>${operations.map(({ method, path, summary }) => html`<tr><td>${method.toUpperCase()}</td><td><code>${path}</code></td><td>${summary}</td></tr>`)}
<tr><td>GET</td><td><code>/api/runs/{run}/events</code></td><td>Live metrics.</td></tr>
<tr><td>POST</td><td><code>/v1/chat/completions</code>, <code>/v1/completions</code></td><td>OpenAI's, with features.</td></tr>
<tr><td>POST</td><td><code>/mcp</code></td><td>Model Context Protocol.</td></tr></table>
<p><a href="/openapi.json">openapi.json</a></p></body></html>`;
}
