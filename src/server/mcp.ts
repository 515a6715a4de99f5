/** The operations as tools of the Model Context Protocol: over HTTP at /mcp, or over standard input and output. */
import { McpServer } from '@modelcontextprotocol/server';
import type { Closing } from './closing.ts';
import { answerTo } from './errors.ts';
import type { Lab } from './lab.ts';
import { operations } from './operations/all.ts';
import type { Operation } from './operations/operation.ts';

const INSTRUCTIONS =
  'Sparse autoencoders (SAEs) of language models. Begin with list_runs. search_by_text finds latents that fire in a text, search_features finds them by words; get_feature shows the evidence for one, steer shows what it does. A guess is made by rule and not checked; judge by the examples, and by the control RANDOM of steer.';

/** Tools that change nothing on disk: these ask, or compute. */
const readOnly = ({ name }: Operation): boolean =>
  !['label_feature', 'save_list', 'add_to_list', 'take_off_list', 'delete_list'].includes(name);

/** One server, for one connection or request. */
export function createMcp(lab: Lab, version: string, closing: Closing): McpServer {
  const server = new McpServer({ name: 'saekit', version }, { instructions: INSTRUCTIONS });
  for (const one of operations)
    server.registerTool(
      one.name,
      {
        description: one.summary,
        inputSchema: one.input,
        outputSchema: one.output,
        annotations: {
          readOnlyHint: readOnly(one),
          destructiveHint: one.method === 'delete',
          openWorldHint: false,
        },
      },
      async (input: Record<string, unknown>, context) => {
        try {
          const output = await closing.run([context.mcpReq.signal], (signal) => one.run(lab, input, signal));
          return {
            structuredContent: output,
            content: [{ type: 'text' as const, text: JSON.stringify(output) }],
          };
        } catch (error) {
          const { message } = answerTo(error).body.error;
          return { isError: true, content: [{ type: 'text' as const, text: message }] };
        }
      },
    );
  return server;
}
