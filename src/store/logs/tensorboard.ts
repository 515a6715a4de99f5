/**
 * Metrics as a TensorBoard event file in the run folder: `tensorboard --logdir runs`. One scalar per number of a line, under its name.
 * A continued run cuts the earlier files after the step that it goes on from and writes a new one, so that no step is there
 * twice and TensorBoard has nothing to purge.
 */
import { readdir, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { endOfStep, scalarRecord, versionRecord } from '../../formats/tfevents.ts';
import { type Disk, disk, explainFull } from '../atomic.ts';
import type { MetricSink } from '../types.ts';

const NAME = /^events\.out\.tfevents\.(\d+)\.saekit$/;

export type TensorboardOptions = {
  /** The step that a continued run goes on from. */
  readonly after?: number | undefined;
  readonly on?: Disk;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
};

/** Opens the log; its file is made with the first line. */
export async function tensorboardSink(
  folder: string,
  { after = 0, on = disk, now = Date.now }: TensorboardOptions = {},
): Promise<MetricSink> {
  const earlier = (await readdir(folder)).flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number);
  for (const second of earlier) await cut(pathOf(folder, second), after);
  let handle: Awaited<ReturnType<Disk['open']>> | undefined;
  let path = '';

  async function write(bytes: Uint8Array): Promise<void> {
    try {
      handle ??= await on.open(path, 'a');
      for (let at = 0; at < bytes.length; )
        at += (await handle.write(bytes, at, bytes.length - at)).bytesWritten;
    } catch (error) {
      const intact = 'The records before it stay readable, and so does the last checkpoint.';
      throw await explainFull(error, { path, what: 'a TensorBoard record', needed: bytes.length, intact });
    }
  }

  return {
    async append({ step, ...fields }) {
      if (path === '') {
        // Readers take files in the order of their names.
        path = pathOf(folder, Math.max(Math.floor(now() / 1000), ...earlier.map((second) => second + 1)));
        await write(versionRecord(now() / 1000));
      }
      const scalars: Record<string, number> = {};
      for (const [tag, value] of Object.entries(fields))
        if (typeof value === 'number' && Number.isFinite(value)) scalars[tag] = value;
      await write(scalarRecord({ wallTime: now() / 1000, step, scalars }));
    },
    async close() {
      await handle?.close();
      handle = undefined;
    },
  };
}

const pathOf = (folder: string, second: number): string =>
  join(folder, `events.out.tfevents.${second}.saekit`);

async function cut(path: string, after: number): Promise<void> {
  const bytes = await readFile(path);
  const end = endOfStep(bytes, after);
  // Killed in its first record: such a file says nothing to a reader.
  if (end === 0) await rm(path, { force: true });
  else if (end < bytes.length) await truncate(path, end);
}
