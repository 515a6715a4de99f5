/** `saekit serve`: runs in the browser, over HTTP, behind OpenAI's API and as MCP tools, until Ctrl-C. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { type ServeConfig, serveConfigSchema } from '../../shared/serve.ts';
import { addCommonFlags, type Context, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig, readConfigFile } from '../flags.ts';

const example = `
Examples:
  saekit serve
  saekit serve runs/SmolLM2-135M-16384
  saekit serve runs --port 8080
  SAEKIT_TOKEN=secret saekit serve runs --host 0.0.0.0

Without folders: runs/ and the bundled runs. At another address than this machine a token is needed: SAEKIT_TOKEN, or one that is printed.`;

/** The bundled runs lie beside dist/. */
const bundled = fileURLToPath(new URL('../../../demo/saes', import.meta.url));

/** The folders given, or those that there are. */
export const foldersOr = (given: readonly string[]): readonly string[] =>
  given.length > 0 ? given : ['runs', bundled].filter((folder) => existsSync(folder));

export function addServeCommand(program: Command, version: string): void {
  const command = addCommonFlags(
    program
      .command('serve')
      .description('Serve runs on this machine: app, HTTP API, OpenAI-compatible endpoint, MCP.')
      .argument('[folders...]', 'Runs, SAEs, or folders that hold some.')
      .option('--config <file>', 'JSON file with the fields below in camelCase.'),
  );
  addFlags(command, serveConfigSchema);
  command.addHelpText('after', example).action(async (folders: string[]) => {
    const flags = command.opts<{ config?: string; json?: boolean }>();
    const file = flags.config === undefined ? {} : await readConfigFile(flags.config, 'serve');
    const config = parseConfig(serveConfigSchema, { ...file, ...givenFlags(command, serveConfigSchema) });
    await withContext(flags, (context) => run(foldersOr(folders), config, version, context), 'Stopping.');
  });
}

async function run(
  folders: readonly string[],
  config: ServeConfig,
  version: string,
  context: Context,
): Promise<void> {
  const { print, note, json, style, signal } = context;
  const { SAEKIT_TOKEN: token } = process.env;
  // Other commands do not wait for what a server needs.
  const { serve } = await import('../../server/index.ts');
  const server = await serve(folders, config, {
    version,
    ...(token ? { token } : {}),
    onError: (error) => note(`error: ${error instanceof Error ? error.message : String(error)}`),
  });
  try {
    const runs = await server.lab.runs();
    if (json) print(JSON.stringify({ url: server.url, token: server.token ?? null, runs }));
    else {
      print(server.token === undefined ? server.url : `${server.url}/?token=${server.token}`);
      for (const { run, model, hook, latents, problem } of runs)
        note(
          style.format(
            'dim',
            `  ${run}  ${problem ?? `${model ?? 'model unknown'}  ${hook ?? ''}  ${latents ?? ''} latents`}`,
          ),
        );
      if (runs.length === 0)
        note(
          style.format(
            'dim',
            `  No runs in ${folders.join(', ') || 'runs/'} yet; they are shown as soon as there are some.`,
          ),
        );
      note(style.format('dim', '  Ctrl-C stops.'));
    }
    if (!signal.aborted) await once(signal, 'abort');
  } finally {
    await server.close();
  }
}
