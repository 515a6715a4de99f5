/** The app: a bar and one page, chosen by the path. */
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { api } from './api.ts';
import { FeaturePage } from './pages/feature.tsx';
import { Home } from './pages/home.tsx';
import { ListsPage } from './pages/lists.tsx';
import { RunPage, RunsPage } from './pages/runs.tsx';
import { SearchPage } from './pages/search.tsx';
import { SteerPage } from './pages/steer.tsx';
import { Bar, Help } from './parts/bar.tsx';
import { Nothing, Status } from './parts/states.tsx';
import './style.css';
import { go, setParams, useAnswer, usePlace } from './use.ts';
import { decoded } from './words.ts';

/** Runs are looked up anew when a page is opened: one that has just ended is there. */
function App() {
  const place = usePlace();
  const [, page = '', first, second] = place.pathname.split('/').map(decoded);
  const [help, setHelp] = useState(false);
  useEffect(() => {
    document.title = [second === undefined ? first : `#${second} ${first}`, page, 'saekit']
      .filter(Boolean)
      .join(' · ');
  }, [page, first, second]);
  const answer = useAnswer(`runs ${page}`, (signal) => api.runs(signal));
  const runs = answer.value?.runs;
  if (!runs)
    return (
      <main>
        <Status answer={answer} what="Looking for runs" />
      </main>
    );
  const usable = runs.filter(
    ({ architecture, problem }) => architecture !== undefined && problem === undefined,
  );
  const wanted =
    (page === 'feature' || page === 'search' ? first : undefined) ??
    place.searchParams.get('run') ??
    localStorage.getItem('saekit-run');
  // The largest first: it has the most to show.
  const run =
    usable.find((one) => one.run === wanted) ??
    usable.toSorted((a, b) => (b.latents ?? 0) - (a.latents ?? 0))[0];
  const choose = (name: string) => {
    localStorage.setItem('saekit-run', name);
    if (page === 'search') go(`/search/${encodeURIComponent(name)}${place.search}`);
    else if (page === 'feature') go(`/feature/${encodeURIComponent(name)}/0`);
    else setParams({ run: name });
  };
  const shown = () => {
    if (page === 'runs') return first === undefined ? <RunsPage runs={runs} /> : <RunPage run={first} />;
    if (page === 'lists') return <ListsPage />;
    if (!run) return <RunsPage runs={[]} />;
    if (page === '') return <Home run={run} runs={runs} />;
    if (page === 'search') return <SearchPage run={run.run} />;
    if (page === 'steer') return <SteerPage run={run.run} />;
    if (page === 'feature' && first !== undefined && /^\d+$/.test(second ?? ''))
      return (
        <FeaturePage
          run={first}
          latent={Number(second)}
          latents={runs.find((one) => one.run === first)?.latents ?? Number.MAX_SAFE_INTEGER}
        />
      );
    return (
      <main>
        <Nothing title="There is no such page">
          <p>
            <a href="/">Back to the text lab</a>
          </p>
        </Nothing>
      </main>
    );
  };
  return (
    <>
      <a className="skip" href="#main">
        Skip the bar
      </a>
      {!place.searchParams.has('embed') && (
        <Bar runs={usable} run={run?.run ?? ''} onRun={choose} onHelp={() => setHelp(true)} />
      )}
      <div id="main" tabIndex={-1}>
        {shown()}
      </div>
      {help && <Help onClose={() => setHelp(false)} />}
    </>
  );
}

createRoot(document.getElementById('root')!).render(<App />);
