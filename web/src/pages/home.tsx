/** The text lab: what the model notices in a text. Every token wears the colour of the latent that is most surprising there. */
import { useMemo, useRef, useState } from 'react';
import { api, type RunSummary, type TextActivations } from '../api.ts';
import { hue, tint } from '../colour.ts';
import { Layers } from '../parts/layers.tsx';
import { Link } from '../parts/link.tsx';
import { Origin } from '../parts/name.tsx';
import { SaeMark } from '../parts/sae-mark.tsx';
import { Status, TooLong } from '../parts/states.tsx';
import { Strip } from '../parts/strip.tsx';
import { placed } from '../placed.ts';
import { SAMPLES } from '../samples.ts';
import { setParams, useAnswer, usePlace } from '../use.ts';
import { featurePath, figure, grouped, indexText, rarity, short, titleOf, visible } from '../words.ts';

/** Latents that have a card and a colour; further ones are a search away. */
const CARDS = 24;

type InText = TextActivations['features'][number];
type Active = { readonly feature: InText; readonly value: number; readonly surprise: number };

/** How remarkable an activation is: its share of the latent's maximum, times how rare the latent is in nats. */
const surpriseOf = ({ maximum, density }: InText, value: number): number =>
  maximum && density ? Math.min(1, value / maximum) * -Math.log(density) : value / 1e6;

/**
 * The latents that the text is about, chosen one by one: the next is the one with the largest sum, over the tokens, of its surprise divided by
 * 1 + the latents chosen that fire there already. So a whole stretch counts more than a single word, and no stretch takes all the places.
 * And of every token those among them, most surprising first.
 */
function readTokens({ values, features }: TextActivations): { cards: InText[]; tokens: Active[][] } {
  const byLatent = new Map(features.map((feature) => [feature.latent, feature]));
  const all = values.map((active) =>
    active.flatMap(({ latent, value }): Active[] => {
      const feature = byLatent.get(latent);
      return feature ? [{ feature, value, surprise: surpriseOf(feature, value) }] : [];
    }),
  );
  const covered = new Array<number>(values.length).fill(0);
  const cards = new Set<InText>();
  while (cards.size < Math.min(CARDS, features.length)) {
    const gain = new Map<InText, number>();
    for (const [t, active] of all.entries())
      for (const { feature, surprise } of active)
        if (!cards.has(feature)) gain.set(feature, (gain.get(feature) ?? 0) + surprise / (1 + covered[t]!));
    const [best] = [...gain].reduce((a, b) => (b[1] > a[1] ? b : a));
    cards.add(best);
    for (const [t, active] of all.entries())
      if (active.some(({ feature }) => feature === best)) covered[t]!++;
  }
  const tokens = all.map((active) =>
    active.filter(({ feature }) => cards.has(feature)).sort((a, b) => b.surprise - a.surprise),
  );
  return { cards: [...cards], tokens };
}

