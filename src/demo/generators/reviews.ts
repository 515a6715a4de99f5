/**
 * Product reviews made of sentences whose sentiment is known; mixed reviews change their mind in the middle.
 * Spans: `sentiment` (whole sentences; value: positive, negative, neutral), `stars`, `brand`, `product`.
 */
import type { Rng } from '../../shared/rng.ts';
import { createDraft, type Draft, type LabelledText } from '../labelled-text.ts';
import { brands, products } from '../word-lists.ts';

type Sentiment = 'positive' | 'negative' | 'neutral';

const praise = [
  'excellent',
  'lovely',
  'perfect',
  'wonderful',
  'superb',
  'great',
  'delightful',
  'reliable',
  'impressive',
  'beautiful',
] as const;
const blame = [
  'terrible',
  'awful',
  'disappointing',
  'useless',
  'cheap',
  'horrible',
  'faulty',
  'dreadful',
  'ugly',
  'poor',
] as const;
const parts = [
  'battery',
  'handle',
  'finish',
  'box',
  'strap',
  'cable',
  'button',
  'design',
  'sound',
  'weight',
  'colour',
  'manual',
  'zip',
  'lid',
] as const;
const people = [
  'my wife',
  'my husband',
  'my son',
  'my daughter',
  'my mother',
  'a friend',
  'my boss',
  'our neighbour',
] as const;

const sentences: Readonly<Record<Sentiment, readonly ((rng: Rng, name: string) => string)[]>> = {
  positive: [
    (_rng, name) => `I love this ${name}.`,
    (rng) => `The ${rng.pick(parts)} is ${rng.pick(praise)}.`,
    (rng) =>
      `It works ${rng.pick(['perfectly', 'like a charm', 'better than I expected', 'every single time'])}.`,
    (rng) => `${capital(rng.pick(people))} is ${rng.pick(['delighted', 'thrilled', 'very happy'])} with it.`,
    (rng) =>
      `An ${rng.pick(['absolute bargain', 'outstanding buy', 'honest and solid piece of work'])}, and the ${rng.pick(parts)} feels ${rng.pick(praise)}.`,
    () => 'Highly recommended, I would buy it again.',
    (rng) => `Worth every penny, the ${rng.pick(parts)} alone is ${rng.pick(praise)}.`,
  ],
  negative: [
    (_rng, name) => `I hate this ${name}.`,
    (rng) => `The ${rng.pick(parts)} is ${rng.pick(blame)}.`,
    (rng) =>
      `It broke ${rng.pick(['after two days', 'within a week', 'the first time I used it', 'before we even opened it'])}.`,
    (rng) =>
      `${capital(rng.pick(people))} was ${rng.pick(['furious', 'very disappointed', 'annoyed'])} and sent it back.`,
    (rng) =>
      `A ${rng.pick(['complete waste of money', 'painful mistake', 'bad joke'])}, and the ${rng.pick(parts)} looks ${rng.pick(blame)}.`,
    () => 'Avoid it, I want a refund.',
    (rng) => `The seller never answered and the ${rng.pick(parts)} is still ${rng.pick(blame)}.`,
  ],
  neutral: [
    (rng, name) =>
      `I bought this ${name} for ${rng.pick(people)} ${rng.pick(['last month', 'in March', 'two weeks ago', 'on a Friday'])}.`,
    (rng) => `It arrived in ${rng.int(9) + 2} days.`,
    (rng) => `The ${rng.pick(parts)} comes in ${rng.pick(['black', 'grey', 'green', 'two sizes'])}.`,
    (rng) => `I use it ${rng.pick(['at work', 'at home', 'twice a week', 'when I travel'])}.`,
    (rng) => `It replaces one that I had for ${rng.int(9) + 2} years.`,
  ],
};

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function putSentence(draft: Draft, rng: Rng, sentiment: Sentiment, brand: string, product: string): void {
  const text = rng.pick(sentences[sentiment])(rng, product);
  const at = text.indexOf(product);
  draft.mark(
    'sentiment',
    () => {
      if (at < 0) return draft.put(text);
      draft.put(text.slice(0, at));
      if (rng.int(2) === 0) {
        draft.mark('brand', brand);
        draft.put(' ');
      }
      draft.mark('product', product);
      draft.put(text.slice(at + product.length));
    },
    sentiment,
  );
}

/** One or two reviews of seven to ten sentences. */
export function generateReview(rng: Rng): LabelledText {
  const draft = createDraft();
  for (let review = 1 + rng.int(2); review > 0; review--) {
    const brand = rng.pick(brands);
    const product = rng.pick(products);
    const mood = rng.pick(['positive', 'negative', 'mixed'] as const);
    const stars = mood === 'positive' ? 4 + rng.int(2) : mood === 'negative' ? 1 + rng.int(2) : 3;
    draft.mark('stars', `${stars} out of 5 stars`, String(stars));
    draft.put('\n');
    const first: Sentiment = rng.int(2) === 0 ? 'positive' : 'negative';
    const count = 7 + rng.int(4);
    for (let i = 0; i < count; i++) {
      const second: Sentiment = first === 'positive' ? 'negative' : 'positive';
      const current: Sentiment = mood !== 'mixed' ? mood : i < count / 2 ? first : second;
      if (mood === 'mixed' && i === Math.ceil(count / 2)) draft.put('But then again: ');
      putSentence(draft, rng, i === 0 || rng.int(4) === 0 ? 'neutral' : current, brand, product);
      draft.put(i === count - 1 ? '\n' : ' ');
    }
    draft.put(review > 1 ? '\n' : '');
  }
  return draft.done();
}
