import { z } from 'zod';
import { trainConfigSchema } from './config.ts';
import { schemaVersionOf } from './migrate.ts';

export const runSchemaVersion = schemaVersionOf('run');

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);

/** What a result depends on besides the config. */
export const provenanceSchema = z.strictObject({
  model: z
    .strictObject({
      name: z.string(),
      family: z.string(),
      hash: z
        .string()
        .describe(
          'Of config.json, the headers and sizes of the weight files, and a piece of every tensor after a hyphen.',
        ),
      parameters: z.int().nonnegative(),
      quantization: z
        .string()
        .optional()
        .describe('How the weights were stored where that loses something: `Q4_1, dequantised to float32`.'),
      commit: z.string().optional().describe('Of the repository on the hub that it came from.'),
      files: z
        .record(z.string(), z.string())
        .optional()
        .describe('Of a model from the hub: the sha256 of each file, or the git blob id of small ones.'),
    })
    .optional()
    .describe('Absent when stored activations were trained on.'),
  activations: z
    .strictObject({
      path: z.string(),
      format: z.string(),
      rows: z.int().positive(),
      D: z.int().positive(),
      fingerprint: z.string().describe('Of their content, as a continued run checks it.'),
      model: z.string().optional().describe('That they say they are from, and'),
      modelHash: z.string().optional().describe('its hash, as in `model`;'),
      hook: z.string().optional().describe('where they were taken.'),
    })
    .optional()
    .describe('Stored activations that were trained on.'),
  data: z
    .array(
      z.strictObject({
        path: z.string().describe('From the hub: org/name@commit/path.'),
        bytes: z.int().nonnegative(),
        sha256: z.string().describe('Of the file as it lies on disk, compressed or not.'),
        documents: z.int().nonnegative(),
      }),
    )
    .describe('Every data file, held-out files included; none with stored activations.'),
  initialSae: z
    .strictObject({
      path: z.string(),
      sha256: z.string().describe('Of cfg.json and sae_weights.safetensors, one after the other.'),
    })
    .optional()
    .describe('The SAE that training started from.'),
  split: z.string().describe('How documents were divided into training and held-out, in words.'),
  saekit: z.string(),
  node: z.string(),
  engine: z.string().describe('ONNX Runtime package and version.'),
  machine: z.string().describe('Operating system, processor architecture, hardware threads.'),
});
export type Provenance = z.output<typeof provenanceSchema>;

/** run.json: what was run, on what, and what came out. */
export const runSchema = z.strictObject({
  schemaVersion: z.literal(runSchemaVersion),
  status: z
    .enum(['running', 'interrupted', 'failed', 'finished'])
    .describe('`running` without a live lock means that the process died.'),
  config: trainConfigSchema.describe('As the person gave it, defaults filled in.'),
  resolved: z.record(z.string(), scalar).describe('Derived settings: hook, lr, steps, …'),
  seeds: z.record(z.string(), z.union([z.string(), z.number()])).describe('Every seed that was used.'),
  provenance: provenanceSchema,
  started: z.iso.datetime().describe('UTC.'),
  finished: z.iso.datetime().optional().describe('UTC; when the run ended, however it ended.'),
  step: z.int().nonnegative().describe('Optimizer steps done.'),
  metrics: z
    .record(z.string(), scalar)
    .optional()
    .describe('Final metrics, from the last line of metrics.jsonl.'),
});
export type Run = z.output<typeof runSchema>;

/** One line of metrics.jsonl: `step` and any numbers beside it. */
export type MetricsLine = { readonly step: number } & Readonly<
  Record<string, number | string | boolean | null>
>;
