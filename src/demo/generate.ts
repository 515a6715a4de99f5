/**
 * All generators by the name of their register. They are endless and deterministic: a document is its register and its seed.
 */
import { createRng, type Rng } from '../shared/rng.ts';
import { generateArithmetic } from './generators/arithmetic.ts';
import { generateBrackets } from './generators/brackets.ts';
import { generateChess } from './generators/chess.ts';
import { generateCsv } from './generators/csv.ts';
import { generateDates } from './generators/dates.ts';
import { generateDna } from './generators/dna.ts';
import { generateBase64, generateHex } from './generators/encodings.ts';
import { generateJson } from './generators/json.ts';
import { generateMoney } from './generators/money.ts';
import { generateRecipe } from './generators/recipes.ts';
import { generateReview } from './generators/reviews.ts';
import { generateHttpLog, generateUrls } from './generators/web.ts';
import type { LabelledText } from './labelled-text.ts';

/** Makes one document; the same state of the generator gives the same document. */
export type Generator = (rng: Rng) => LabelledText;

export const generators = {
  dna: generateDna,
  base64: generateBase64,
  hex: generateHex,
  dates: generateDates,
  urls: generateUrls,
  'http-logs': generateHttpLog,
  csv: generateCsv,
  json: generateJson,
  arithmetic: generateArithmetic,
  brackets: generateBrackets,
  chess: generateChess,
  recipes: generateRecipe,
  money: generateMoney,
  reviews: generateReview,
} as const satisfies Record<string, Generator>;

/** The name of a register whose text is generated. */
export type GeneratedRegister = keyof typeof generators;

/**
 * The document of a seed.
 *
 * @example
 * generate('chess', 'chess/heldout/3').text; // '1. d4 Nf6 2. …', always the same game
 */
export function generate(register: GeneratedRegister, seed: string): LabelledText {
  return generators[register](createRng(seed));
}
