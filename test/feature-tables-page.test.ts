// To bring the page up to date: npm test -- test/feature-tables-page.test.ts -u
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Column, TABLES } from '../src/shared/feature-tables.ts';
import { root } from './repository.ts';

const INTRO = `# Feature tables

    saekit index runs/first                                   # tables in runs/first/features
    saekit index runs/first --balance register language       # some text of every register and language
    saekit index runs/first --latents 12 99 --out some        # of some latents
    saekit index runs/first --directions probe.safetensors --out probe

\`saekit index\` reads held-out text (or \`--data\`) through model and SAE once and writes Parquet files. \`at\` is a place in that text: row of
\`tokens\`, sequence · T + position. Rows of a latent are next to each other in every table, and \`latents\` says where: one latent is one range.

- **Which text**: whole documents in random order, as far as \`--max-tokens\` goes. \`--balance FIELD …\` takes an equal share, in bytes, of every value of
  these fields instead: rare registers and languages are in a small index, too. Densities, rates, F1 and p are of the text that was read, and then not of
  the corpus; \`index.json\` says so. Where all text is read, the order is all that differs.
- **Examples**: \`decile\` is by number, one passage of every tenth of the passages: how strong it mostly is. \`interval\` is by strength, one token of every
  tenth of (0, max]: what it fires on when it is half on. Passages with small peaks are the most of many latents, so deciles alone show little of the range.
- **How**: text to codes in blocks of 16,384 tokens, kept in \`.index/\` until the tables are whole; then latents in ranges of at most 16 million
  activations. Memory: 40 bytes per token of text, 8 per activation of a range, 700 per latent, and 256 for every label that a latent fires on. Ctrl-C stops; the same command goes on.
- **Directions** are rows of a safetensors file, [D] or [n, D]: a probe, a difference of means. Each is a latent with z = max(0, x · d / |d|).
  A file that says another hook or model (those of \`saekit vector\` say theirs) is refused without \`--allow-wrong\`.
- **Groups** are fields of the documents (register, party, language, …). Rates are compared over documents, not over tokens, which go
  together; p is of Student's t with Welch's degrees of freedom, q of Benjamini and Hochberg over all rows of the table. Fewer than 10 documents on a
  side are not tested. Documents that a tokenized folder no longer knows have no fields. A field called like a column of \`documents\` (\`document\`, \`id\`,
  \`tokens\`; capitals are no difference) is \`tokens_label\` there and in \`groups\`; the notes of \`index.json\` say so.
- **Chosen latents** (\`--latents\`) have the rows that they have among all, but for rank and interest (among those chosen) and F1 (on a sample drawn anew). They do not take the place of
  the tables of all latents unless \`--out\` names their folder.
- **Guesses** are made by rule and never checked; labels of persons are in \`labels.jsonl\`.
- The tables of the bundled SAE are the same files made small by \`scripts/demo/pack.ts\`: what was measured is rounded to 12 bits, pages are gzipped. They
  are of 34,000 tokens, balanced over register and language: some of everything, and so of most registers fewer than the 10 documents that a test takes.

Dashboards of other programs:

    saekit features export runs/first dashboards                       # Neuronpedia's batches
    saekit features export runs/first viewer --to openai-viewer        # one JSON file per latent, for openai/sparse_autoencoder's viewer
    saekit features import runs/first downloaded/gpt2-small/6-res-jb   # labels and cards from a Neuronpedia export

Imported labels are marked as such and never take the place of a person's (\`--replace\` does); of several explanations of a latent the last counts. What is of another
SAE is refused: an index beyond its latents, another hook, layer or model where both sides say one (\`--model-id\` vouches for a name), and another number of
latents. Exports do not say how many there are, so rows must be there of half of the SAE's latents, and end where chance lets them end (P >= 1e-6);
\`--partial\` takes a part.

In the library:

    const tables = await openFeatureTables('runs/first/features');
    const { guess, fired, raises } = await tables.latent(1234);
    const places = await tables.examples(1234);
    const z = await tables.valuesAt(1234, places[0].at - 16, places[0].at + 9);

With DuckDB:

    SELECT latent, guess, density FROM 'runs/first/features/latents.parquet' WHERE label_f1 > 0.8 ORDER BY rank;
    SELECT l.guess, g.* FROM 'runs/first/features/groups.parquet' g JOIN 'runs/first/features/latents.parquet' l USING (latent)
      WHERE g."column" = 'register' AND g.q < 0.01 ORDER BY g.rate - g.rate_rest DESC LIMIT 20;
`;

it('keeps docs/feature-tables.md equal to the tables that are written', async () => {
  const sections = Object.entries(TABLES).map(([name, columns]) => {
    const rows = (columns as readonly Column[]).map(
      ({ name: column, type, nullable, about }) =>
        `| \`${column}\` | ${type}${nullable ? ', may be missing' : ''} | ${about} |`,
    );
    const more = name === 'documents' ? '\n\nThen one string column per label column.' : '';
    return `\n## ${name}.parquet\n\n| column | type | |\n| --- | --- | --- |\n${rows.join('\n')}${more}\n`;
  });
  await expect(`${INTRO}${sections.join('')}`).toMatchFileSnapshot(join(root, 'docs/feature-tables.md'));
});
