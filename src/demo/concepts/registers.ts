/** Concepts that hold for whole documents: registers, families of registers, and facts about a document. */
import { registers } from '../registers.ts';
import { type Concept, type LabelledDocument, whole } from './types.ts';

const ofDocument = (
  name: string,
  about: string,
  kind: Concept['kind'],
  holds: (document: LabelledDocument) => boolean,
): Concept => ({ name, about, kind, truth: (document) => whole(document, holds(document)) });

/** Languages are concepts of their own. */
const each = registers
  .filter(({ name }) => name !== 'languages')
  .map(({ name, about }) =>
    ofDocument(`register/${name}`, about, 'register', ({ register }) => register === name),
  );

const speech = ({ register }: LabelledDocument) => register === 'speeches';

export const registerConcepts: readonly Concept[] = [
  ...each,
  ofDocument('register/any-code', 'TypeScript, Python, CSS or HTML', 'register', ({ register }) =>
    ['typescript', 'python', 'css', 'html'].includes(register),
  ),
  ofDocument(
    'speech/democratic',
    'Speech of a Democratic president',
    'meaning',
    (d) => speech(d) && d.meta.party === 'Democratic',
  ),
  ofDocument(
    'speech/republican',
    'Speech of a Republican president',
    'meaning',
    (d) => speech(d) && d.meta.party === 'Republican',
  ),
  ofDocument(
    'speech/before-1860',
    'Speech from 1790 to 1859',
    'meaning',
    (d) => speech(d) && Number(d.meta.year) < 1860,
  ),
  ofDocument(
    'speech/since-1960',
    'Speech from 1960 on',
    'meaning',
    (d) => speech(d) && Number(d.meta.year) >= 1960,
  ),
  ofDocument(
    'scripture/new-testament',
    'A chapter of the New Testament',
    'meaning',
    ({ meta }) => meta.testament === 'new',
  ),
  ofDocument('definition/verb', 'Definitions of verbs', 'meaning', ({ meta }) => meta.part === 'verb'),
  ofDocument('definition/living', 'Definitions of animals and plants', 'meaning', ({ meta }) =>
    ['noun.animal', 'noun.plant'].includes(String(meta.category)),
  ),
  ofDocument(
    'definition/person',
    'Definitions of kinds of people and of persons',
    'meaning',
    ({ meta }) => meta.category === 'noun.person',
  ),
  ofDocument('country/economy', 'Economy of a country', 'meaning', ({ meta }) => meta.section === 'Economy'),
  ofDocument(
    'country/geography',
    'Geography of a country',
    'meaning',
    ({ meta }) => meta.section === 'Geography',
  ),
  ofDocument(
    'country/government',
    'Government of a country',
    'meaning',
    ({ meta }) => meta.section === 'Government',
  ),
];
