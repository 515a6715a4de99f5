/** Latents of a run: by words, number, token, logit or likeness; without a query the most interesting first. */
import { useEffect, useState } from 'react';
import { api, type FeaturePage, type RunSummary } from '../api.ts';
import { Found, Marked } from '../parts/found.tsx';
import { Layers } from '../parts/layers.tsx';
import { NameRow } from '../parts/name.tsx';
import { Command, Nothing, Status } from '../parts/states.tsx';
import { setParams, useAnswer, usePlace } from '../use.ts';
import { grouped, indexText, shellWord, titleOf } from '../words.ts';

const PAGE = 100;
type Result = FeaturePage & { readonly query: string; readonly early?: true };
const EXAMPLES = ['month', 'token:"the"', 'logit:"\\n"', 'like:#88', '#1234'];

/** What is looked for in names and passages. */
const wordsOf = (query: string): string[] =>
  /^\s*(#|token:|logit:|like:)/.test(query) ? [] : query.split(/\s+/).filter((word) => word !== '');

export function SearchPage({ run, runs }: { run: string; runs: readonly RunSummary[] }) {
  const query = usePlace().searchParams.get('q') ?? '';
  const [turned, setTurned] = useState({ query, pages: 1 });
  const pages = turned.query === query ? turned.pages : 1;
  const [found, setFound] = useState<Result>();
  const offset = (pages - 1) * PAGE;
  const answer = useAnswer(
    `${run} ${query} ${offset}`,
    async (signal) => {
      const ask = async (passages: boolean): Promise<Result> => ({
        ...(await api.search(run, query, { offset, limit: PAGE, passages }, signal)),
        query,
      });
      // The first search of passages reads the whole text; names are there at once.
      if (offset === 0 && wordsOf(query).length > 0) {
        const names = await ask(false);
        if (names.total > 0 && !signal.aborted) setFound({ ...names, early: true });
      }
      return await ask(true);
    },
    { delay: 80 },
  );
  const { value } = answer;
  useEffect(() => {
    if (value)
      setFound((before) => ({
        ...value,
        features:
          before?.query === value.query && value.offset > 0
            ? [...before.features.slice(0, value.offset), ...value.features]
            : value.features,
      }));
  }, [value]);
  const words = wordsOf(found?.query ?? '');
  const { folder = run, indexedOn } = runs.find((one) => one.run === run) ?? {};
  const indexed = found?.query === '' ? found.total > 0 : undefined;
  return (
    <main className="search">
      <h1>Latents</h1>
      <p className="lead">
        {query === '' ? 'Most interesting first.' : `For ${query}.`}{' '}
        {found &&
          `${grouped(found.total)} found${found.early ? ' by name, label or note; the passages are still to come' : ''}.`}{' '}
        {found &&
          found.total > 0 &&
          indexedOn?.balance &&
          `How often they fire is of ${indexText(indexedOn)}.`}
      </p>
      <Layers
        runs={runs}
        run={run}
        to={(other) =>
          `/search/${encodeURIComponent(other)}${query ? `?q=${encodeURIComponent(query)}` : ''}`
        }
      />
      <p className="chips small">
        {EXAMPLES.map((example) => (
          <button key={example} type="button" onClick={() => setParams({ q: example }, { replace: false })}>
            {example}
          </button>
        ))}
      </p>
      <Status answer={answer} what="Searching" />
      <div className="name-list">
        {found?.features.map((feature) => (
          <NameRow
            key={feature.latent}
            feature={feature}
            title={<Marked text={titleOf(feature)} words={words} />}
            below={feature.match && <Found hit={feature} words={words} />}
          />
        ))}
      </div>
      {found && !found.early && found.total > found.features.length && (
        <button
          type="button"
          disabled={answer.waiting}
          onClick={() => setTurned({ query, pages: pages + 1 })}
        >
          {grouped(Math.min(PAGE, found.total - found.features.length))} more
        </button>
      )}
      {found && found.total === 0 && query !== '' && (
        <Nothing title="Nothing of that kind">
          <p>
            Words are looked for in labels, guesses, notes and passages. <code>token:"x"</code> finds latents
            that peak at x, <code>logit:"x"</code> those that raise it (<code>\n</code> is the end of a line,{' '}
            <code>\t</code> a tab), <code>like:#88</code> those that write something like #88.
          </p>
        </Nothing>
      )}
      {indexed === false && (
        <Nothing title="This run has no index yet">
          <p>
            One pass over its text finds examples, densities and output tokens of every latent. A minute for a
            small model:
          </p>
          <Command>{`npx saekit index ${shellWord(folder)}`}</Command>
        </Nothing>
      )}
    </main>
  );
}
