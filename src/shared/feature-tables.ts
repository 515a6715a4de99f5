/**
 * Feature tables: what `saekit index` writes, Parquet files that any engine reads and in which a latent is one range of rows.
 *
 *     latents      one row per latent: how often, how strongly, on what, with whom, and what it does to the output
 *     activations  every activation, by latent, in text order          latents.activations_row, fired    say which rows
 *     examples     places in the text worth reading, by latent          latents.examples_row, examples
 *     groups       rates by label column, with tested differences       latents.groups_row, groups
 *     tokens       the text itself: row number = `at` everywhere else
 *     documents    labels of the documents
 *
 * `at` = sequence · T + position, over the packed rows in the order in which they were read.
 */
import { z } from 'zod';
import { evalConfigSchema, trainFields } from './config.ts';
import { schemaVersionOf } from './migrate.ts';
import { selfTestSchema } from './self-test.ts';

export const tablesSchemaVersion = schemaVersionOf('tables');

export type ColumnType = 'int32' | 'float' | 'double' | 'string' | 'int32[]' | 'float[]' | 'string[]';
export type Column = {
  readonly name: string;
  readonly type: ColumnType;
  /** A value may be missing. */
  readonly nullable?: true;
  readonly about: string;
};

export const QUANTILES = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99] as const;
export const HISTOGRAM_BINS = 40;

