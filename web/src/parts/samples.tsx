/** One prompt and seed, written on three times. The frames stand before the texts do, so that nothing jumps. */
import type { Steered } from '../api.ts';
import type { Answer } from '../use.ts';
import { Status } from './states.tsx';

const WAYS = [
  ['without', 'The same prompt and seed, nothing changed.', 'DEFAULT'],
  ['with', 'With what is chosen.', 'STEERED'],
  ['random', 'The control: other latents of the same SAEs in their place, as strong.', 'RANDOM'],
] as const;

export function Samples({ prompt, answer }: { prompt: string; answer: Answer<Steered> }) {
  // Texts stand behind the prompt that they were written for, also while another one is typed.
  const texts = answer.error === undefined ? answer.value : undefined;
  const begun = answer.error === undefined ? (texts?.prompt ?? prompt) : '';
  const written = (text: string) => (text.startsWith(begun) ? text.slice(begun.length) : text);
  return (
    <>
      <div className="state">
        <Status answer={answer} what="The model is writing" />
      </div>
      <div className={`samples${answer.waiting ? ' old' : ''}`} aria-live="polite">
        {WAYS.map(([name, about, way]) => (
          <div key={name} className={`sample ${name}`}>
            <span className="which" title={about}>
              {name}
            </span>
            <p>
              <span className="prompt">{begun}</span>
              {written(texts?.[way] ?? '')}
            </p>
          </div>
        ))}
      </div>
    </>
  );
}
