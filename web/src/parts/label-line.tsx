/** Label, guess and scores of a latent. A person's label is written here, and kept in labels.jsonl. */
import { useState } from 'react';
import { api, type Feature, Refused, type RunSummary } from '../api.ts';
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
  /** Label and note that the fields began with. */
  const [opened, setOpened] = useState<{ label: string; note: string }>();
  const [problem, setProblem] = useState<string>();
  const { run, latent, best, density, indexedOn, label = '', note = '' } = feature;
  /** Sends what was changed here alone: the other field may have been written elsewhere. */
  async function save(data: FormData): Promise<void> {
    const changed = (['label', 'note'] as const)
      .map((name) => [name, String(data.get(name))] as const)
      .filter(([name, text]) => text !== opened?.[name]);
    try {
      if (changed.length > 0)
        await api.label(run, latent, { ...Object.fromEntries(changed), was: { label, note } });
      close();
    } catch (error) {
      const meanwhile = error instanceof Refused && error.status === 409;
      setProblem(`${(error as Error).message}${meanwhile ? ' Save again to put yours in its place.' : ''}`);
      if (!meanwhile) return;
    }
    onChange();
  }
  function close(): void {
    setOpened(undefined);
    setProblem(undefined);
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
        <button
          type="button"
          onClick={() => (opened ? close() : setOpened({ label, note }))}
          aria-expanded={opened !== undefined}
        >
          {feature.label === undefined ? 'name it' : 'rename'}
        </button>
        <AddToList feature={feature} />
      </span>
      {opened && (
        <form
          className="edit"
          onSubmit={(event) => {
            event.preventDefault();
            void save(new FormData(event.currentTarget));
          }}
        >
          <label>
            Label <input name="label" defaultValue={opened.label} maxLength={500} />
          </label>
          <label>
            Note <input name="note" defaultValue={opened.note} maxLength={10_000} />
          </label>
          <button type="submit">save</button>
          {problem && <span role="alert">{problem}</span>}
        </form>
      )}
      {feature.note && !opened && <p className="fine">{feature.note}</p>}
    </header>
  );
}
