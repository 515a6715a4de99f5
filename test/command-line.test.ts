// The built command line as a person meets it: good input and Ctrl-C.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { saekit } from './fixtures/command-line.ts';
import { startOrContinue } from './fixtures/lasting-run.ts';
import { createWorkspace, type Workspace } from './fixtures/workspace.ts';
import { read } from './repository.ts';

let work: string;
let model: string;
let corpus: string;
let workspace: Workspace;
beforeAll(() => {
  workspace = createWorkspace();
  ({ path: work, model, corpus } = workspace);
}, 120_000);
afterAll(() => workspace.remove());
const newFolder = (): string => workspace.newFolder();
const small = (out: string, steps?: number): string[] => workspace.small(out, steps);

describe('good input', () => {
  it('trains into a run folder, then inspects, evaluates and steers it', async () => {
    const out = newFolder();
    const trained = await saekit(small(out));
    expect(trained.stderr).toBe('');
    expect(trained.status).toBe(0);
    // The budget is printed before anything is allocated, and kept; memory.slow.test.ts is stricter.
    const budget = Number(trained.stdout.match(/memory +(\d+) MB at most/)?.[1]);
    const peak = Number(trained.stdout.match(/peak (\d+) MB/)?.[1]);
    expect(budget).toBeLessThan(400);
    expect(peak).toBeLessThan(budget + 1);
    expect(trained.stdout).toMatch(/FVU/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point.
    expect(trained.stdout).not.toMatch(/[\x1b\r]/);
    expect(readdirSync(out).sort()).toEqual([
      'cfg.json',
      'checkpoints',
      'eval.json',
      'features',
      'metrics.jsonl',
      'run.json',
      'sae_weights.safetensors',
    ]);
    expect(readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n')).toHaveLength(4);

    const inspected = await saekit(['inspect', out, '--json']);
    expect(JSON.parse(inspected.stdout)).toMatchObject({
      kind: 'run',
      run: { status: 'finished', step: 20 },
    });

    const shown = (await saekit(['inspect', out])).stdout;
    expect(shown).toMatch(/state +finished, step 20 of 20/);
    expect(shown).toMatch(/feature cards, most interesting first/);
    expect(shown).toMatch(/ raises '/);

    const evaluated = await saekit(['eval', out, '--max-tokens', '400', '--controls', '--json']);
    expect(evaluated.status).toBe(0);
    const { candidates } = JSON.parse(evaluated.stdout) as { candidates: { name: string }[] };
    expect(candidates.map(({ name }) => name)).toEqual(['SAE', 'frozen decoder', 'PCA-8']);

    const steered = await saekit([
      'generate',
      '--sae',
      out,
      '--latent',
      '3',
      '--prompt',
      'the river',
      '--max-tokens',
      '8',
      '--json',
    ]);
    const samples = JSON.parse(steered.stdout) as Record<string, string>;
    expect(samples.steered).not.toBe(samples.without);
    expect(samples.random).not.toBe(samples.steered);
  }, 120_000);

  it('writes from standard input, from a config file, up to a stop string, in a conversation', async () => {
    const greedy = ['--temperature', '0', '--max-tokens', '12'];
    const given = await saekit(['generate', '--model', model, '--prompt', 'the river', ...greedy]);
    expect(given.status).toBe(0);
    const text = given.stdout.replace(/\n$/, '');
    expect(text.length).toBeGreaterThan(4);
    const piped = await saekit(['generate', '--model', model, ...greedy, '--json'], { input: 'the river\n' });
    expect(JSON.parse(piped.stdout)).toEqual({ prompt: 'the river', text });
    const file = join(work, 'generate.json');
    writeFileSync(file, JSON.stringify({ model, prompt: 'the river', temperature: 0, maxTokens: 12 }));
    const stop = text.slice(2, 4);
    const stopped = await saekit(['generate', '--config', file, '--stop', stop, '--json']);
    expect(JSON.parse(stopped.stdout).text).toBe(text.slice(0, text.indexOf(stop)));
    const chat = await saekit(['generate', '--model', model, '--chat', '--prompt', 'x']);
    expect(chat.stderr).toMatch(/no chat template. Put chat_template.jinja into its folder/);
    expect(chat.status).toBe(1);
  }, 60_000);

  it('options of sampling, steering and evaluation change what they say', async () => {
    const writes = async (...args: string[]): Promise<Record<string, string>> => {
      const common = ['--prompt', 'the river', '--max-tokens', '12', '--json'];
      const { status, stdout, stderr } = await saekit(['generate', ...common, ...args]);
      expect(status, stderr).toBe(0);
      return JSON.parse(stdout) as Record<string, string>;
    };
    const sampled = (...args: string[]) => writes('--model', model, '--temperature', '5', ...args);
    const { text: greedy } = await writes('--model', model, '--temperature', '0');
    const { text: free } = await sampled();
    expect(free).not.toBe(greedy);
    expect((await sampled('--seed', '1')).text).not.toBe(free);
    for (const [flag, value] of [
      ['--top-k', '1'],
      ['--min-p', '1'],
    ] as const)
      expect((await sampled(flag, value)).text, flag).toBe(greedy);

    const out = newFolder();
    expect((await saekit(small(out, 4))).status).toBe(0);
    const none = await writes('--sae', out, '--latent', '3', '--strength', '0');
    expect([none.steered, none.random]).toEqual([none.without, none.without]);
    const much = await writes('--sae', out, '--latent', '3', '--strength', '200');
    expect(much.without).toBe(none.without);
    expect(much.steered).not.toBe(none.steered);

    const measured = async (...args: string[]) => {
      const { status, stdout, stderr } = await saekit([
        'eval',
        out,
        '--max-tokens',
        '400',
        '--json',
        ...args,
      ]);
      expect(status, stderr).toBe(0);
      const cards = existsSync(join(out, 'features/cards.json'))
        ? (JSON.parse(readFileSync(join(out, 'features/cards.json'), 'utf8')) as { cards: unknown[] }).cards
            .length
        : 0;
      return { ...(JSON.parse(stdout) as { rows: number; ceTokens: number; klTokens: number }), cards };
    };
    const all = await measured('--features', '5');
    expect(all).toMatchObject({ cards: 5, klTokens: all.ceTokens });
    const few = await measured('--features', '2', '--ce-tokens', '1', '--kl-tokens', '0');
    expect(few).toMatchObject({ rows: all.rows, cards: 2, klTokens: 0 });
    expect(few.ceTokens).toBeLessThan(all.ceTokens);
  }, 120_000);

  it('prints one JSON value with --json, and everything else on standard error', async () => {
    const { status, stdout, stderr } = await saekit([...small(newFolder(), 4), '--json']);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'finished', step: 4 });
    expect(stderr).toMatch(/FVU/);
  }, 60_000);

  it('takes a config file, and flags win over it', async () => {
    const file = join(work, 'train.json');
    writeFileSync(
      file,
      JSON.stringify({
        $schema: 'x',
        model,
        data: [corpus],
        latents: 64,
        k: 4,
        batchTokens: 128,
        tokens: 512,
        evalTokens: 0,
      }),
    );
    const { status, stdout } = await saekit([
      'train',
      '--config',
      file,
      '--latents',
      '128',
      '--out',
      newFolder(),
      '--json',
    ]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ progress: { latents: 128, step: 4 } });
  }, 60_000);

  it('shows hooks of a model and registers of a corpus', async () => {
    expect((await saekit(['inspect', model])).stdout).toMatch(/blocks\.1\.hook_resid_post/);
    expect((await saekit(['inspect', corpus])).stdout).toMatch(/dna +3\d\.\d %/);
  }, 60_000);

  it('has help with an example for every command', async () => {
    for (const command of ['train', 'eval', 'inspect', 'generate']) {
      const { status, stdout } = await saekit([command, '--help']);
      expect(status).toBe(0);
      expect(stdout).toMatch(new RegExp(`Examples?:\\n  saekit ${command} `));
    }
  }, 60_000);
});