export const TABLES = {
  latents: [
    { name: 'latent', type: 'int32', about: 'Its number in the SAE, or of the direction.' },
    { name: 'name', type: 'string', nullable: true, about: 'Of a direction.' },
    { name: 'fired', type: 'int32', about: 'Measured tokens it fires on.' },
    { name: 'density', type: 'double', about: 'fired / measured tokens.' },
    { name: 'passages', type: 'int32', about: 'Passages (a document within one packed row) it fires in.' },
    { name: 'mean', type: 'float', about: 'Mean activation where it fires.' },
    { name: 'std', type: 'float', about: 'Standard deviation of those.' },
    { name: 'skewness', type: 'float', about: 'Third standardised moment of those.' },
    { name: 'max', type: 'float', about: 'Largest activation.' },
    {
      name: 'quantiles',
      type: 'float[]',
      about: `Of activations where it fires, at ${QUANTILES.join(', ')}.`,
    },
    { name: 'histogram', type: 'int32[]', about: `Activations in ${HISTOGRAM_BINS} equal bins of (0, max].` },
    { name: 'entropy', type: 'float', about: 'Entropy in nats of the peak token over a sample of passages.' },
    { name: 'peak_tokens', type: 'int32[]', about: 'Commonest tokens at the peaks of that sample.' },
    { name: 'peak_texts', type: 'string[]', about: 'The same as text.' },
    { name: 'peak_shares', type: 'float[]', about: 'Their shares of it.' },
    { name: 'guess', type: 'string', about: 'A label by rule; nobody checked it.' },
    {
      name: 'label',
      type: 'string',
      nullable: true,
      about: 'The single label that fits best, if any was given.',
    },
    { name: 'label_kind', type: 'string', nullable: true, about: 'register or concept' },
    { name: 'label_f1', type: 'float', nullable: true, about: 'F1 of that label on held-out documents.' },
    { name: 'label_precision', type: 'float', nullable: true, about: 'Its precision there.' },
    { name: 'label_recall', type: 'float', nullable: true, about: 'Its recall there.' },
    { name: 'label_threshold', type: 'float', nullable: true, about: 'On above this activation.' },
    {
      name: 'label_positives',
      type: 'int32',
      nullable: true,
      about: 'Tokens with that label there.',
    },
    { name: 'rank', type: 'int32', nullable: true, about: 'Place in the order of interestingness, 0 first.' },
    { name: 'interest', type: 'float', nullable: true, about: 'The score behind that order, 0 to 1.' },
    { name: 'raises', type: 'int32[]', about: 'Tokens whose logits it raises most.' },
    { name: 'raises_texts', type: 'string[]', about: 'The same as text.' },
    { name: 'raises_by', type: 'float[]', about: 'By how much per unit of activation.' },
    { name: 'lowers', type: 'int32[]', about: 'Tokens whose logits it lowers most.' },
    { name: 'lowers_texts', type: 'string[]', about: 'The same as text.' },
    { name: 'lowers_by', type: 'float[]', about: 'By how much per unit of activation.' },
    { name: 'neighbours', type: 'int32[]', about: 'Latents with the nearest decoder rows.' },
    { name: 'neighbour_cosines', type: 'float[]', about: 'Cosines of the decoder rows.' },
    { name: 'together', type: 'int32[]', about: 'Latents that fire on the same tokens, by Jaccard index.' },
    { name: 'together_jaccard', type: 'float[]', about: 'Tokens on which both fire / on which either does.' },
    { name: 'together_tokens', type: 'int32[]', about: 'Tokens of the sample on which both fire.' },
    { name: 'activations_row', type: 'int32', about: 'First row in activations; `fired` rows.' },
    { name: 'examples_row', type: 'int32', about: 'First row in examples.' },
    { name: 'examples', type: 'int32', about: 'Rows in examples.' },
    { name: 'groups_row', type: 'int32', about: 'First row in groups.' },
    { name: 'groups', type: 'int32', about: 'Rows in groups.' },
  ],
  activations: [
    { name: 'latent', type: 'int32', about: 'Latent.' },
    { name: 'value', type: 'float', about: 'Activation.' },
    { name: 'at', type: 'int32', about: 'Where: row of tokens; ascending within a latent.' },
  ],
  examples: [
    { name: 'latent', type: 'int32', about: 'Latent.' },
    {
      name: 'kind',
      type: 'string',
      about:
        'top: the passages with the largest peaks; decile: one passage per tenth of the peaks; interval: any token per tenth of (0, max]; random: any token it fires on; near_miss: one of its commonest tokens, where it does not fire.',
    },
    { name: 'rank', type: 'int32', about: 'From 0; for decile and interval which tenth, 9 the strongest.' },
    { name: 'value', type: 'float', about: 'Activation there; 0 for a near miss.' },
    { name: 'at', type: 'int32', about: 'Where: row of tokens.' },
  ],
  groups: [
    { name: 'latent', type: 'int32', about: 'Latent.' },
    { name: 'column', type: 'string', about: 'Label column of the documents.' },
    { name: 'value', type: 'string', about: 'One of its values.' },
    { name: 'tokens', type: 'int32', about: 'Measured tokens of those documents.' },
    { name: 'fired', type: 'int32', about: 'On how many of them it fires.' },
    { name: 'rate', type: 'double', about: 'fired / tokens.' },
    { name: 'rate_rest', type: 'double', about: 'The same in all other documents.' },
    {
      name: 'low',
      type: 'double',
      nullable: true,
      about: 'Of the 95 % interval of rate − rate_rest over documents.',
    },
    { name: 'high', type: 'double', nullable: true, about: 'Its other end.' },
    {
      name: 'p',
      type: 'double',
      nullable: true,
      about: 'Two-sided, over documents; missing below 10 documents on a side.',
    },
    {
      name: 'q',
      type: 'double',
      nullable: true,
      about: 'p adjusted for all rows of this table (Benjamini & Hochberg).',
    },
  ],
  tokens: [
    { name: 'id', type: 'int32', about: 'Token id.' },
    { name: 'document', type: 'int32', about: 'Row of documents; −1 for padding.' },
    { name: 'start', type: 'int32', about: 'First character in the document (UTF-16); −1 where not known.' },
    { name: 'end', type: 'int32', about: 'After its last character.' },
    {
      name: 'measured',
      type: 'int32',
      about: '1 for tokens that count; 0 for special tokens and those left out.',
    },
  ],
  documents: [
    { name: 'document', type: 'int32', about: 'Its number in the set that was read.' },
    { name: 'id', type: 'string', about: 'Its id, or file and line.' },
    { name: 'tokens', type: 'int32', about: 'Measured tokens read of it.' },
    // Then one string column per label column.
  ],
} as const satisfies Record<string, readonly Column[]>;
export type TableName = keyof typeof TABLES;

