/** Concepts of languages, scripts and of what a parallel text is about. */
import { type Concept, whole } from './types.ts';

/** Names and scripts of the languages of the corpus. */
export const corpusLanguages: Readonly<Record<string, string>> = {
  French: 'Latin',
  German: 'Latin',
  Spanish: 'Latin',
  Italian: 'Latin',
  Portuguese: 'Latin',
  Dutch: 'Latin',
  Polish: 'Latin',
  Swedish: 'Latin',
  Finnish: 'Latin',
  Hungarian: 'Latin',
  Turkish: 'Latin',
  Vietnamese: 'Latin',
  Welsh: 'Latin',
  Russian: 'Cyrillic',
  Ukrainian: 'Cyrillic',
  Greek: 'Greek',
  Arabic: 'Arabic',
  Persian: 'Arabic',
  Hebrew: 'Hebrew',
  Hindi: 'Devanagari',
  Georgian: 'Georgian',
  Armenian: 'Armenian',
  Thai: 'Thai',
  Korean: 'Hangul',
  Chinese: 'Han',
  Japanese: 'Kana',
};

const slug = (name: string) => name.toLowerCase();

const each: Concept[] = Object.keys(corpusLanguages).map((language) => ({
  name: `language/${slug(language)}`,
  about: `Text in ${language}`,
  kind: 'language',
  truth: (document) => whole(document, document.meta.language === language),
}));

/** Scripts that more than one language is written in, so that they differ from the languages; Latin: languages other than English. */
const scripts: Concept[] = ['Cyrillic', 'Arabic'].map((script) => ({
  name: `script/${slug(script)}`,
  about: `Text in ${script} script, whatever the language`,
  kind: 'language',
  truth: (document) => whole(document, document.meta.script === script),
}));

export const languageConcepts: readonly Concept[] = [
  ...each,
  ...scripts,
  {
    name: 'language/not-english',
    about: 'Text in any language but English',
    kind: 'language',
    truth: (document) => whole(document, document.register === 'languages'),
  },
  {
    name: 'language/human-rights',
    about: 'The Universal Declaration of Human Rights, whatever the language',
    kind: 'meaning',
    truth: (document) => whole(document, document.meta.source === 'udhr'),
  },
];
