// The built command line as a person meets it: good input, bad input, Ctrl-C, a full disk.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { joinChunks, writeSafetensors } from '../src/formats/index.ts';
import { buildOnce, saekit } from './fixtures/command-line.ts';
import { tinyTensors, writeTinyCorpus, writeTinyModel } from './fixtures/tiny-model.ts';
import { read, root } from './repository.ts';

let work: string;
let model: string;
let corpus: string;
beforeAll(() => {
  buildOnce();
  work = mkdtempSync(join(tmpdir(), 'saekit-cli-'));
  model = writeTinyModel(join(work, 'model'));
  corpus = writeTinyCorpus(join(work, 'corpus.jsonl'));
}, 120_000);
afterAll(() => rmSync(work, { recursive: true, force: true }));

let folders = 0;
const newFolder = (): string => join(work, `run-${folders++}`);
/** A run of `steps` steps of 256 tokens. */
const small = (out: string, steps = 20): string[] => [
  ...['train', '--model', model, '--data', corpus, '--out', out, '--latents', '128', '--k', '8'],
  ...[
    '--batch-tokens',
    '256',
    '--tokens',
    String(steps * 256),
    '--shuffle-tokens',
    '1024',
    '--log-every-steps',
    '5',
  ],
  ...['--checkpoint-every-tokens', String(10 * 256), '--eval-tokens', '500'],
];
const changed = (args: readonly string[], flag: string, value: string): string[] =>
  args.includes(flag) ? args.map((word, i) => (args[i - 1] === flag ? value : word)) : [...args, flag, value];

