/** MCP over standard input and output. */
import { createInterface } from 'node:readline';
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';
import type { ServeConfig } from '../shared/serve.ts';
import { createClosing } from './closing.ts';
import { createLab } from './lab.ts';
import { createMcp } from './mcp.ts';
import { checkFolders, checkModel } from './runs.ts';
import { listsFile, type ServeOptions } from './serve.ts';

export type ServedMcp = {
  /** When the other side has closed its end. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
};

/** @throws UsageError for a folder or model that is not there */
export async function serveMcp(
  folders: readonly string[],
  config: ServeConfig,
  { version, onError = () => {} }: Pick<ServeOptions, 'version' | 'onError'>,
): Promise<ServedMcp> {
  checkFolders(folders);
  await checkModel(folders, config);
  const lab = createLab(folders, config, listsFile(folders, config));
  const closing = createClosing();
  const handle = serveStdio(() => createMcp(lab, version, closing), {
    transport: new StdioServerTransport(),
    onerror: onError,
  });
  // The transport passes over a line that is no JSON; its sender would wait for an answer.
  const lines = createInterface({ input: process.stdin, terminal: false }).on('line', answerNoJson);
  const ended = new Promise<void>((resolve) => {
    process.stdin.once('end', resolve);
    process.stdin.once('close', resolve);
  });
  return {
    ended,
    async close() {
      lines.close();
      closing.close();
      await handle.close();
      await lab.close();
    },
  };
}

/** JSON-RPC 2.0: -32700, with id null because that of the request is not known. */
function answerNoJson(line: string): void {
  try {
    if (line.trim() !== '') JSON.parse(line);
  } catch (error) {
    const answer = { code: -32700, message: `Parse error: ${(error as Error).message}` };
    process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id: null, error: answer })}\n`);
  }
}
