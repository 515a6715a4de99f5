/**
 * Metrics to a URL: each line of metrics.jsonl as the body of a POST, one at a time and in order, beside the training.
 *
 *     POST <url>   content-type: application/json   saekit-run: <name, URI-encoded>   authorization: Bearer <token>
 *
 * A server that errs (5xx, 408, 425, 429), times out or is gone is tried again after 0.5, 1, 2, ... at most 30 seconds; any other
 * answer but 2xx refuses the line. Of what waits, the oldest goes first when the queue is full. Nothing here ever throws
 * or holds up a step; what was lost is counted.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { UsageError } from '../../shared/errors.ts';
import type { MetricSink } from '../types.ts';

export type UrlReport = {
  readonly sent: number;
  readonly dropped: number;
  /** Why the last attempt failed that did. */
  readonly reason: string | undefined;
};

export type UrlSink = MetricSink & { report(): UrlReport };

export type UrlSinkOptions = {
  /** Name of the run, for servers that see several. */
  readonly run: string;
  /** Sent as a bearer token, never written anywhere. */
  readonly token?: string | undefined;
  /** Lines that may wait. */
  readonly capacity?: number;
  /** For one answer. */
  readonly timeoutMs?: number;
  readonly firstRetryMs?: number;
  readonly longestRetryMs?: number;
  /** How long `close` waits for what is left. */
  readonly closeMs?: number;
};

const again = new Set([408, 425, 429]);

/** @throws UsageError when `url` is not http or https, or carries a password */
export function checkLogUrl(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol))
    throw new UsageError(
      `The log address "${url}" is no http or https URL, such as http://localhost:8080/runs.`,
    );
  if (parsed.username !== '' || parsed.password !== '')
    throw new UsageError(
      `The log address at ${parsed.host} carries a user name or password. Leave them out and put a token into SAEKIT_LOG_TOKEN.`,
    );
  return parsed;
}

/** @throws as `checkLogUrl` */
export function urlSink(
  url: string,
  {
    run,
    token,
    capacity = 1000,
    timeoutMs = 10_000,
    firstRetryMs = 500,
    longestRetryMs = 30_000,
    closeMs = 5000,
  }: UrlSinkOptions,
): UrlSink {
  const target = checkLogUrl(url);
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'saekit-run': encodeURIComponent(run),
    ...(token ? { authorization: `Bearer ${token}` } : {}),
  };
  const waiting: string[] = [];
  const stop = new AbortController();
  let [sent, dropped] = [0, 0];
  let reason: string | undefined;
  let sending: Promise<void> | undefined;

  /** Whether the line is dealt with: taken or refused. */
  async function post(body: string): Promise<boolean> {
    try {
      const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(timeoutMs)]);
      const answer = await fetch(target, { method: 'POST', headers, body, signal, redirect: 'manual' });
      await answer.body?.cancel();
      if (answer.ok) {
        sent++;
        return true;
      }
      reason = `HTTP ${answer.status}`;
      if (answer.status >= 500 || again.has(answer.status)) return false;
      dropped++;
      return true;
    } catch (error) {
      if (!stop.signal.aborted) reason = whyNot(error as Error, timeoutMs);
      return false;
    }
  }

  async function send(): Promise<void> {
    for (let line = waiting.shift(); line !== undefined; line = waiting.shift()) {
      let wait = firstRetryMs;
      while (!(await post(line))) {
        await sleep(wait, undefined, { signal: stop.signal }).catch(() => {});
        if (stop.signal.aborted) {
          dropped += 1 + waiting.splice(0).length;
          return;
        }
        wait = Math.min(2 * wait, longestRetryMs);
      }
    }
    sending = undefined;
  }

  return {
    async append(line) {
      waiting.push(JSON.stringify(line));
      if (waiting.length > capacity) {
        waiting.shift();
        dropped++;
        reason ??= 'the answers came too slowly';
      }
      sending ??= send();
    },
    async close() {
      if (sending === undefined) return;
      const timer = setTimeout(() => stop.abort(), closeMs);
      await sending;
      clearTimeout(timer);
    },
    report: () => ({ sent, dropped, reason }),
  };
}

function whyNot(error: Error, timeoutMs: number): string {
  if (error.name === 'TimeoutError') return `no answer within ${timeoutMs / 1000} s`;
  const { code, message } = (error.cause ?? error) as NodeJS.ErrnoException;
  return code ?? message;
}
