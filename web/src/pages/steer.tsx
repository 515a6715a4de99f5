/** Several latents at once: a preset, a prompt, and the three texts side by side. */
import { useState } from 'react';
import { api } from '../api.ts';
import { hue } from '../colour.ts';
import { Link } from '../parts/link.tsx';
import { Samples } from '../parts/samples.tsx';
import { Nothing, Problem } from '../parts/states.tsx';
import { USUAL } from '../parts/writes.tsx';
import { setParams, useAnswer, useName, usePlace } from '../use.ts';
import { decoded, featurePath, titleOf } from '../words.ts';

/** "RUN:7:add:8" per latent in the link. */
type Edit = { run: string; latent: number; mode: 'add' | 'clamp'; value: number };
const asText = (edits: readonly Edit[]): string =>
  edits.map((e) => [encodeURIComponent(e.run), e.latent, e.mode, e.value].join(':')).join(',');
const asEdits = (text: string): Edit[] =>
  text.split(',').flatMap((part) => {
    const [run, latent, mode, value] = part.split(':');
    if (!run || !/^\d+$/.test(latent ?? '')) return [];
    return [
      {
        run: decoded(run),
        latent: Number(latent),
        mode: mode === 'clamp' ? ('clamp' as const) : ('add' as const),
        value: Number(value) || 0,
      },
    ];
  });

function EditName({ edit: { run, latent } }: { edit: Edit }) {
  const { value, error } = useName(run, latent);
  return (
    <Link className="edit-name" href={featurePath({ run, latent })}>
      <span className="id">#{latent}</span> <bdi>{value ? titleOf(value) : ''}</bdi>{' '}
      <span className="fine">{error ?? run}</span>
    </Link>
  );
}

/** Of the sliders, in units of activation. */
const REACH = 120;

export function SteerPage({ run }: { run: string }) {
  const { searchParams } = usePlace();
  const edits = asEdits(searchParams.get('edits') ?? '');
  const [prompt, setPrompt] = useState(searchParams.get('prompt') ?? 'The meeting will be held');
  const [seed, setSeed] = useState(1);
  const [problem, setProblem] = useState<string>();
  const change = (next: readonly Edit[]) => setParams({ edits: asText(next) || undefined });
  /** As strong as a latent is at most in the index, a few times over: less is rarely seen. */
  async function add(latent: number): Promise<void> {
    try {
      const { maximum = 10 } = await api.feature(run, latent);
      change([...edits, { run, latent, mode: 'add', value: Math.round(USUAL * maximum) }]);
      setProblem(undefined);
    } catch (error) {
      setProblem((error as Error).message);
    }
  }
  const answer = useAnswer(
    edits.length === 0 || prompt === '' ? undefined : JSON.stringify([edits, prompt, seed]),
    (signal) => api.steer({ prompt, features: edits, seed, maxTokens: 64, temperature: 0.7 }, signal),
    { delay: 200 },
  );
  return (
    <main className="steering">
      <h1>Steer</h1>
      <p className="lead">
        Turn latents up or down together. The random text is the control: other latents of the same SAEs, as
        strong.
      </p>
      <form
        className="inline"
        onSubmit={(event) => {
          event.preventDefault();
          void add(Number(String(new FormData(event.currentTarget).get('latent')).replace('#', '')));
          event.currentTarget.reset();
        }}
      >
        <label>
          Add latent{' '}
          <input name="latent" inputMode="numeric" placeholder="#1234" pattern="#?[0-9]+" required />
        </label>
        <button type="submit">add</button>
      </form>
      {problem && <Problem>{problem}</Problem>}
      {edits.map((edit, i) => (
        <div key={i} className="edit-row" style={hue(edit.latent)}>
          <span className="dot" aria-hidden="true" />
          <EditName edit={edit} />
          <select
            aria-label={`How to change #${edit.latent}`}
            value={edit.mode}
            onChange={(event) => change(edits.with(i, { ...edit, mode: event.target.value as Edit['mode'] }))}
          >
            <option value="add">add</option>
            <option value="clamp">clamp</option>
          </select>
          <input
            type="range"
            aria-label={`Strength of #${edit.latent}`}
            min={-Math.max(REACH, Math.abs(edit.value))}
            max={Math.max(REACH, Math.abs(edit.value))}
            step={1}
            value={edit.value}
            onChange={(event) => change(edits.with(i, { ...edit, value: Number(event.target.value) }))}
          />
          <output>{edit.value}</output>
          <button
            type="button"
            aria-label={`Take #${edit.latent} away`}
            onClick={() => change(edits.filter((_, j) => j !== i))}
          >
            ×
          </button>
        </div>
      ))}
      {edits.length === 0 ? (
        <Nothing title="No latent chosen">
          <p>
            Add one by its number, take a <Link href="/lists">list</Link> as a preset, or{' '}
            <Link href={`/search/${encodeURIComponent(run)}`}>look for one</Link>: the page of a latent can
            put it on a list.
          </p>
        </Nothing>
      ) : (
        <>
          <label className="prompt-field">
            <span>Prompt</span>
            <input value={prompt} onChange={(event) => setPrompt(event.target.value)} spellCheck={false} />
          </label>
          <button type="button" onClick={() => setSeed(seed + 1)}>
            draw again
          </button>
          <Samples prompt={prompt} answer={answer} />
        </>
      )}
    </main>
  );
}
