/** The app: a bar and one page, chosen by the path. */
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { api } from './api.ts';
import { FeaturePage } from './pages/feature.tsx';
import { Home } from './pages/home.tsx';
import { ListsPage } from './pages/lists.tsx';
import { RunPage } from './pages/run.tsx';
import { RunsPage } from './pages/runs.tsx';
import { SearchPage } from './pages/search.tsx';
import { SteerPage } from './pages/steer.tsx';
import { Bar, Help } from './parts/bar.tsx';
import { Nothing, Status } from './parts/states.tsx';
import './style.css';
import { go, setParams, useAnswer, usePlace } from './use.ts';
import { decoded, mostToShow, runPath } from './words.ts';

/** Runs are looked up anew when a page is opened: one that has just ended is there. */
function App() {
  const place = usePlace();
  const [, page = '', first, second] = place.pathname.replace(/\/+$/, '').split('/').map(decoded);
  const [help, setHelp] = useState(false);
  useEffect(() => {
    document.title = [second === undefined ? first : `#${second} ${first}`, page, 'saekit']
      .filter(Boolean)
      .join(' · ');
  }, [page, first, second]);
  const answer = useAnswer(`runs ${page}`, (signal) => api.runs(signal));
  const runs = answer.value?.runs;
  // What a latent is, and what a run has, can be asked before the runs are known.
  const early = (page === 'feature' || page === 'search') && first !== undefined;
  if (!runs && (!early || answer.error !== undefined))
    return (
      <main>
        <Status answer={answer} what="Looking for runs" />
      </main>
    );
  const usable = (runs ?? []).filter(
    ({ architecture, problem }) => architecture !== undefined && problem === undefined,
  );
  const wanted =
    (['feature', 'search', 'runs'].includes(page) ? first : undefined) ??
    place.searchParams.get('run') ??
    localStorage.getItem('saekit-run');
  const run = usable.find((one) => one.run === wanted) ?? mostToShow(usable);
  // The page of a run that cannot be used (yet) is of that run all the same.
  const onPage = page === 'runs' ? runs?.find((one) => one.run === first) : undefined;
  const listed = onPage && !usable.includes(onPage) ? [...usable, onPage] : usable;
  const choose = (name: string) => {
    localStorage.setItem('saekit-run', name);
    if (page === 'search') go(`/search/${encodeURIComponent(name)}${place.search}`);
    else if (page === 'feature') go(`/search/${encodeURIComponent(name)}`);
    else if (page === 'runs' && first !== undefined) go(runPath(name));
    else setParams({ run: name });
  };
  const shown = () => {
    if (page === 'runs')
      return first === undefined ? <RunsPage runs={runs ?? []} /> : <RunPage run={first} />;
    if (page === 'lists' && first === undefined) return <ListsPage />;
    if (!run && runs) return <RunsPage runs={[]} />;
    if (page === 'search' && (first ?? run) !== undefined)
      return <SearchPage key={first ?? run?.run} run={first ?? run!.run} runs={usable} />;
    if (page === '' && run) return <Home run={run} runs={usable} />;
    if (page === 'steer' && first === undefined && run) return <SteerPage run={run.run} runs={usable} />;
    if (page === 'feature' && first !== undefined && /^\d+$/.test(second ?? ''))
      return (
        <FeaturePage
          run={first}
          latent={Number(second)}
          latents={runs?.find((one) => one.run === first)?.latents}
          folder={runs?.find((one) => one.run === first)?.folder ?? first}
          selfTest={runs?.find((one) => one.run === first)?.selfTest}
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
        <Bar runs={listed} run={(onPage ?? run)?.run ?? ''} onRun={choose} onHelp={() => setHelp(true)} />
      )}
      <div id="main" tabIndex={-1}>
        {shown()}
      </div>
      {help && <Help onClose={() => setHelp(false)} />}
    </>
  );
}

createRoot(document.getElementById('root')!).render(<App />);
