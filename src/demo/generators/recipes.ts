/**
 * Recipes: a title, a list of ingredients with quantities, numbered steps that use those ingredients.
 * Spans: `title`, `ingredient` (in list and steps; value: its kind), `quantity`, `unit`, `cooking-verb`, `duration`, `temperature`.
 */
import type { Rng } from '../../shared/rng.ts';
import { createDraft, type Draft, type LabelledText } from '../labelled-text.ts';

const ingredients: Readonly<Record<string, readonly string[]>> = {
  vegetable: [
    'onion',
    'carrot',
    'potato',
    'leek',
    'tomato',
    'spinach',
    'pepper',
    'mushroom',
    'pumpkin',
    'cabbage',
    'celery',
    'aubergine',
  ],
  protein: [
    'chicken',
    'beef',
    'salmon',
    'tofu',
    'lentils',
    'chickpeas',
    'eggs',
    'bacon',
    'cod',
    'lamb',
    'beans',
    'prawns',
  ],
  dairy: ['butter', 'cream', 'milk', 'cheese', 'yoghurt'],
  grain: ['rice', 'flour', 'pasta', 'barley', 'oats', 'couscous', 'bread'],
  spice: [
    'salt',
    'pepper',
    'cumin',
    'paprika',
    'thyme',
    'ginger',
    'garlic',
    'cinnamon',
    'basil',
    'turmeric',
    'nutmeg',
  ],
  sweet: ['sugar', 'honey', 'chocolate', 'vanilla', 'apple', 'lemon', 'raisins', 'cherries'],
};
const units: Readonly<Record<string, readonly string[]>> = {
  vegetable: ['large', 'small', 'cups of', 'g of'],
  protein: ['g of', 'lb of', 'oz of'],
  dairy: ['tbsp of', 'ml of', 'cups of', 'g of'],
  grain: ['cups of', 'g of'],
  spice: ['tsp of', 'pinch of'],
  sweet: ['tbsp of', 'g of', 'cups of'],
};
const dishes = [
  'Soup',
  'Stew',
  'Pie',
  'Salad',
  'Curry',
  'Gratin',
  'Tart',
  'Risotto',
  'Casserole',
  'Cake',
  'Omelette',
  'Bake',
] as const;
const styles = [
  'Rustic',
  'Spiced',
  'Creamy',
  'Quick',
  'Slow',
  'Roasted',
  'Country',
  'Winter',
  'Golden',
  'Sunday',
] as const;
const preparations = ['Chop', 'Slice', 'Peel', 'Rinse', 'Grate', 'Dice', 'Crush'] as const;
const combinations = ['Add', 'Stir in', 'Mix in', 'Fold in', 'Pour in', 'Whisk in'] as const;

interface Ingredient {
  name: string;
  kind: string;
}

function putIngredient(draft: Draft, { name, kind }: Ingredient): void {
  draft.mark('ingredient', name, kind);
}

function putDuration(draft: Draft, rng: Rng): void {
  const minutes = 5 * (1 + rng.int(12));
  draft.mark('duration', minutes === 60 ? '1 hour' : `${minutes} minutes`);
}

function putStep(draft: Draft, rng: Rng, items: readonly Ingredient[], i: number): void {
  const first = items[i % items.length] as Ingredient;
  const second = items[(i + 1) % items.length] as Ingredient;
  switch (rng.int(4)) {
    case 0:
      draft.mark('cooking-verb', rng.pick(preparations));
      draft.put(' the ');
      putIngredient(draft, first);
      draft.put(
        rng.pick([' finely.', ' and set aside.', ' into small pieces.', ' and put it in a large bowl.']),
      );
      break;
    case 1:
      draft.mark('cooking-verb', rng.pick(combinations));
      draft.put(' the ');
      putIngredient(draft, first);
      draft.put(' and the ');
      putIngredient(draft, second);
      draft.put(
        rng.pick([', then season to taste.', ' and stir well.', ' until smooth.', ', little by little.']),
      );
      break;
    case 2:
      draft.put(rng.pick(['Cover and ', 'Lower the heat and ', 'Then ']));
      draft.mark('cooking-verb', rng.pick(['simmer', 'cook', 'fry', 'boil', 'steam']));
      draft.put(' for ');
      putDuration(draft, rng);
      draft.put(rng.pick([', stirring now and then.', ' until tender.', ' or until golden.']));
      if (rng.int(2) === 0) draft.put(' Keep warm.');
      break;
    default:
      draft.mark('cooking-verb', rng.pick(['Heat', 'Melt', 'Warm']));
      draft.put(' the ');
      putIngredient(draft, first);
      draft.put(
        rng.pick([
          ' in a deep pan over a medium heat.',
          ' in a saucepan.',
          ' in a heavy pot with a little oil.',
        ]),
      );
  }
}

/** One recipe with five or six ingredients and five to seven steps. */
export function generateRecipe(rng: Rng): LabelledText {
  const draft = createDraft();
  const kinds = ['vegetable', 'protein', 'dairy', 'grain', 'spice', 'sweet'].filter(() => rng.int(6) > 0);
  const items = kinds.map((kind) => ({ name: rng.pick(ingredients[kind] as readonly string[]), kind }));
  if (items.length < 2) items.push({ name: 'onion', kind: 'vegetable' }, { name: 'butter', kind: 'dairy' });
  const named = items[0] as Ingredient;
  draft.mark(
    'title',
    `${rng.pick(styles)} ${named.name.charAt(0).toUpperCase()}${named.name.slice(1)} ${rng.pick(dishes)}`,
  );
  draft.put(`\nServes ${2 + rng.int(7)}\n\n`);
  for (const item of items) {
    draft.put('- ');
    const unit = rng.pick(units[item.kind] as readonly string[]);
    draft.mark(
      'quantity',
      unit.startsWith('g') || unit.startsWith('ml')
        ? String(50 * (1 + rng.int(12)))
        : rng.pick(['1', '2', '3', '4', '1/2']),
    );
    draft.put(' ');
    draft.mark('unit', unit);
    draft.put(' ');
    putIngredient(draft, item);
    draft.put('\n');
  }
  draft.put('\n');
  const steps = 5 + rng.int(3);
  for (let i = 0; i < steps; i++) {
    draft.put(`${i + 1}. `);
    if (i === steps - 1) {
      draft.mark('cooking-verb', 'Bake');
      draft.put(' at ');
      draft.mark('temperature', `${160 + 10 * rng.int(8)} C`);
      draft.put(' for ');
      putDuration(draft, rng);
      draft.put(rng.pick([' and serve hot.', ' and serve with bread.', ', cool, and serve.']));
    } else putStep(draft, rng, items, i);
    draft.put('\n');
  }
  return draft.done();
}
