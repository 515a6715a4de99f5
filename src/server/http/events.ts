/** Live events of a run: the lines of metrics.jsonl as they are written, and its status when that changes. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context, Hono } from 'hono';
import { type SSEStreamingApi, streamSSE } from 'hono/streaming';
import type { Closing } from '../closing.ts';
import { answerTo, badRequest } from '../errors.ts';
import type { Lab } from '../lab.ts';

const LOOK_MS = 500;
/** A comment now and then keeps the connection, and shows whether there is still somebody. */
const BEAT_MS = 15_000;
const PART = 1 << 20;
/** Readers at once: each looks at a file twice a second. */
const MAX_READERS = 64;

/** Reads a file that grows, by whole lines. One that became shorter is read from its beginning (a run that was resumed). */
function createTail(path: string) {
  let at = 0;
  let rest = '';
  return async (): Promise<string[]> => {
    const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (!file) return [];
    try {
      const { size } = await file.stat();
      if (size < at) [at, rest] = [0, ''];
      const bytes = Buffer.alloc(Math.min(PART, size - at));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, at);
      at += bytesRead;
      const lines = `${rest}${bytes.toString('latin1', 0, bytesRead)}`.split('\n');
      rest = lines.pop()!;
      // Cut at bytes, decoded by lines: no character is split.
      return lines.map((line) => Buffer.from(line, 'latin1').toString('utf8'));
    } finally {
      await file.close();
    }
  };
}

export function addEventRoutes(app: Hono, lab: Lab, closing: Closing): void {
  let readers = 0;
  app.get('/api/runs/:run/events', async (c: Context) => {
    const run = c.req.param('run')!;
    const folder = lab.folder(run);
    const header = c.req.header('last-event-id');
    if (header !== undefined && !/^\d{1,15}$/.test(header))
      throw badRequest(`Last-Event-ID: found ${header.slice(0, 50)}, expected a step.`, 'Last-Event-ID');
    if (readers >= MAX_READERS)
      throw badRequest(`${readers} readers listen already.`, undefined, 'too_many_readers');
    const after = Number(header ?? -1);
    return streamSSE(c, async (stream) => {
      readers++;
      const gone = new AbortController();
      stream.onAbort(() => gone.abort());
      await closing.run([gone.signal], (signal) => send(stream, signal)).finally(() => readers--);
    });

    async function send(stream: SSEStreamingApi, signal: AbortSignal): Promise<void> {
      const next = createTail(join(folder, 'metrics.jsonl'));
      let status = '';
      let beat = Date.now();
      try {
        while (!signal.aborted) {
          const lines = await next();
          for (const line of lines) {
            if (signal.aborted) break;
            const { step } = JSON.parse(line) as { step: number };
            if (step > after) await stream.writeSSE({ event: 'metrics', id: String(step), data: line });
          }
          const { status: state, live, step } = await lab.summary(run);
          const now = JSON.stringify({ status: state, live, step });
          if (now !== status) {
            await stream.writeSSE({ event: 'status', data: now });
            status = now;
          } else if (Date.now() - beat > BEAT_MS) await stream.write(': still here\n\n');
          else if (lines.length === 0) {
            await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
            continue;
          }
          beat = Date.now();
        }
      } catch (error) {
        // The run was taken away, or a line is no JSON.
        if (!signal.aborted)
          await stream.writeSSE({ event: 'error', data: JSON.stringify(answerTo(error).body) });
      }
    }
  });
}
