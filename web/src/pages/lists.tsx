/** Named lists: kept by the server, exported as JSON, used as presets for steering. */
import { useState } from 'react';
import { api, type FeatureList } from '../api.ts';
import { Link } from '../parts/link.tsx';
import { NameRow } from '../parts/name.tsx';
import { Nothing, Status } from '../parts/states.tsx';
import { useAnswer } from '../use.ts';

const presetOf = ({ features }: FeatureList): string =>
  `/steer?edits=${encodeURIComponent(features.map(({ run, latent, mode, value }) => [encodeURIComponent(run), latent, mode === 'clamp' ? 'clamp' : 'add', value === undefined ? 8 : Number(value.toPrecision(3))].join(':')).join(','))}`;

export function ListsPage() {
  const [version, setVersion] = useState(0);
  const answer = useAnswer(`lists ${version}`, (signal) => api.lists(signal));
  const lists = answer.value?.lists ?? [];
  return (
    <main className="lists">
      <h1>Lists</h1>
      <Status answer={answer} what="Reading the lists" />
      {answer.value && lists.length === 0 && (
        <Nothing title="No list yet">
          <p>Open a latent and press “+ list” (or the key l). A list can be exported and used to steer.</p>
        </Nothing>
      )}
      {lists.map((list) => (
        <section key={list.name}>
          <h2>{list.name}</h2>
          <p className="fine">
            {list.features.length} latents, changed {list.updated.slice(0, 10)} ·{' '}
            <Link href={presetOf(list)}>steer with them</Link> ·{' '}
            <a href={`/lists/${encodeURIComponent(list.name)}.json`} download={`${list.name}.json`}>
              export JSON
            </a>{' '}
            ·{' '}
            <button
              type="button"
              onClick={() => void api.deleteList(list.name).then(() => setVersion(version + 1))}
            >
              delete
            </button>
          </p>
          <div className="name-list">
            {list.features.map(({ run, latent }) => (
              <Listed key={`${run} ${latent}`} run={run} latent={latent} />
            ))}
          </div>
        </section>
      ))}
    </main>
  );
}

function Listed({ run, latent }: { run: string; latent: number }) {
  const answer = useAnswer(`${run} #${latent}`, (signal) => api.search(run, `#${latent}`, 0, 1, signal));
  const feature = answer.value?.features[0] ?? { run, latent, hook: '' };
  return answer.error ? (
    <p className="fine">
      #{latent}: {answer.error}
    </p>
  ) : (
    <NameRow feature={feature} />
  );
}
