// `saekit export` and `convert --to onnx` as a person meets them.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import '../src/platform/node.ts';
import { getPlatform } from '../src/platform/index.ts';
import { saekit } from './fixtures/command-line.ts';
import { createWorkspace, type Workspace } from './fixtures/workspace.ts';
import { root } from './repository.ts';
import { demoModel, LATE, late } from './support/demo.ts';

const MODEL = join(root, 'demo/model');
/** Bytes of its float16 weights. */
const storedBytes = statSync(join(MODEL, 'model.safetensors')).size - 8192;
const SAE = late.folder;

let workspace: Workspace;
beforeAll(() => {
  workspace = createWorkspace();
}, 120_000);
afterAll(() => workspace.remove());

const ends = async (path: string): Promise<readonly (readonly string[])[]> => {
  const session = await getPlatform().ort.InferenceSession.create(path);
  const found = [session.inputNames, session.outputNames];
  await session.release();
  return found;
};

async function exported(out: string, ...flags: string[]): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await saekit(['export', out, ...flags, '--json']);
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

it('writes a folder that is whole, and says what is in it', async () => {
  const out = workspace.newFolder();
  const { files, weightBytes, family, layers, changed } = await exported(out, '--model', MODEL);
  expect({ family, layers, changed }).toEqual({ family: 'llama', layers: demoModel.layers, changed: [] });
  // The weights of the demo model in float32, each from a page on.
  expect(weightBytes).toBeGreaterThan(2 * storedBytes);
  const found = readdirSync(out, { recursive: true, encoding: 'utf8' }).filter((name) => name !== 'onnx');
  expect((files as string[]).toSorted()).toEqual(found.toSorted());
  const layer = Array.from({ length: demoModel.layers }, (_, n) => n).flatMap((n) => [
    `${n}.key`,
    `${n}.value`,
  ]);
  expect(await ends(join(out, 'onnx/model.onnx'))).toEqual([
    [...['input_ids', 'attention_mask', 'position_ids'], ...layer.map((name) => `past_key_values.${name}`)],
    ['logits', ...layer.map((name) => `present.${name}`)],
  ]);
  const again = await saekit(['export', '--model', MODEL, out]);
  expect([again.status, again.stderr]).toEqual([2, expect.stringMatching(/is not empty \(config\.json/)]);
});

it('bakes in what --steer and a config file say, and tells what that was; --dtype stored keeps half precision', async () => {
  const changes = (out: string) =>
    (JSON.parse(readFileSync(join(out, 'steering.json'), 'utf8')) as { interventions: unknown[] })
      .interventions;
  const common = { sae: { kind: `TopK, D ${demoModel.D}, F ${late.F}, K ${late.K}`, hook: LATE } };
  const flags = workspace.newFolder();
  const given = [
    '--positions',
    'generated',
    '--no-keep-error',
    '--steer',
    `${SAE}:7=clamp:3`,
    `${SAE}:9=zero at 1:4`,
  ];
  const { changed, files } = await exported(flags, ...given);
  expect(changed).toEqual([LATE]);
  expect(files).toContain('steering.json');
  expect(changes(flags)).toMatchObject([
    { ...common, latent: 7, mode: 'clamp', value: 3, positions: 'generated', keepError: false },
    { ...common, latent: 9, mode: 'zero', positions: [[1, 4]], keepError: false },
  ]);
  const file = join(workspace.path, 'export.json');
  writeFileSync(
    file,
    JSON.stringify({ model: MODEL, dtype: 'stored', steer: [{ sae: SAE, latent: 5, value: 2 }] }),
  );
  const stored = workspace.newFolder();
  expect((await exported(stored, '--config', file)).weightBytes).toBeLessThan(1.04 * storedBytes);
  expect(changes(stored)).toMatchObject([{ ...common, latent: 5, mode: 'add', value: 2, positions: 'all' }]);
});

it('refuses what is no model to export, and leaves nothing behind', async () => {
  const out = workspace.newFolder();
  for (const [model, message] of [
    ['test/golden/onnx/gpt2/model.onnx', /is an ONNX file already/],
    ['test/golden/models/bert', /is an encoder and predicts no next token/],
    ['test/golden/nothing', /no such folder or file/],
  ] as const) {
    const { status, stderr } = await saekit(['export', '--model', join(root, model), out]);
    expect(status).toBeGreaterThan(0);
    expect(stderr).toMatch(message);
  }
  expect(existsSync(out)).toBe(false);
  expect(readdirSync(dirname(out)).filter((name) => name.includes('.tmp-'))).toEqual([]);
});

it('convert --to onnx writes three graphs', async () => {
  const out = workspace.newFolder();
  const { status, stdout } = await saekit(['convert', SAE, '--to', 'onnx', out]);
  expect(status).toBe(0);
  expect(stdout).toMatch(/every bit of the arrays is the same/);
  const all = ['encoder', 'decoder', 'round_trip'].map((name) => ends(join(out, `${name}.onnx`)));
  expect(await Promise.all(all)).toEqual([
    [['x'], ['z']],
    [['z'], ['xhat']],
    [['x'], ['xhat']],
  ]);
});
