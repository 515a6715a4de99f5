/**
 * Several SAEs on the same rows: the fields that vary and their values. Every combination is one SAE.
 *
 *     { latents: [2048, 4096], seed: [0, 1, 2] }  ->  six configs that differ in F and seed only
 *
 * What decides which rows are read, and when, cannot vary: model, data, tokens, batch. `seed` varies the initialisation; the data have one
 * seed for all, so every SAE is the one that a single run with its config gives.
 */
import { z } from 'zod';
import { type TrainConfig, trainConfigSchema, trainFields } from './config.ts';
import { UsageError } from './errors.ts';
import { schemaVersionOf } from './migrate.ts';

const { shape } = trainFields;
const list = <T extends z.ZodType>(field: T) => z.array(field).min(1).optional();

export const gridSchema = z.strictObject({
  hook: list(shape.hook.unwrap()),
  latents: list(shape.latents.unwrap()),
  k: list(shape.k.unwrap()),
  variant: list(shape.variant.unwrap()),
  l0: list(shape.l0.unwrap()),
  sparsityCoefficient: list(shape.sparsityCoefficient.unwrap()),
  penaltyPower: list(shape.penaltyPower.unwrap()),
  lr: list(shape.lr.unwrap()),
  warmupTokens: list(shape.warmupTokens.unwrap()),
  decayTokens: list(shape.decayTokens.unwrap()),
  auxk: list(shape.auxk.unwrap()),
  auxkCoefficient: list(shape.auxkCoefficient.unwrap()),
  deadWindowTokens: list(shape.deadWindowTokens.unwrap()),
  freeze: list(shape.freeze.unwrap()),
  multiTopk: list(shape.multiTopk.unwrap()),
  ema: list(shape.ema.unwrap()),
  signed: list(shape.signed.unwrap()),
  tokenBias: list(shape.tokenBias.unwrap()),
  seed: list(shape.seed.unwrap()),
});
export type Grid = z.output<typeof gridSchema>;
export type GridField = keyof Grid;

/** A config file of `saekit train`: the config of a run, or of the runs of a grid. */
export const trainFileSchema = trainFields.extend({
  grid: gridSchema
    .optional()
    .describe('Train several SAEs on the same rows, one per combination of these values.'),
});

/** grid.json of a folder of runs. */
export const gridFileSchema = z.strictObject({
  schemaVersion: z.literal(schemaVersionOf('grid')),
  started: z.iso.datetime(),
  grid: gridSchema,
  members: z
    .array(z.strictObject({ folder: z.string(), config: trainConfigSchema }))
    .describe('Run folders beside this file, one per SAE.'),
});
export type GridFile = z.output<typeof gridFileSchema>;
export type GridMember = GridFile['members'][number];

/**
 * The configs of a grid, named after what varies.
 *
 * @throws UsageError when there are none, two alike, or a name that is no folder name
 * @example
 * expandGrid(config, { latents: [1024, 2048], seed: [0, 1] }).map(({ folder }) => folder);
 * // ['latents-1024_seed-0', 'latents-1024_seed-1', 'latents-2048_seed-0', 'latents-2048_seed-1']
 */
export function expandGrid(base: TrainConfig, grid: Grid): GridMember[] {
  const fields = Object.entries(grid).filter(([, values]) => values !== undefined) as [
    GridField,
    unknown[],
  ][];
  if (fields.length === 0)
    throw new UsageError('The grid names no field. Give values, such as --grid latents=2048,4096 seed=0,1.');
  const dataSeed = base.dataSeed ?? base.seed;
  let members: { folder: string; values: Record<string, unknown> }[] = [{ folder: '', values: {} }];
  for (const [field, values] of fields)
    members = members.flatMap((member) =>
      values.map((value) => ({
        folder: [member.folder, `${field}-${value}`].filter(Boolean).join('_'),
        values: { ...member.values, [field]: value },
      })),
    );
  const names = members.map(({ folder }) => folder);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new UsageError(`The grid has ${twice} twice. Give every value once.`);
  return members.map(({ folder, values }) => ({
    folder,
    config: { ...base, ...(values as Partial<TrainConfig>), dataSeed },
  }));
}
