/**
 * Tables of comma-separated values with a header line; all rows have as many fields as the header.
 * Spans: `header`, `quoted-field` (with its quotes), `number-field`, `column` (every field after the header; value: the column's name).
 */
import type { Rng } from '../../shared/rng.ts';
import { createDraft, type LabelledText } from '../labelled-text.ts';
import { adjectives, brands, cities, firstNames, lastNames, nouns, products } from '../word-lists.ts';

const columns: Readonly<Record<string, (rng: Rng, row: number) => string>> = {
  id: (_, row) => String(row + 1),
  name: (rng) => `${rng.pick(firstNames)} ${rng.pick(lastNames)}`,
  city: (rng) => rng.pick(cities),
  age: (rng) => String(18 + rng.int(70)),
  price: (rng) => (rng.uniform() * 500).toFixed(2),
  quantity: (rng) => String(1 + rng.int(40)),
  product: (rng) => rng.pick(products),
  brand: (rng) => rng.pick(brands),
  score: (rng) => rng.uniform().toFixed(3),
  active: (rng) => rng.pick(['true', 'false', 'yes', 'no']),
  note: (rng) => `"${rng.pick(adjectives)}, ${rng.pick(adjectives)} ${rng.pick(nouns)}"`,
  email: (rng) => `${rng.pick(firstNames).toLowerCase()}@${rng.pick(nouns)}.org`,
  year: (rng) => String(1950 + rng.int(75)),
  temperature: (rng) => (10 + 12 * rng.normal()).toFixed(1),
  country_code: (rng) => rng.pick(['DE', 'FR', 'GB', 'IT', 'JP', 'KE', 'NG', 'PE', 'SE', 'US']),
};

/** A table of four to six columns and eight to fourteen rows. */
export function generateCsv(rng: Rng): LabelledText {
  const draft = createDraft();
  const names = new Set<string>();
  const width = 4 + rng.int(3);
  while (names.size < width) names.add(rng.pick(Object.keys(columns)));
  const chosen = [...names];
  draft.mark('header', chosen.join(','));
  draft.put('\n');
  const rows = 8 + rng.int(7);
  for (let row = 0; row < rows; row++) {
    for (const [i, name] of chosen.entries()) {
      if (i > 0) draft.put(',');
      const field = (columns[name] as (rng: Rng, row: number) => string)(rng, row);
      const kind = field.startsWith('"')
        ? 'quoted-field'
        : /^-?[\d.]+$/.test(field)
          ? 'number-field'
          : undefined;
      draft.mark('column', () => (kind === undefined ? draft.put(field) : draft.mark(kind, field)), name);
    }
    draft.put('\n');
  }
  return draft.done();
}