describe('Ctrl-C', () => {
  it('during a step: saves, says how to go on, ends with 130; the continued run has the bits of one that was not stopped', async () => {
    const whole = newFolder();
    const stopped = newFolder();
    expect((await saekit(small(whole, 300))).status).toBe(0);

    let sent = false;
    const interrupted = await saekit(small(stopped, 300), {
      onOutput: (_text, interrupt) => {
        // Once checkpoints appear, training is under way.
        if (sent || !existsSync(join(stopped, 'checkpoints', 'step-20'))) return;
        sent = true;
        interrupt();
      },
      watch: true,
    });
    expect(interrupted.stderr).toMatch(/Stopped at step \d+ of 300\. .*main\.js train --resume/);
    expect(interrupted.status).toBe(130);
    const state = JSON.parse(readFileSync(join(stopped, 'run.json'), 'utf8')) as {
      status: string;
      step: number;
    };
    expect(state.status).toBe('interrupted');
    expect(state.step).toBeLessThan(300);
    expect(existsSync(join(stopped, '.lock'))).toBe(false);

    const resumed = await saekit(['train', '--resume', stopped]);
    expect(resumed.status).toBe(0);
    const weights = (folder: string): Buffer => readFileSync(join(folder, 'sae_weights.safetensors'));
    expect(weights(stopped).equals(weights(whole))).toBe(true);
  }, 180_000);
});

describe('kill -9', () => {
  it('inspect says that the process died and how to go on, before the first checkpoint and after', async () => {
    for (const [n, saved] of [
      [1, 'no checkpoint'],
      [3, 'checkpoints of steps 3, 6'],
    ] as const) {
      const folder = newFolder();
      const at = { place: 'rename checkpoint', n, when: 'before' } as const;
      expect((await startOrContinue(workspace, folder, { at })).status).toBe(null);
      const { stdout, status } = await saekit(['inspect', folder]);
      expect(status).toBe(0);
      expect(stdout).toMatch(/state +stopped without saying so \(the process died\), step \d of 40/);
      expect(stdout).toMatch(new RegExp(`saved +${saved}\n`));
      expect(stdout).toContain(`Go on with it: node dist/cli/main.js train --resume ${folder}\n`);

      const lock = join(folder, '.lock');
      writeFileSync(lock, JSON.stringify({ ...JSON.parse(readFileSync(lock, 'utf8')), host: 'elsewhere' }));
      expect((await saekit(['inspect', folder])).stdout).toMatch(
        /running as process \d+ on elsewhere, as far as can be seen from here/,
      );
      expect((await saekit(['train', '--resume', folder])).stderr).toMatch(
        /on elsewhere since .*\.lock and run again/,
      );
    }
  }, 60_000);
});

describe('documentation', () => {
  it('names only commands that exist', async () => {
    const { stdout } = await saekit(['--help']);
    const commands = [...stdout.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name);
    const used = [...read('README.md').matchAll(/\bsaekit (\w+) (?:--|runs|demo|<)/g)].map(
      ([, name]) => name,
    );
    expect(used.filter((name) => !commands.includes(name))).toEqual([]);
  }, 30_000);
});
