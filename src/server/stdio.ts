/** MCP over standard input and output. */
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';
import type { ServeConfig } from '../shared/serve.ts';
import { createClosing } from './closing.ts';
import { createLab } from './lab.ts';
import { createMcp } from './mcp.ts';
import { checkFolders } from './runs.ts';
import { listsFile, type ServeOptions } from './serve.ts';

export type ServedMcp = {
  /** When the other side has closed its end. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
};

/** @throws UsageError for a folder that is not there */
export function serveMcp(
  folders: readonly string[],
  config: ServeConfig,
  { version, onError = () => {} }: Pick<ServeOptions, 'version' | 'onError'>,
): ServedMcp {
  checkFolders(folders);
  const lab = createLab(folders, config, listsFile(folders, config));
  const closing = createClosing();
  const handle = serveStdio(() => createMcp(lab, version, closing), {
    transport: new StdioServerTransport(),
    onerror: onError,
  });
  const ended = new Promise<void>((resolve) => {
    process.stdin.once('end', resolve);
    process.stdin.once('close', resolve);
  });
  return {
    ended,
    async close() {
      closing.close();
      await handle.close();
      await lab.close();
    },
  };
}
