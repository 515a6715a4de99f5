/** Where a run's metrics go: metrics.jsonl always, TensorBoard and a URL when asked for. */
import { basename, resolve } from 'node:path';
import type { TrainConfig } from '../shared/config.ts';
import { type MetricSink, type RunFolder, tensorboardSink, type UrlReport, urlSink } from '../store/index.ts';

/** Of no influence on the result, so not in the config: a continued run is told again. */
export type LogTarget = {
  readonly url: string;
  /** Sent as a bearer token, never written anywhere. */
  readonly token?: string | undefined;
};

export type RunLog = MetricSink & {
  /** What became of the lines for the URL, when there is one; complete after `close`. */
  report(): UrlReport | undefined;
};

/** @param after the step that a continued run goes on from */
export async function openLog(
  folder: RunFolder,
  { tensorboard }: Pick<TrainConfig, 'tensorboard'>,
  { logTo, after }: { readonly logTo?: LogTarget | undefined; readonly after?: number | undefined },
): Promise<RunLog> {
  const url = logTo && urlSink(logTo.url, { run: basename(resolve(folder.path)), token: logTo.token });
  const sinks = [
    { append: folder.appendMetrics, close: async () => {} },
    ...(tensorboard ? [await tensorboardSink(folder.path, { after })] : []),
    ...(url ? [url] : []),
  ];
  return {
    async append(line) {
      for (const sink of sinks) await sink.append(line);
    },
    async close() {
      for (const sink of sinks) await sink.close();
    },
    report: () => url?.report(),
  };
}
