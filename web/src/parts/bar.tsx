/** Brand, run, search, theme: on every page but embedded ones. */
import { useEffect, useRef, useState } from 'react';
import type { RunSummary } from '../api.ts';
import { byModel } from '../runs.ts';
import { go, setParams, useKeys, usePlace } from '../use.ts';
import { Link } from './link.tsx';

/** The last text of the lab, to which its link leads; until the page is loaded anew. */
let lastText: string | null = null;

function toggleTheme(): void {
  const { dataset } = document.documentElement;
  const dark = dataset.theme ? dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  dataset.theme = dark ? 'light' : 'dark';
  localStorage.setItem('saekit-theme', dataset.theme);
}

export function Bar({
  runs,
  run,
  onRun,
  onHelp,
}: {
  runs: readonly RunSummary[];
  run: string;
  onRun: (run: string) => void;
  onHelp: () => void;
}) {
  const place = usePlace();
  const [query, setQuery] = useState('');
  const field = useRef<HTMLInputElement>(null);
  const given = place.pathname === '/' ? place.searchParams.get('text') : null;
  useEffect(() => {
    if (given !== null) lastText = given;
  }, [given]);
  const text = given ?? lastText;
  const searching = place.pathname.startsWith('/search');
  const inPlace = searching ? (place.searchParams.get('q') ?? '') : '';
  useEffect(() => setQuery(inPlace), [inPlace]);
  useKeys({ '/': () => field.current?.focus(), '?': onHelp });
  const search = (q: string) => {
    setQuery(q);
    if (searching) setParams({ q: q || undefined });
  };
  const link = (href: string, name: string) => (
    <Link href={href} aria-current={place.pathname === href.split('?')[0] ? 'page' : undefined}>
      {name}
    </Link>
  );
  return (
    <header className="bar">
      <Link className="brand" href="/">
        saekit
      </Link>
      {runs.length > 0 && (
        <select aria-label="Run" value={run} onChange={(event) => onRun(event.target.value)}>
          {byModel(runs).map(({ model, runs: own }) => (
            <optgroup key={model} label={model}>
              {own.map((one) => (
                <option key={one.run} value={one.run}>
                  {one.run}
                </option>
              ))}
            </optgroup>
          ))}
        </select>
      )}
      <form
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          const [, latent] = /^\s*#?(\d+)\s*$/.exec(query) ?? [];
          go(
            latent === undefined
              ? `/search/${encodeURIComponent(run)}?q=${encodeURIComponent(query)}`
              : `/feature/${encodeURIComponent(run)}/${latent}`,
          );
        }}
      >
        <input
          ref={field}
          type="search"
          aria-label="Search latents"
          placeholder='month   #1234   token:"x"   logit:"x"   like:#88'
          value={query}
          onChange={(event) => search(event.target.value)}
        />
      </form>
      <nav aria-label="Pages">
        {link(text === null ? '/' : `/?${new URLSearchParams({ text })}`, 'text')}
        {link(`/search/${encodeURIComponent(run)}`, 'latents')}
        {link('/steer', 'steer')}
        {link('/lists', 'lists')}
        {link('/runs', 'runs')}
      </nav>
      <button type="button" onClick={toggleTheme} aria-label="Light or dark" title="Light or dark">
        ◐
      </button>
      <button type="button" onClick={onHelp} aria-label="Keys" title="Keys (?)">
        ?
      </button>
    </header>
  );
}

const KEYS = [
  ['/', 'search'],
  ['j  k', 'next, previous latent'],
  ['r', 'any latent'],
  ['s', 'steer'],
  ['l', 'put on a list'],
  ['c', 'copy the link'],
  ['?', 'this'],
] as const;

export function Help({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-label="Keys">
      <h2>Keys</h2>
      <dl className="facts-list">
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button type="submit">close</button>
      </form>
    </dialog>
  );
}
