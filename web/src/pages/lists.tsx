/** Named lists: kept by the server, exported as JSON, used as presets for steering. */
import { useState } from 'react';
import { api, type FeatureList } from '../api.ts';
import { Link } from '../parts/link.tsx';
import { NameRow } from '../parts/name.tsx';
import { Nothing, Problem, Status } from '../parts/states.tsx';
import { presetOf } from '../steering.ts';
import { useAnswer, useName } from '../use.ts';
import { short } from '../words.ts';

export function ListsPage() {
  const [version, setVersion] = useState(0);
  const [gone, setGone] = useState<FeatureList>();
  const [problem, setProblem] = useState<string>();
  /** What is on disk may have changed since it was read: changes are of one thing, and the lists are read again behind each. */
  async function change(work: Promise<{ list?: FeatureList }>): Promise<void> {
    try {
      setGone((await work).list);
      setProblem(undefined);
    } catch (error) {
      setProblem((error as Error).message);
    }
    setVersion((before) => before + 1);
  }
  const answer = useAnswer(`lists ${version}`, (signal) => api.lists(signal));
  const lists = answer.value?.lists ?? [];
  return (
    <main className="lists">
      <h1>Lists</h1>
      <Status answer={answer} what="Reading the lists" />
      {problem && <Problem>{problem}</Problem>}
      {gone && (
        <p role="status">
          {gone.name} is deleted, with {howMany(gone)}.{' '}
          <button type="button" onClick={() => void change(restored(gone))}>
            undo
          </button>
        </p>
      )}
      {answer.value && lists.length === 0 && (
        <Nothing title="No list yet">
          <p>Open a latent and press “+ list” (or the key l). A list can be exported and used to steer.</p>
        </Nothing>
      )}
      {lists.map((list) => (
        <section key={list.name}>
          <h2>{list.name}</h2>
          <p className="fine">
            {howMany(list)}, changed {list.updated.slice(0, 10)} ·{' '}
            <Link href={presetOf(list)}>steer with them</Link> ·{' '}
            <a href={`/lists/${encodeURIComponent(list.name)}.json`} download={`${list.name}.json`}>
              export JSON
            </a>{' '}
            ·{' '}
            <button type="button" onClick={() => void change(api.deleteList(list.name))}>
              delete
            </button>
          </p>
          {list.description && <p className="fine">{list.description}</p>}
          <div className="name-list">
            {list.features.map((one) => (
              <div key={`${one.run} ${one.latent} ${one.mode}`} className="listed">
                <Listed {...one} />
                <button
                  type="button"
                  aria-label={`Take #${one.latent} off ${list.name}`}
                  title="take off"
                  onClick={() => void change(api.takeOffList(list.name, one).then(() => ({})))}
                >
                  ×
                </button>
              </div>
            ))}
          </div>
        </section>
      ))}
    </main>
  );
}

const howMany = ({ features: { length } }: FeatureList): string =>
  `${length} ${length === 1 ? 'latent' : 'latents'}`;

/** Where there is a list of this name again, they go on it. */
async function restored({ name, description, features }: FeatureList): Promise<Record<string, never>> {
  await api.addToList(name, { description, features });
  return {};
}

function Listed({ run, latent, mode, value }: FeatureList['features'][number]) {
  const answer = useName(run, latent);
  const feature = answer.value ?? { run, latent, hook: '' };
  const how = [...(mode ? [mode] : []), ...(value === undefined ? [] : [short(value)])].join(' ');
  return answer.error ? (
    <p className="fine">
      #{latent}: {answer.error}
    </p>
  ) : (
    <NameRow feature={feature} {...(how === '' ? {} : { extra: `steers: ${how}` })} />
  );
}
