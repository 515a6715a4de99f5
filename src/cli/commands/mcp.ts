/** `saekit mcp`: the operations of the server as tools of an agent, over standard input and output. */
import { once } from 'node:events';
import type { Command } from 'commander';
import { serveConfigSchema } from '../../shared/serve.ts';
import { withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig } from '../flags.ts';
import { foldersOr } from './serve.ts';

const example = `
Example, in an agent's configuration:
  {"mcpServers": {"saekit": {"command": "npx", "args": ["saekit", "mcp", "runs"]}}}`;

/** Those that concern HTTP have no meaning here. */
const mcpConfigSchema = serveConfigSchema.omit({ port: true, host: true, maxBodyBytes: true });

export function addMcpCommand(program: Command, version: string): void {
  const command = program
    .command('mcp')
    .description(
      'Explore and steer runs from an agent: Model Context Protocol over standard input and output.',
    )
    .argument('[folders...]', 'Runs, SAEs, or folders that hold some. Default: runs/ and the bundled runs.')
    .option('--debug', 'Print the stack of an error.');
  addFlags(command, mcpConfigSchema);
  command.addHelpText('after', example).action(async (folders: string[]) => {
    const given = parseConfig(mcpConfigSchema, givenFlags(command, mcpConfigSchema));
    const config = serveConfigSchema.parse(given);
    // Standard output belongs to the protocol; what is said to a person goes to standard error.
    await withContext(
      { json: true },
      async ({ signal, note }) => {
        const { serveMcp } = await import('../../server/index.ts');
        const served = await serveMcp(foldersOr(folders), config, {
          version,
          onError: (error) => note(String(error)),
        });
        await Promise.race([served.ended, ...(signal.aborted ? [] : [once(signal, 'abort')])]);
        await served.close();
      },
      'Stopping.',
    );
  });
}