export function Home({ run, runs }: { run: RunSummary; runs: readonly RunSummary[] }) {
  const place = usePlace();
  const given = place.searchParams.get('text');
  const text = given ?? SAMPLES[0]!.text;
  const answer = useAnswer(
    text === '' ? undefined : `${run.run}\n${text}`,
    (signal) => api.readText(run.run, text, signal),
    { delay: 40 },
  );
  const [hovered, setHovered] = useState<number>();
  const [chosen, setChosen] = useState<number>();
  const read = text === '' ? undefined : answer.value;
  const { tokens, cards } = useMemo(
    () => (read ? readTokens(read) : { tokens: undefined, cards: [] }),
    [read],
  );
  const field = useRef<HTMLTextAreaElement>(null);
  // What was read belongs to the text before the last key: colours move with the characters that are the same.
  const shown = useMemo(() => (read ? placed(read, text) : [{ text, t: -1 }]), [read, text]);
  const strength = (t: number, latent: number): number =>
    read?.values[t]?.find((active) => active.latent === latent)?.value ?? 0;

  const styleOf = (t: number) => {
    if (t < 0 || !tokens) return undefined;
    if (chosen !== undefined) {
      const feature = cards.find(({ latent }) => latent === chosen);
      const value = strength(t, chosen);
      return feature && value > 0 ? tint(chosen, value, feature.maximum ?? feature.inText) : undefined;
    }
    const [first] = tokens[t] ?? [];
    return first
      ? tint(first.feature.latent, first.value, first.feature.maximum ?? first.feature.inText)
      : undefined;
  };
  /** The token at a place of the text, at its end the last one. */
  const tokenAt = (place: number): number | undefined => {
    let end = 0;
    const at = shown.find(({ text }) => place < (end += text.length)) ?? shown.at(-1);
    return at && at.t >= 0 ? at.t : undefined;
  };
  const under = (x: number, y: number): number | undefined => {
    for (const element of document.elementsFromPoint(x, y)) {
      const t = element instanceof HTMLElement ? element.dataset.t : undefined;
      if (t !== undefined) return Number(t);
    }
    return undefined;
  };

  return (
    <main className="home">
      <h1>What does this model notice?</h1>
      <p className="lead">
        {run.model?.endsWith('demo/model')
          ? 'This small model has read speeches, code, recipes, games and two dozen languages. Below is what it notices.'
          : `${run.model ?? 'The model'}, read by ${grouped(run.latents ?? 0)} latents at ${run.hook ?? 'its hook'}.`}{' '}
        Change the text; point at a word.
      </p>
      <Layers
        runs={runs}
        run={run.run}
        to={(other) => `/?${new URLSearchParams({ ...(given === null ? {} : { text: given }), run: other })}`}
      />
      <div className="chips" role="group" aria-label="Texts to begin with">
        {SAMPLES.map((sample) => (
          <button
            key={sample.name}
            type="button"
            className={sample.text === text ? 'on' : ''}
            onClick={() => sample.text !== text && setParams({ text: sample.text }, { replace: false })}
          >
            {sample.name}
          </button>
        ))}
      </div>
      <div className="lab">
        <section className="text" aria-label="Text">
          <div className="editor" aria-busy={answer.waiting}>
            <div className="backdrop" aria-hidden="true">
              {shown.map(({ text: token, t }, i) => (
                <span
                  key={i}
                  data-t={t < 0 ? undefined : t}
                  className={`tok${t >= 0 && t === hovered ? ' hovered' : ''}`}
                  style={styleOf(t)}
                >
                  {token}
                </span>
              ))}
              {'\n'}
            </div>
            <textarea
              ref={field}
              value={text}
              spellCheck={false}
              aria-label="Text that the model reads"
              onChange={(event) => {
                setHovered(undefined);
                setParams({ text: event.target.value });
              }}
              onKeyUp={({ key, currentTarget }) => {
                if (/^(Arrow|Home|End|Page)/.test(key)) setHovered(tokenAt(currentTarget.selectionStart));
              }}
              onBlur={() => setHovered(undefined)}
              onMouseMove={(event) => setHovered(under(event.clientX, event.clientY))}
              onMouseLeave={() => setHovered(undefined)}
            />
          </div>
          <Status answer={answer} what="The model is reading" />
          <TooLong />
          {read && read.cut > 0 && (
            <p className="fine">{read.cut} tokens at the end did not fit into the model's context.</p>
          )}
          <TokenDetail
            t={hovered}
            token={hovered === undefined ? undefined : read?.tokens[hovered]}
            active={hovered === undefined ? undefined : tokens?.[hovered]}
          />
        </section>
        <section
          className={`cards${answer.error === undefined ? '' : ' past'}`}
          aria-label="Latents of this text, those that it is most about first"
        >
          {cards.map((feature) => (
            <Link
              key={feature.latent}
              href={featurePath(feature, { text })}
              className={`card${hovered !== undefined && strength(hovered, feature.latent) > 0 ? ' lit' : ''}`}
              style={hue(feature.latent)}
              onMouseEnter={() => setChosen(feature.latent)}
              onMouseLeave={() => setChosen(undefined)}
              onFocus={() => setChosen(feature.latent)}
              onBlur={() => setChosen(undefined)}
            >
              <span className="line">
                <span className="dot" aria-hidden="true" />
                <span className="title">{titleOf(feature)}</span>
                <Origin {...feature} />
              </span>
              <Strip
                values={read!.tokens.map((_, t) => strength(t, feature.latent))}
                maximum={feature.maximum ?? feature.inText}
              />
              <span className="line fine">
                <span>#{feature.latent}</span>
                <span title="Its strongest activation here, and in the text it was indexed on.">
                  on <bdi>{visible(read!.tokens[feature.position] ?? '')}</bdi> {short(feature.inText)}
                  {feature.maximum ? `, indexed up to ${short(feature.maximum)}` : ''}
                </span>
                <span>{rarity(feature.density)}</span>
              </span>
            </Link>
          ))}
          {text === '' && <p className="fine">Type something, or take one of the texts above.</p>}
          {read && cards.length === 0 && <p className="fine">No latent fires in this text.</p>}
        </section>
      </div>
      <footer className="foot">
        <SaeMark selfTest={run.selfTest} /> {run.finished && <>Trained on {run.finished.slice(0, 10)}. </>}
        {grouped(run.latents ?? 0)} latents, L0 {figure(run.l0, 0)}, FVU {figure(run.fvu)}, ΔCE{' '}
        {figure(run.deltaCe)} nats. {run.indexedOn && `Indexed on ${indexText(run.indexedOn)}. `}
        {runs.length > 1 ? (
          <Link href="/runs">{runs.length} runs</Link>
        ) : (
          <Link href={`/runs/${encodeURIComponent(run.run)}`}>More about this run</Link>
        )}
      </footer>
    </main>
  );
}

function TokenDetail({
  t,
  token,
  active,
}: {
  t: number | undefined;
  token: string | undefined;
  active: Active[] | undefined;
}) {
  if (t === undefined || token === undefined || !active)
    return (
      <p className="detail fine">
        Point at a word, or move the cursor to it with the arrow keys, to see its latents.
      </p>
    );
  return (
    <div className="detail" aria-live="polite">
      <code>{visible(token)}</code>
      {active.slice(0, 5).map(({ feature, value }) => (
        <span key={feature.latent} className="fact-chip" style={hue(feature.latent)}>
          <span className="dot" aria-hidden="true" /> <bdi>{titleOf(feature)}</bdi> {short(value)}
          {feature.maximum
            ? ` (${Math.round((100 * value) / feature.maximum)} % of its largest in the index)`
            : ''}
        </span>
      ))}
      {active.length === 0 && <span className="fine">nothing fires here</span>}
    </div>
  );
}
