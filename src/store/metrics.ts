/** metrics.jsonl: one line per logging step, appended as training goes. */
import { readFile } from 'node:fs/promises';
import type { MetricsLine } from '../shared/run.ts';
import { type Disk, disk, explainFull, writeAtomic } from './atomic.ts';
import type { MetricSink } from './types.ts';

export const METRICS_FILE = 'metrics.jsonl';

/**
 * Opens the log for appending. NaN and infinite values are written as null. `append` throws StorageFull on a full disk; the
 * lines before stay readable.
 */
export function openMetricsLog(path: string, on: Disk = disk): MetricSink & { sync(): Promise<void> } {
  // Opened with the first line: a run that fails before it leaves no file behind.
  let handle: Awaited<ReturnType<Disk['open']>> | undefined;
  const explained = async (needed: number, body: () => Promise<void>): Promise<void> => {
    try {
      await body();
    } catch (error) {
      const intact = 'The lines before it stay readable, and so does the last checkpoint.';
      throw await explainFull(error, { path, what: 'a line of metrics', needed, intact });
    }
  };
  let lastLength = 0;
  return {
    async append(line) {
      const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
      lastLength = bytes.length;
      await explained(bytes.length, async () => {
        handle ??= await on.open(path, 'a');
        for (let at = 0; at < bytes.length; ) {
          at += (await handle.write(bytes, at, bytes.length - at)).bytesWritten;
        }
      });
    },
    async sync() {
      await explained(lastLength, async () => await handle?.sync());
    },
    async close() {
      await handle?.close();
      handle = undefined;
    },
  };
}

/**
 * All lines of a log, oldest first; none when there is no file. A last line that was cut off by a crash is left out.
 * Throws on any other line that is not JSON with a `step`.
 */
export async function readMetrics(path: string): Promise<MetricsLine[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const lines = text.split('\n');
  const out: MetricsLine[] = [];
  for (const [i, line] of lines.entries()) {
    if (line === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      if (i === lines.length - 1) break;
      throw new Error(`${path} line ${i + 1}: not JSON (${(error as Error).message})`);
    }
    if (typeof value !== 'object' || value === null || typeof (value as MetricsLine).step !== 'number')
      throw new Error(`${path} line ${i + 1}: no number "step"; found ${line.slice(0, 80)}`);
    out.push(value as MetricsLine);
  }
  return out;
}

/** Drops lines after `step`: a run that resumes from a checkpoint writes those again. */
export async function truncateMetrics(path: string, step: number): Promise<void> {
  const kept = (await readMetrics(path)).filter((line) => line.step <= step);
  const bytes = new TextEncoder().encode(kept.map((line) => `${JSON.stringify(line)}\n`).join(''));
  await writeAtomic(path, [bytes], { byteLength: bytes.length, what: METRICS_FILE });
}
