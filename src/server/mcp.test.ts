// MCP's own client, over HTTP and over the standard input and output of a process.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { describe, expect, it } from 'vitest';
import '../platform/node.ts';
import { buildOnce } from '../../test/fixtures/command-line.ts';
import { ask, LABELS, RUN, servedFixture } from '../../test/fixtures/server.ts';
import { root } from '../../test/repository.ts';
import { DNA } from '../../test/support/demo.ts';
import { operations } from './operations/all.ts';

const served = servedFixture(buildOnce);

const ways: Record<string, () => ConstructorParameters<typeof StdioClientTransport>[0] | URL> = {
  'over HTTP': () => new URL(`${served.server.url}/mcp`),
  'saekit mcp': () => ({
    command: process.execPath,
    args: [join(root, 'dist', 'cli', 'main.js'), 'mcp', served.fixture.folder, '--threads', '1'],
    cwd: root,
  }),
};

describe.each(Object.entries(ways))('%s', (_, target) => {
  it('has the operations as tools, with the answers of the API', async () => {
    const client = new Client({ name: 'test', version: '0' });
    const to = target();
    await client.connect(
      to instanceof URL ? new StreamableHTTPClientTransport(to) : new StdioClientTransport(to),
    );
    try {
      const { tools } = await client.listTools();
      expect(tools.map(({ name }) => name)).toEqual(operations.map(({ name }) => name));
      expect(
        tools.filter(({ annotations }) => annotations?.readOnlyHint === false).map(({ name }) => name),
      ).toEqual(['label_feature', 'save_list', 'add_to_list', 'take_off_list', 'delete_list']);
      const call = async (name: string, args: Record<string, unknown>) =>
        await client.callTool({ name, arguments: args });
      const input = { run: RUN, text: 'ACGTTAGACATTAGCA', numResults: 2 };
      const { body } = await ask(served.server, 'POST', '/api/search-topk-by-token', input);
      expect((await call('top_features_by_token', input)).structuredContent).toEqual(body);
      const feature = await call('get_feature', { run: RUN, latent: DNA });
      expect(feature.structuredContent).toMatchObject({ label: LABELS[DNA] });
      expect(JSON.parse((feature.content as unknown as [{ text: string }])[0].text)).toEqual(
        feature.structuredContent,
      );
      const steered = await call('steer', {
        prompt: 'The meeting',
        maxTokens: 8,
        features: [{ run: RUN, latent: DNA, value: 60 }],
      });
      expect(Object.keys(steered.structuredContent as object)).toEqual([
        'model',
        'prompt',
        'DEFAULT',
        'STEERED',
        'RANDOM',
      ]);
      // What is wrong is said to the agent, which can mend it.
      const wrong = await call('get_feature', { run: 'nope', latent: 1 });
      expect(wrong).toMatchObject({
        isError: true,
        content: [{ text: expect.stringContaining('There is no run "nope"') }],
      });
      const invalid = await call('get_feature', { run: RUN, latent: -1 }).catch((error: Error) => ({
        isError: true,
        content: [{ text: error.message }],
      }));
      expect(invalid.isError).toBe(true);
      expect(JSON.stringify(invalid.content)).toContain('latent');
    } finally {
      await client.close();
    }
  }, 60_000);
});

it('a line that is no JSON is answered with the error of JSON-RPC, and the next line is read', () => {
  const saekit = [join(root, 'dist', 'cli', 'main.js'), 'mcp', served.fixture.folder];
  const input = '{"jsonrpc": "2.0", "id"\n\n[}\n';
  const written = execFileSync(process.execPath, saekit, { input, encoding: 'utf8', timeout: 30_000 });
  const answers = written.trim().split('\n');
  expect(answers.map((line) => JSON.parse(line))).toEqual([
    { jsonrpc: '2.0', id: null, error: { code: -32700, message: expect.stringMatching(/JSON/) } },
    { jsonrpc: '2.0', id: null, error: { code: -32700, message: expect.stringMatching(/JSON/) } },
  ]);
}, 60_000);

it('saekit mcp ends when its input does', () => {
  const saekit = [join(root, 'dist', 'cli', 'main.js'), 'mcp', served.fixture.folder];
  expect(execFileSync(process.execPath, saekit, { input: '', encoding: 'utf8', timeout: 30_000 })).toBe('');
}, 60_000);
