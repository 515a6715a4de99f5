/** What a latent does to the output: the tokens it raises and lowers, and texts with it turned up or down. */
import { useEffect, useRef, useState } from 'react';
import { api, type Feature } from '../api.ts';
import { LEAST, MOST, STEP, strengthIn, USUAL, unitOf } from '../steering.ts';
import { setParams, useAnswer, usePlace } from '../use.ts';
import { short, visible } from '../words.ts';
import { Samples } from './samples.tsx';

function Effects({
  title,
  effects,
  most,
}: {
  title: string;
  effects: NonNullable<Feature['raises']>;
  most: number;
}) {
  return (
    <div className={`effects ${title}`}>
      <h3>{title}</h3>
      <ul>
        {effects.slice(0, 8).map(({ token, id, effect }) => (
          <li key={id} title={`logit ${effect > 0 ? '+' : ''}${effect.toFixed(3)} per unit of activation`}>
            <span
              className="bar"
              style={{ width: `${most > 0 ? (100 * Math.abs(effect)) / most : 0}%` }}
              aria-hidden="true"
            />
            <code>{visible(token)}</code>
          </li>
        ))}
      </ul>
    </div>
  );
}

export const DEFAULT_PROMPT = 'The meeting will be held';

export function Writes({ feature }: { feature: Feature }) {
  const { searchParams } = usePlace();
  const [strength, setStrength] = useState(strengthIn(searchParams));
  const [prompt, setPrompt] = useState(searchParams.get('prompt') ?? DEFAULT_PROMPT);
  const [mode, setMode] = useState<'add' | 'clamp'>(searchParams.get('mode') === 'clamp' ? 'clamp' : 'add');
  const [seed, setSeed] = useState(1);
  const slider = useRef<HTMLInputElement>(null);
  const unit = unitOf(feature);
  const value = strength * unit;
  const { run, latent } = feature;
  const key = JSON.stringify([run, latent, value, prompt, mode, seed]);
  const answer = useAnswer(
    prompt === '' ? undefined : key,
    (signal) =>
      api.steer(
        { prompt, features: [{ run, latent, mode, value }], seed, maxTokens: 48, temperature: 0.7 },
        signal,
      ),
    { delay: 150 },
  );
  useEffect(() => {
    const named = (name: string, given: string, usual: string) => ({
      [name]: given === usual ? undefined : given,
    });
    setParams({
      ...named('strength', String(strength), String(USUAL)),
      ...named('prompt', prompt, DEFAULT_PROMPT),
      ...named('mode', mode, 'add'),
    });
  }, [strength, prompt, mode]);
  const { raises = [], lowers = [] } = feature;
  const most = Math.max(0, ...[...raises, ...lowers].map(({ effect }) => Math.abs(effect)));
  return (
    <section className="writes" aria-label="Writes">
      <h2>
        Writes <span className="fine">what it does to the output</span>
      </h2>
      {raises.length > 0 ? (
        <div className="effect-lists">
          <Effects title="raises" effects={raises} most={most} />
          <Effects title="lowers" effects={lowers} most={most} />
        </div>
      ) : (
        <p className="fine">This model has no output tokens to raise or lower.</p>
      )}
      <div className="steer">
        <label className="slider">
          <span>
            Strength{' '}
            <output>
              {strength > 0 ? '+' : ''}
              {strength} ×
            </output>{' '}
            <span className="fine">
              {feature.maximum !== undefined
                ? `its largest activation (${short(unit)})`
                : `${short(unit)}: ${feature.density === 0 ? 'it never fired in the index' : 'its largest activation is not known'}`}
            </span>
          </span>
          <input
            ref={slider}
            id="steer-strength"
            type="range"
            min={LEAST}
            max={MOST}
            step={STEP}
            value={strength}
            onChange={(event) => setStrength(Number(event.target.value))}
          />
        </label>
        <div className="modes" role="radiogroup" aria-label="How">
          {(['add', 'clamp'] as const).map((name) => (
            <label key={name}>
              <input type="radio" name="mode" checked={mode === name} onChange={() => setMode(name)} /> {name}
            </label>
          ))}
          <button type="button" onClick={() => setSeed(seed + 1)}>
            draw again
          </button>
        </div>
        <label className="prompt-field">
          <span>Prompt</span>
          <input value={prompt} onChange={(event) => setPrompt(event.target.value)} spellCheck={false} />
        </label>
        <Samples prompt={prompt} answer={answer} />
      </div>
    </section>
  );
}
