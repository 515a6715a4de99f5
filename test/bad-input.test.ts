// The built command line with bad input: wrong calls, damaged files, NaN, a full disk.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { joinChunks, writeSafetensors } from '../src/formats/index.ts';
import { saekit } from './fixtures/command-line.ts';
import { tinyTensors, writeTinyModel } from './fixtures/tiny-model.ts';
import { changed, createWorkspace, type Workspace } from './fixtures/workspace.ts';
import { root } from './repository.ts';

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
    [
      'a top-p that is no share',
      () => ['generate', '--model', model, '--prompt', 'x', '--top-p', '2'],
      /--top-p: found 2, expected/,
    ],
    [
      'a system message without a conversation',
      () => ['generate', '--model', model, '--prompt', 'x', '--system', 'y'],
      /--system needs --chat/,
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
    const folder = writeTinyModel(newFolder());
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
          writeTinyModel(newFolder(), {
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
