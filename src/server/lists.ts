/** Named lists of latents in one file on disk, read anew at every look: several servers, which take turns, or a person may write it. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { type FeatureList, featureListSchema } from '../shared/api.ts';
import { writeJson } from '../store/atomic.ts';
import { whileLocked } from '../store/lock.ts';

const MAX_LISTS = 1000;
const fileSchema = z.strictObject({ schemaVersion: z.literal(1), lists: z.array(featureListSchema) });

export type Lists = {
  all(): Promise<readonly FeatureList[]>;
  /**
   * Puts what `make` makes of the list of this name in its place, or at the end; `make` sees it as it is on disk at that moment, so that
   * nothing of another writer is lost.
   */
  update(name: string, make: (list: FeatureList | undefined) => FeatureList): Promise<FeatureList>;
  /** What was there. */
  remove(name: string): Promise<FeatureList | undefined>;
};

export function openLists(file: string): Lists {
  let last: Promise<unknown> = Promise.resolve();

  async function all(): Promise<readonly FeatureList[]> {
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return [];
    try {
      return fileSchema.parse(JSON.parse(text)).lists;
    } catch (error) {
      const [issue] = error instanceof z.ZodError ? error.issues : [];
      throw new Error(
        `${file} holds no lists that can be read (${issue ? `${issue.path.join('.')}: ${issue.message}` : (error as Error).message}). Mend it or move it away.`,
      );
    }
  }

  /** Changes one after the other, each on what the one before has left. */
  function change<T>(
    make: (lists: readonly FeatureList[]) => { lists: readonly FeatureList[]; value: T },
  ): Promise<T> {
    const write = async (): Promise<T> => {
      const before = await all();
      const { lists, value } = make(before);
      if (lists.length > MAX_LISTS)
        throw new RangeError(`There are ${MAX_LISTS} lists already; delete one first.`);
      if (lists !== before) await writeJson(file, { schemaVersion: 1, lists }, 'the lists');
      return value;
    };
    const done = last.then(() => whileLocked(file, write));
    last = done.catch(() => {});
    return done;
  }

  return {
    all,
    update: (name, make) =>
      change((lists) => {
        const before = lists.find((list) => list.name === name);
        const value = make(before);
        return {
          lists: before ? lists.map((list) => (list === before ? value : list)) : [...lists, value],
          value,
        };
      }),
    remove: (name) =>
      change((lists) => {
        const value = lists.find((list) => list.name === name);
        return { lists: value ? lists.filter((list) => list !== value) : lists, value };
      }),
  };
}