/** features/index.json: what the tables were made from. */
export const tablesManifestSchema = z.strictObject({
  schemaVersion: z.literal(tablesSchemaVersion),
  identity: z
    .string()
    .describe('Hash of model, SAE or directions, text and settings: another one is another index.'),
  model: z.string(),
  modelHash: z.string(),
  hook: z.string(),
  F: z.int().positive().describe('Latents of the SAE, or directions.'),
  latents: z.array(z.int()).optional().describe('Those in the tables, when not all of them.'),
  names: z.array(z.string()).optional().describe('Of directions.'),
  contextLength: z.int().positive().describe('T of `at`.'),
  balance: z
    .array(z.string())
    .optional()
    .describe(
      'Fields of the documents whose values had equal shares of the text; absent: documents at random.',
    ),
  tokens: z.int().describe('Measured tokens.'),
  positions: z.int().describe('Rows of tokens: special tokens and padding count.'),
  documents: z.int(),
  activations: z.int(),
  columns: z.array(z.string()).describe('Label columns of documents.'),
  selfTest: selfTestSchema
    .optional()
    .describe('Of the SAE, on its text; absent for directions and older tables.'),
  notes: z.array(z.string()),
});
export type TablesManifest = z.output<typeof tablesManifestSchema>;

/** `saekit index`: an SAE or directions + text -> feature tables. */
export const indexConfigSchema = z.strictObject({
  $schema: z.string().optional().describe('Path or URL of this schema, for editors.'),
  sae: z.string().describe('Run folder or SAE; with `directions`, the run that says model, hook and text.'),
  model: trainFields.shape.model.describe('Model folder or hub name. Default: the one of the run.'),
  hook: z.string().optional().describe('Hook point to read. Default: the one of the SAE.'),
  data: z.array(z.string()).optional().describe('Text to read whole. Default: the held-out text of the run.'),
  textField: z.string().optional().describe('Field with the text. Default: the one of the run, or text.'),
  contextLength: z.int().min(2).optional().describe('Tokens per row. Default: that of the run.'),
  maxTokens: z.int().positive().default(1_000_000).describe('Measured tokens to read at most.'),
  balance: z
    .array(z.string())
    .min(1)
    .optional()
    .describe(
      'Fields of the documents: where not all text is read, every value of each gets an equal share of it (register language: some of every language). Densities and rates are then of that text. Default: documents at random.',
    ),
  latents: z
    .array(z.int().nonnegative())
    .optional()
    .describe(
      'Only these latents (12 99, or 12,99), into the folder that `out` names where the tables of all are there. Default: all.',
    ),
  directions: z
    .string()
    .optional()
    .describe(
      'safetensors file of vectors [D], or matrices [n,D], to index as if each were a latent: z = max(0, x · d).',
    ),
  groups: z
    .array(z.string())
    .optional()
    .describe('Fields of the documents to compare. Default: all with 2 to 64 values.'),
  out: z.string().optional().describe('Folder of the tables. Default: features/ in the run folder.'),
  seed: z.int().nonnegative().default(0).describe('Of the order of documents and of the examples drawn.'),
  allowWrong: evalConfigSchema.shape.allowWrong.describe(
    'Index an SAE that the self-test says is not of this hook, model or scale, or directions of another hook or model.',
  ),
  device: trainFields.shape.device,
  lowMemory: trainFields.shape.lowMemory,
  screen: z
    .enum(['int8', 'none'])
    .optional()
    .describe(
      'int8: an int8 product says which latents can matter, those are computed in float32. The same codes for less work. Default: int8 where it can be had.',
    ),
});
export type IndexConfigInput = z.input<typeof indexConfigSchema>;
export type IndexConfig = z.output<typeof indexConfigSchema>;
