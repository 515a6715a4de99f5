/** Latents of a run: by words, number, token, logit or likeness; without a query the most interesting first. */
import { useState } from 'react';
import { api } from '../api.ts';
import { NameRow } from '../parts/name.tsx';
import { Nothing, Status } from '../parts/states.tsx';
import { setParams, useAnswer, usePlace } from '../use.ts';
import { grouped } from '../words.ts';

const PAGE = 100;
const EXAMPLES = ['month', 'token:"the"', 'logit:" March"', '#1234'];

export function SearchPage({ run }: { run: string }) {
  const query = usePlace().searchParams.get('q') ?? '';
  const [limit, setLimit] = useState(PAGE);
  const answer = useAnswer(
    `${run} ${query} ${limit}`,
    (signal) => api.search(run, query, 0, Math.min(200, limit), signal),
    { delay: 80 },
  );
  const found = answer.value;
  return (
    <main className="search">
      <h1>Latents</h1>
      <p className="lead">
        {query === '' ? 'Most interesting first.' : `For ${query}.`}{' '}
        {found && `${grouped(found.total)} found.`}
      </p>
      <p className="chips small">
        {EXAMPLES.map((example) => (
          <button key={example} type="button" onClick={() => setParams({ q: example })}>
            {example}
          </button>
        ))}
      </p>
      <Status answer={answer} what="Searching" />
      <div className="name-list">
        {found?.features.map((feature) => (
          <NameRow key={feature.latent} feature={feature} />
        ))}
      </div>
      {found && found.total > found.features.length && limit < 200 && (
        <button type="button" onClick={() => setLimit(200)}>
          show more
        </button>
      )}
      {found && found.total === 0 && query !== '' && (
        <Nothing title="Nothing of that kind">
          <p>
            Words are looked for in labels, guesses, notes and examples. <code>token:"x"</code> finds latents
            that peak at x, <code>logit:"x"</code> those that raise it, <code>like:#88</code> those that write
            something like #88.
          </p>
        </Nothing>
      )}
      {found && found.total === 0 && query === '' && (
        <Nothing title="This run has no index yet">
          <p>
            One pass over its text finds examples, densities and output tokens of every latent. A minute for a
            small model:
          </p>
          <pre>npx saekit index {run}</pre>
        </Nothing>
      )}
    </main>
  );
}
