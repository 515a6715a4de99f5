/**
 * Files that outlive the saekit that wrote them. Every JSON file of ours says its `schemaVersion`; a reader takes an older one
 * step by step to today's and only then looks at its fields:
 *
 *     version v --steps[kind][v - 1]--> v + 1 --...--> 1 + steps[kind].length, what this saekit writes
 *
 * To change a file so that an older reader would misunderstand it, add a step here; there is no other version number. A field that is
 * optional or has a default needs none. Steps are never changed or removed: `test/golden/runs/` keeps a folder of every version.
 */

type Fields = Readonly<Record<string, unknown>>;
/** The fields of the next version; `schemaVersion` is set for it. */
export type Migration = (old: Fields) => Fields;

const steps = {
  /** run.json */
  run: [],
  /** grid.json */
  grid: [],
  /** checkpoints/step-N/state.json, and `arrays`: a Map of those in state.safetensors by name, each a StreamedArray. */
  checkpoint: [],
  /** eval.json */
  eval: [],
  /** features/cards.json */
  cards: [],
  /** report.json of steer-report */
  steering: [],
  /** manifest.json of activations */
  activations: [],
  /** manifest.json of packed rows */
  tokens: [],
  /** features/index.json, and the tables beside it. 2: examples of kind interval; older tables have none. */
  tables: [(old) => old],
} as const satisfies Record<string, readonly Migration[]>;

export type FileKind = keyof typeof steps;

/** Written by a later saekit: nothing is wrong with it. */
export class NewerFile extends Error {
  override readonly name = 'NewerFile';
}

/** The version that this saekit writes. */
export const schemaVersionOf = (kind: FileKind): number => steps[kind].length + 1;

/** @throws NewerFile for a later version than `current`; when there is none */
export function checkVersion(value: unknown, current: number, file: string): number {
  const version = (value as { schemaVersion?: unknown } | null)?.schemaVersion;
  const reads = `this saekit reads ${current === 1 ? 1 : `1 to ${current}`}`;
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 1)
    throw new Error(
      `${file}: schemaVersion is ${JSON.stringify(version) ?? 'missing'}, ${reads}. The file is damaged, or not of saekit.`,
    );
  if (version > current) throw new NewerFile(`${file}: schema version ${version}, ${reads}. Update saekit.`);
  return version;
}

/** A parsed file taken through the steps that it lacks. */
export function upgrade(value: unknown, all: readonly Migration[], file: string): unknown {
  const version = checkVersion(value, all.length + 1, file);
  return all
    .slice(version - 1)
    .reduce((old, step, i) => ({ ...step(old), schemaVersion: version + i + 1 }), value as Fields);
}

/**
 * A parsed file as today's saekit would have written it.
 *
 * @param file for messages
 * @throws NewerFile for a later version ("Update saekit."); when there is none
 */
export const migrate = (kind: FileKind, value: unknown, file: string): unknown =>
  upgrade(value, steps[kind], file);
