/**
 * Deterministic answers to "is this text of that register?", for counting what steering does. None of them uses a model.
 * Which texts they take and which they refuse was measured on held-out documents: see `checkers.test.ts`.
 */
import { checkCss, checkHtml, checkPython, checkTypescript } from './checkers/code.ts';
import {
  type Checker,
  checkArithmetic,
  checkBase64,
  checkBrackets,
  checkChess,
  checkCsv,
  checkDates,
  checkDna,
  checkHex,
  checkHttpLogs,
  checkJson,
  checkMoney,
  checkRecipes,
  checkReviews,
  checkUrls,
} from './checkers/formats.ts';
import { languageCheckers } from './checkers/languages.ts';

/** All checkers: generated registers and code by the register's name, languages by theirs (`english`, `french`, `russian`, …). */
export const checkers: Readonly<Record<string, Checker>> = {
  dna: checkDna,
  base64: checkBase64,
  hex: checkHex,
  dates: checkDates,
  urls: checkUrls,
  'http-logs': checkHttpLogs,
  csv: checkCsv,
  json: checkJson,
  arithmetic: checkArithmetic,
  brackets: checkBrackets,
  chess: checkChess,
  recipes: checkRecipes,
  money: checkMoney,
  reviews: checkReviews,
  typescript: checkTypescript,
  python: checkPython,
  css: checkCss,
  html: checkHtml,
  ...languageCheckers,
};

/**
 * Whether a text is of a register.
 *
 * @param name a key of `checkers`
 * @param text some 60 characters or more; its end may be cut
 * @throws Error for a name without a checker
 * @example
 * checkRegister('json', '{"city": "Lisbon", "years": [1, 2'); // true: a beginning of JSON
 */
export function checkRegister(name: string, text: string): boolean {
  const checker = checkers[name];
  if (checker === undefined)
    throw new Error(`no checker '${name}'; there are: ${Object.keys(checkers).join(', ')}`);
  return checker(text);
}
