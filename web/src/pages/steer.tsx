/** Several latents at once: a preset, a prompt, and the three texts side by side. */
import { useRef, useState } from 'react';
import { api, type FeatureName, type RunSummary } from '../api.ts';
import { hue } from '../colour.ts';
import { Link } from '../parts/link.tsx';
import { SaeMark } from '../parts/sae-mark.tsx';
import { Samples } from '../parts/samples.tsx';
import { Nothing, Problem } from '../parts/states.tsx';
import { DEFAULT_PROMPT } from '../parts/writes.tsx';
import {
  asEdits,
  asText,
  type Edit,
  inMode,
  type Mode,
  OFFERED,
  USUAL,
  unitOf,
  valueKind,
} from '../steering.ts';
import { type Answer, setParams, useAnswer, useName, usePlace } from '../use.ts';
import { featurePath, titleOf } from '../words.ts';

function EditName({ edit: { run, latent }, name }: { edit: Edit; name: Answer<FeatureName | undefined> }) {
  const { value, error } = name;
  return (
    <Link className="edit-name" href={featurePath({ run, latent })}>
      <span className="id">#{latent}</span> <bdi>{value ? titleOf(value) : ''}</bdi>{' '}
      <span className="fine">{error ?? run}</span>
    </Link>
  );
}

/** Of the sliders: how far they go at least, and their steps. */
const REACH = { activation: [120, 1], factor: [4, 0.25] } as const;

function Strength({ edit, onChange }: { edit: Edit; onChange: (value: number) => void }) {
  const kind = valueKind(edit.mode);
  if (kind !== 'activation' && kind !== 'factor') return null;
  const { value = 0 } = edit;
  const [least, step] = REACH[kind];
  const reach = Math.max(least, Math.abs(value));
  return (
    <>
      <input
        type="range"
        aria-label={`Strength of #${edit.latent}`}
        min={-reach}
        max={reach}
        step={step}
        value={value}
        onChange={(event) => onChange(Number(event.target.value))}
      />
      <output>
        {kind === 'factor' ? '× ' : ''}
        {value}
      </output>
    </>
  );
}

/** One latent and what is done to it. Values are kept by their kind, so that another mode and back again is as before. */
function EditRow({
  edit,
  selfTest,
  kept,
  onChange,
  onRemove,
}: {
  edit: Edit;
  selfTest: RunSummary['selfTest'] | undefined;
  kept: Map<string, number>;
  onChange: (edit: Edit) => void;
  onRemove: () => void;
}) {
  const { run, latent } = edit;
  const name = useName(run, latent);
  const turn = (mode: Mode) => {
    const place = (one: Mode) => [run, latent, valueKind(one)].join(' ');
    if (edit.value !== undefined) kept.set(place(edit.mode), edit.value);
    const usual = valueKind(mode) === 'activation' ? Math.round(USUAL * unitOf(name.value ?? {})) : undefined;
    onChange(inMode(edit, mode, kept.get(place(mode)) ?? usual));
  };
  return (
    <div className="edit-row" style={hue(latent)}>
      <span className="dot" aria-hidden="true" />
      <EditName edit={edit} name={name} />
      <SaeMark selfTest={selfTest} />
      {valueKind(edit.mode) === undefined ? (
        <span className="left-out" role="alert">
          left out: “{edit.mode}” is not done on this page
        </span>
      ) : (
        <select
          aria-label={`How to change #${latent}`}
          value={edit.mode}
          onChange={(event) => turn(event.target.value as Mode)}
        >
          {OFFERED.map((mode) => (
            <option key={mode}>{mode}</option>
          ))}
        </select>
      )}
      <Strength edit={edit} onChange={(value) => onChange({ ...edit, value })} />
      <button type="button" aria-label={`Take #${latent} away`} onClick={onRemove}>
        ×
      </button>
    </div>
  );
}

export function SteerPage({ run, runs }: { run: string; runs: readonly RunSummary[] }) {
  const { searchParams } = usePlace();
  const edits = asEdits(searchParams.get('edits') ?? '');
  const done = edits.filter(({ mode }) => valueKind(mode) !== undefined);
  const prompt = searchParams.get('prompt') ?? DEFAULT_PROMPT;
  const [seed, setSeed] = useState(1);
  const [problem, setProblem] = useState<string>();
  const kept = useRef(new Map<string, number>()).current;
  const change = (next: readonly Edit[]) => setParams({ edits: asText(next) || undefined });
  async function add(latent: number): Promise<void> {
    try {
      const unit = unitOf(await api.feature(run, latent));
      change([...edits, { run, latent, mode: 'add', value: Math.round(USUAL * unit) }]);
      setProblem(undefined);
    } catch (error) {
      setProblem((error as Error).message);
    }
  }
  const answer = useAnswer(
    done.length === 0 || prompt === '' ? undefined : JSON.stringify([done, prompt, seed]),
    (signal) => api.steer({ prompt, features: done, seed, maxTokens: 64, temperature: 0.7 }, signal),
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
        <EditRow
          key={i}
          edit={edit}
          selfTest={runs.find((one) => one.run === edit.run)?.selfTest}
          kept={kept}
          onChange={(next) => change(edits.with(i, next))}
          onRemove={() => change(edits.filter((_, j) => j !== i))}
        />
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
            <input
              value={prompt}
              onChange={({ target: { value } }) =>
                setParams({ prompt: value === DEFAULT_PROMPT ? undefined : value })
              }
              spellCheck={false}
            />
          </label>
          <button type="button" onClick={() => setSeed(seed + 1)}>
            draw again
          </button>
          {done.length > 0 && <Samples prompt={prompt} answer={answer} />}
        </>
      )}
    </main>
  );
}
