/** A server from start to end. */
import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createAdaptorServer } from '@hono/node-server';
import { LONGEST_ADDRESS } from '../shared/address.ts';
import { UsageError } from '../shared/errors.ts';
import type { ServeConfig } from '../shared/serve.ts';
import { createClosing } from './closing.ts';
import { createApp } from './http/app.ts';
import { isLoopback } from './http/security.ts';
import { createLab, type Lab } from './lab.ts';
import { checkFolders, checkModel } from './runs.ts';

/** The built app lies beside server/ in dist/. */
const WEB = fileURLToPath(new URL('../web', import.meta.url));
const MAX_CONNECTIONS = 256;
/** Seconds a request may take to arrive. */
const ARRIVAL_S = 30;
/** Of an address, and of what else a browser sends: cookies of other servers on this machine, too. Node has 16 KB. */
const MAX_HEADER_BYTES = LONGEST_ADDRESS + 64 * 1024;

export type ServeOptions = {
  readonly version: string;
  /** Default: dist/web. */
  readonly web?: string;
  /** At addresses that are not this machine alone. Default: one drawn at random. */
  readonly token?: string;
  readonly onError?: (error: unknown) => void;
};

export type RunningServer = {
  readonly url: string;
  /** Where one is needed. */
  readonly token: string | undefined;
  readonly lab: Lab;
  /** Ends what is being written, then connections, then models. */
  close(): Promise<void>;
};

/** Where named lists are kept. */
export const listsFile = (folders: readonly string[], { lists }: ServeConfig): string =>
  lists ?? join(folders[0] ?? 'runs', 'lists.json');

/**
 * Serves the runs of some folders over HTTP.
 *
 * @throws UsageError for a folder or model that is not there, and when the port is taken
 */
export async function serve(
  folders: readonly string[],
  config: ServeConfig,
  { version, web = WEB, token: given, onError = () => {} }: ServeOptions,
): Promise<RunningServer> {
  checkFolders(folders);
  await checkModel(folders, config);
  const lab = createLab(folders, config, listsFile(folders, config));
  const closing = createClosing();
  const token = isLoopback(config.host) ? undefined : (given ?? randomBytes(18).toString('base64url'));
  const app = createApp({ lab, version, token, web, closing, onError });
  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: {
      requestTimeout: 1000 * ARRIVAL_S,
      headersTimeout: 1000 * ARRIVAL_S,
      maxHeaderSize: MAX_HEADER_BYTES,
    },
  }) as Server;
  server.maxConnections = MAX_CONNECTIONS;
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const { code } = error;
      if (code === 'EADDRINUSE')
        reject(
          new UsageError(
            `Port ${config.port} is taken. Stop what uses it, or choose another with --port (0: any free one).`,
          ),
        );
      else if (code === 'EACCES')
        reject(new UsageError(`Port ${config.port} may not be used. Choose one above 1023 with --port.`));
      else if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
        reject(new UsageError(`--host ${config.host} is no address of this machine.`));
      else reject(error);
    });
    server.listen(config.port, config.host, () => resolve((server.address() as { port: number }).port));
  });
  const shown = isLoopback(config.host)
    ? 'localhost'
    : config.host.includes(':')
      ? `[${config.host}]`
      : config.host;
  return {
    url: `http://${shown}:${port}`,
    token,
    lab,
    async close() {
      closing.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await lab.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
