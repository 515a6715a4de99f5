// Loading a model: F32, F16 and BF16 peak below 1.3 x the float32 weights, an embedding that is the head, too, among them; what a run was
// foretold to take is what it takes; mapped F32 weights take next to no memory of the process.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRandomModel } from '../bench/lib/random-model.ts';
import {
  float32ToBfloat16,
  float32ToFloat16,
  readSafetensors,
  type TensorInput,
  writeSafetensors,
} from '../src/formats/index.ts';
import { fromBytes } from '../src/platform/index.ts';
import { buildOnce, saekit } from './fixtures/command-line.ts';
import { root } from './repository.ts';

const half = { F16: float32ToFloat16, BF16: float32ToBfloat16 };
const shape = { layers: 4, D: 768, heads: 12, kvHeads: 12, mlp: 2048, V: 16384 };
/** 4 layers of 4 D^2 + 3 D mlp, and the embedding, which is the head, too: a third of all, and held once. */
const blocks = 4 * shape.layers * (4 * 768 ** 2 + 3 * 768 * 2048);
const float32 = blocks + 4 * shape.V * 768;
let folder: string;
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  buildOnce();
  folder = mkdtempSync(join(tmpdir(), 'saekit-load-'));
  for (const name of ['tiny', 'F32', 'F16', 'BF16']) mkdirSync(at(name));
  writeRandomModel(at('tiny'), { ...shape, layers: 1, D: 16, heads: 2, kvHeads: 2, mlp: 16, V: 64 });
  writeRandomModel(at('F32'), shape);
  const file = await readSafetensors(fromBytes(await readFile(join(at('F32'), 'model.safetensors'))));
  for (const dtype of ['F16', 'BF16'] as const) {
    const tensors: Record<string, TensorInput> = {};
    for (const [name, { shape: dims }] of file.tensors)
      tensors[name] = { dtype, shape: [...dims], data: half[dtype](await file.readFloat32(name)) };
    writeFileSync(join(at(dtype), 'model.safetensors'), Buffer.concat(writeSafetensors(tensors)));
    cpSync(join(at('F32'), 'config.json'), join(at(dtype), 'config.json'));
  }
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Loaded = {
  readonly own: number;
  readonly all: number;
  readonly sum: number;
  readonly foretold: number;
};

function load(name: string, how: 'mapped' | 'copied', what = 'logits'): Loaded {
  const script = join(root, 'test/fixtures/load-model.ts');
  const args = ['--import', 'tsx', script, at(name), at('tiny'), how, what];
  return JSON.parse(execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' })) as Loaded;
}

describe.skipIf(process.platform !== 'linux')('loading', () => {
  it.each(['F32', 'F16', 'BF16'] as const)(
    '%s peaks below 1.3 x the float32 weights',
    { timeout: 120_000 },
    (dtype) => {
      const { all } = load(dtype, 'copied');
      console.log(
        `${dtype}: ${(all / float32).toFixed(2)} x the float32 weights (${Math.round(float32 / 1e6)} MB)`,
      );
      expect(all).toBeGreaterThan(0.7 * float32);
      expect(all).toBeLessThan(1.3 * float32);
    },
  );

  it.each(
    ['F32', 'F16', 'BF16'].flatMap((dtype) => [['harvest', dtype] as const, ['generate', dtype] as const]),
  )('%s of a model in %s peaks where it was foretold', { timeout: 120_000 }, (what, dtype) => {
    const { all, foretold } = load(dtype, 'copied', what);
    console.log(`${what}, ${dtype}: ${Math.round(all / 1e6)} MB, foretold ${Math.round(foretold / 1e6)} MB`);
    expect(all / foretold).toBeGreaterThan(0.85);
    expect(all / foretold).toBeLessThan(1.15);
  });

  it('mapped F32 weights stay in the file, and compute the same', { timeout: 120_000 }, () => {
    const [copied, mapped] = [load('F32', 'copied'), load('F32', 'mapped')];
    console.log(
      `mapped: ${(mapped.own / float32).toFixed(2)} x, copied: ${(copied.own / float32).toFixed(2)} x`,
    );
    // The embedding, which is the head, stays in its file either way (lookedUpAndMultiplied): the copy is of the blocks.
    expect(copied.own).toBeGreaterThan(0.9 * blocks);
    expect(mapped.own).toBeLessThan(0.1 * blocks);
    expect(mapped.sum / copied.sum).toBeCloseTo(1, 5);
  });

  it('harvest says what the model takes, with --low-memory and without', { timeout: 120_000 }, async () => {
    for (const file of ['tokenizer.json', 'tokenizer_config.json'])
      cpSync(join(root, 'demo/model', file), join(at('F32'), file));
    const args = (out: string) => [
      ...[
        'harvest',
        '--model',
        at('F32'),
        '--data',
        join(root, 'demo/corpus/heldout.jsonl.gz'),
        '--out',
        at(out),
      ],
      ...[
        '--tokens',
        '2000',
        '--heldout-tokens',
        '0',
        '--context-length',
        '32',
        '--hooks',
        'blocks.3.hook_resid_post',
      ],
    ];
    const copied = await saekit(args('copied'));
    const mapped = await saekit([...args('mapped'), '--low-memory']);
    expect([copied.status, mapped.status], mapped.stderr).toEqual([0, 0]);
    const said = (run: { stderr: string; stdout: string }): string => `${run.stderr}\n${run.stdout}`;
    expect(said(copied)).toMatch(/memory +1\d\d MB for the model, .* available/);
    expect(said(mapped)).toMatch(/memory +\d\d? MB for the model and 1\d\d MB mapped from its file/);
  });
});
