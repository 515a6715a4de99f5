/** Label, guess and scores of a latent. A person's label is written here, and kept in labels.jsonl. */
import { useState } from 'react';
import { api, type Feature, type RunSummary } from '../api.ts';
import { hue } from '../colour.ts';
import { figure, indexText, rarity, titleOf } from '../words.ts';
import { AddToList } from './add-to-list.tsx';
import { Origin } from './name.tsx';
import { SaeMark } from './sae-mark.tsx';

export function LabelLine({
  feature,
  selfTest,
  onChange,
}: {
  feature: Feature;
  selfTest: RunSummary['selfTest'] | undefined;
  onChange: () => void;
}) {
  const [editing, setEditing] = useState(false);
  const [problem, setProblem] = useState<string>();
  const { run, latent, best, density, indexedOn } = feature;
  async function save(data: FormData): Promise<void> {
    try {
      await api.label(run, latent, { label: String(data.get('label')), note: String(data.get('note')) });
      setEditing(false);
      setProblem(undefined);
      onChange();
    } catch (error) {
      setProblem((error as Error).message);
    }
  }
  return (
    <header className="label-line" style={hue(latent)}>
      <h1>
        <span className="dot" aria-hidden="true" /> <span className="id">#{latent}</span>{' '}
        <bdi>{titleOf(feature)}</bdi>
      </h1>
      <span className="facts">
        <SaeMark selfTest={selfTest} />
        <Origin {...feature} />
        {best && (
          <span
            className={best.f1 >= 0.5 ? '' : 'weak'}
            title={`The label that fits best: ${best.label}. F1 on documents it was not chosen on; precision ${figure(best.precision, 2)}, recall ${figure(best.recall, 2)}.`}
          >
            best label {best.label}, F1 {figure(best.f1, 2)}
          </span>
        )}
        <span title={indexedOn && `Of ${indexText(indexedOn)}`}>{rarity(density)}</span>
        <button type="button" onClick={() => setEditing(!editing)} aria-expanded={editing}>
          {feature.label === undefined ? 'name it' : 'rename'}
        </button>
        <AddToList feature={feature} />
      </span>
      {editing && (
        <form
          className="edit"
          onSubmit={(event) => {
            event.preventDefault();
            void save(new FormData(event.currentTarget));
          }}
        >
          <label>
            Label <input name="label" defaultValue={feature.label ?? ''} maxLength={500} />
          </label>
          <label>
            Note <input name="note" defaultValue={feature.note ?? ''} maxLength={10_000} />
          </label>
          <button type="submit">save</button>
          {problem && <span role="alert">{problem}</span>}
        </form>
      )}
      {feature.note && !editing && <p className="fine">{feature.note}</p>}
    </header>
  );
}