describe('good input', () => {
  it('trains into a run folder, then inspects, evaluates and steers it', async () => {
    const out = newFolder();
    const trained = await saekit(small(out));
    expect(trained.stderr).toBe('');
    expect(trained.status).toBe(0);
    // The budget is printed before anything is allocated, and kept: the tiny model itself is 0.1 MB.
    const budget = Number(trained.stdout.match(/memory +(\d+) MB beyond the model/)?.[1]);
    const peak = Number(trained.stdout.match(/at most (\d+) MB held/)?.[1]);
    expect(budget).toBeGreaterThan(300);
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
      '--tokens',
      '8',
      '--json',
    ]);
    const samples = JSON.parse(steered.stdout) as Record<string, string>;
    expect(samples.steered).not.toBe(samples.without);
    expect(samples.random).not.toBe(samples.steered);
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

describe('bad usage ends with status 2 and says what to do', () => {
  const cases: [string, () => string[], RegExp][] = [
    ['no model', () => ['train', '--data', corpus], /--model is missing\. Model folder/],
    [
      'an unknown flag',
      () => [...small(newFolder()), '--latnets', '8'],
      /unknown option '--latnets'\n\(Did you mean --latents\?\)/,
    ],
    [
      'a word for a number',
      () => changed(small(newFolder()), '--latents', 'many'),
      /many.*Expected a number such as 4096/s,
    ],
    ['K > F', () => changed(small(newFolder()), '--k', '129'), /k is 129 but there are only 128 latents/],
    [
      'latents that do not fit the shards',
      () => changed(small(newFolder()), '--latents', '100'),
      /--latents 104/,
    ],
    [
      'an unknown hook',
      () => changed(small(newFolder()), '--hook', 'blocks.1.hook_resid_psot'),
      /Did you mean "blocks\.1\.hook_resid_post"/,
    ],
    [
      'an unknown config field',
      () => {
        const file = join(work, 'bad.json');
        writeFileSync(file, JSON.stringify({ model, data: [corpus], latnets: 8 }));
        return ['train', '--config', file];
      },
      /Unknown field "latnets"\. Did you mean "latents"\?/,
    ],
    ['a config that is no JSON', () => ['train', '--config', corpus], /is not JSON/],
    [
      'a latent without its SAE',
      () => ['generate', '--prompt', 'x', '--latent', '3'],
      /--latent needs --sae/,
    ],
    ['--resume with other settings', () => ['train', '--resume', work, '--k', '4'], /takes no k/],
  ];
  for (const [name, args, message] of cases) {
    it(name, async () => {
      const { status, stderr } = await saekit(args());
      expect(stderr).toMatch(message);
      expect(stderr).not.toMatch(/\n {4}at /);
      expect(status).toBe(2);
    }, 30_000);
  }
});

describe('what cannot work ends with status 1 and says why', () => {
  const broken = (change: (folder: string) => void): string => {
    const folder = writeTinyModel(join(work, `broken-${folders++}`));
    change(folder);
    return folder;
  };
  const rewrite = (folder: string, change: (tensors: ReturnType<typeof tinyTensors>) => void): void => {
    const tensors = tinyTensors();
    change(tensors);
    writeFileSync(join(folder, 'model.safetensors'), joinChunks(writeSafetensors(tensors)));
  };
  const cases: [string, () => string[], RegExp][] = [
    [
      'a model folder that is not there',
      () => changed(small(newFolder()), '--model', join(work, 'nowhere')),
      /nowhere: no such folder/,
    ],
    [
      'missing weights',
      () =>
        changed(
          small(newFolder()),
          '--model',
          broken((folder) => rmSync(join(folder, 'model.safetensors'))),
        ),
      /no weights: expected model\.safetensors/,
    ],
    [
      'truncated weights',
      () =>
        changed(
          small(newFolder()),
          '--model',
          broken((folder) => truncateSync(join(folder, 'model.safetensors'), 50_000)),
        ),
      /model\.safetensors.*(truncated|download)/is,
    ],
    [
      'weights of the wrong shape',
      () =>
        changed(
          small(newFolder()),
          '--model',
          broken((folder) =>
            rewrite(folder, (tensors) => {
              tensors.set('model.norm.weight', { dtype: 'F32', shape: [16], data: new Float32Array(16) });
            }),
          ),
        ),
      /model\.norm\.weight.*16.*32/s,
    ],
    [
      'a missing tensor',
      () =>
        changed(
          small(newFolder()),
          '--model',
          broken((folder) =>
            rewrite(folder, (tensors) => void tensors.delete('model.layers.1.mlp.up_proj.weight')),
          ),
        ),
      /model\.layers\.1\.mlp\.up_proj\.weight/,
    ],
    [
      'an architecture that is not supported',
      () =>
        changed(
          small(newFolder()),
          '--model',
          writeTinyModel(join(work, `broken-${folders++}`), {
            architectures: ['MambaForCausalLM'],
            model_type: 'mamba',
          }),
        ),
      /mamba.*llama/is,
    ],
    [
      'a corpus that is not there',
      () => changed(small(newFolder()), '--data', join(work, 'corpsu.jsonl')),
      /corpsu\.jsonl/,
    ],
    [
      'an empty corpus',
      () => {
        const file = join(work, 'empty.jsonl');
        writeFileSync(file, '');
        return changed(small(newFolder()), '--data', file);
      },
      /corpus is empty.*empty\.jsonl/s,
    ],
    [
      'the wrong text field',
      () => changed(small(newFolder()), '--text-field', 'body'),
      /no field "body"\. Fields found: .*text/,
    ],
    [
      'a folder that holds something else',
      () => {
        const folder = newFolder();
        mkdirSync(folder);
        writeFileSync(join(folder, 'thesis.tex'), 'precious');
        return small(folder);
      },
      /not empty \(thesis\.tex\)/,
    ],
    [
      'a damaged SAE',
      () => {
        const folder = newFolder();
        mkdirSync(folder);
        writeFileSync(join(folder, 'cfg.json'), '{"architecture": "topk"}');
        return ['eval', folder, '--model', model, '--data', corpus];
      },
      /cfg\.json/,
    ],
  ];
  for (const [name, args, message] of cases) {
    it(name, async () => {
      const { status, stderr } = await saekit(args());
      expect(stderr).toMatch(message);
      expect(stderr).not.toMatch(/\n {4}at /);
      expect(status).toBe(1);
    }, 30_000);
  }

  it('NaN in the weights: stops with hook, document and likely cause', async () => {
    const folder = broken((at) =>
      rewrite(at, (tensors) => {
        // The embedding of "~", which stands in one document only: training begins well.
        tensors.get('model.embed_tokens.weight')?.data.fill(Number.NaN, 126 * 32, 127 * 32);
      }),
    );
    const text = join(work, 'one-bad.jsonl');
    const lines = readFileSync(corpus, 'utf8').trim().split('\n');
    writeFileSync(
      text,
      `${[...lines, JSON.stringify({ id: 'bad', text: 'a tilde ~ here, and words about rivers and stones' })].join('\n')}\n`,
    );
    const out = newFolder();
    const { status, stderr } = await saekit(
      changed(changed(small(out, 60), '--model', folder), '--data', text),
    );
    expect(stderr).toMatch(
      /Stopped at step \d+: Activation \d+ at blocks\.0\.hook_resid_post is NaN \(document bad/,
    );
    expect(stderr).toMatch(/The state before that is saved/);
    expect(status).toBe(1);
    expect(JSON.parse(readFileSync(join(out, 'run.json'), 'utf8'))).toMatchObject({ status: 'failed' });
    expect(readdirSync(join(out, 'checkpoints')).length).toBeGreaterThan(0);
  }, 60_000);

  it('a full disk: says how much was needed, keeps the checkpoint before', async () => {
    const out = newFolder();
    const { status, stderr } = await saekit(small(out, 60), {
      preload: [pathToFileURL(join(root, 'test', 'fixtures', 'full-disk.mjs')).href],
      env: { FULL_DISK_UNDER: out, FULL_DISK_AFTER: '700000' },
    });
    expect(stderr).toMatch(/No space left on the disk while writing .* needed/);
    expect(status).toBe(1);
    const kept = readdirSync(join(out, 'checkpoints')).filter((name) => name.startsWith('step-'));
    expect(kept.length).toBeGreaterThan(0);
    expect(existsSync(join(out, '.lock'))).toBe(false);
    const resumed = await saekit(['train', '--resume', out, '--json']);
    expect(JSON.parse(resumed.stdout)).toMatchObject({ status: 'finished', step: 60 });
  }, 90_000);
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
