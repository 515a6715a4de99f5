// Real GGUF files: what PyTorch, transformers and llama.cpp make of them (test/oracles/gguf/make_real.py) is what we make of them.
// SmolLM2-135M-Instruct runs in CI; Gemma-3-270m only where `npm run fetch-test-models -- --local` and the generator have put it.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { readSafetensors } from '../src/formats/index.ts';
import { openModel } from '../src/models/open.ts';
import type { Model } from '../src/models/types.ts';
import { fromBytes } from '../src/platform/index.ts';
import '../src/platform/node.ts';
import { buildOnce, saekit } from './fixtures/command-line.ts';
import { root } from './repository.ts';
import { testModel } from './support/test-models.ts';

type Golden = {
  readonly stride: number;
  readonly newTokens: number;
  readonly nasty: readonly string[];
  readonly chats: readonly {
    readonly question: string;
    readonly prompt: string;
    readonly ids: string;
    readonly answer: string;
  }[];
};

const texts: string[] = JSON.parse(
  readFileSync(join(root, 'test/golden/models/tokenizers/golden.json'), 'utf8'),
).texts;

let folder: string;
beforeAll(() => {
  buildOnce();
  folder = mkdtempSync(join(tmpdir(), 'saekit-real-'));
  vi.stubEnv('HF_HOME', folder);
}, 120_000);
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const cases = [
  {
    name: 'SmolLM2-135M-Instruct, Q4_1',
    file: testModel('SmolLM2-135M-Instruct.Q4_1.gguf'),
    golden: 'test/golden/gguf/real-smollm2',
    quantization: 'Q4_1 and Q8_0, dequantised to float32',
    bos: false,
    // Against float64; PyTorch's own float32 leaves it by as much.
    tolerance: 1e-5,
  },
  {
    name: 'Gemma-3-270m, Q4_K_M',
    file: testModel('gemma-3-270m-q4_k_m.gguf', { local: true }),
    golden: '.cache/models/real-gemma3',
    quantization: 'Q4_K_M, dequantised to float32',
    bos: true,
    tolerance: 3e-5,
  },
];

for (const { name, file, golden: stem, quantization, bos, tolerance } of cases) {
  const there = file !== undefined && existsSync(join(root, `${stem}.json`));
  describe.skipIf(!there)(name, () => {
    let model: Model;
    let golden: Golden;
    beforeAll(async () => {
      golden = JSON.parse(readFileSync(join(root, `${stem}.json`), 'utf8'));
      model = await openModel(file!);
    }, 300_000);
    afterAll(() => model?.close());

    test('ids of nasty text are llama.cpp’s', () => {
      const ours = texts.map((text) => model.tokenizer!.encode(text).join(' '));
      const wrong = texts.flatMap((text, i) =>
        ours[i] === golden.nasty[i] ? [] : [[text, ours[i], golden.nasty[i]]],
      );
      expect(wrong).toEqual([]);
    });

    test('logits are PyTorch’s in float64', { timeout: 300_000 }, async () => {
      const expected = await readSafetensors(fromBytes(readFileSync(join(root, `${stem}.safetensors`))));
      const V = model.info.V;
      for (const text of ['0', '1']) {
        const ids = new Int32Array((await expected.read(`${text}/ids`)) as Int32Array);
        const data = await expected.readFloat32(`${text}/logits`);
        const [rms] = await expected.readFloat32(`${text}/rms`);
        const T = ids.length;
        const { logits } = await model.run(
          { ids, mask: new Uint8Array(T).fill(1), B: 1, T },
          { logits: true },
        );
        const kept = Math.ceil(V / golden.stride);
        expect(data.length).toBe(T * kept);
        let worst = 0;
        for (let t = 0; t < T; t++)
          for (let k = 0; k < kept; k++)
            worst = Math.max(worst, Math.abs(logits!.data[t * V + k * golden.stride]! - data[t * kept + k]!));
        console.log(`${name}: logits within ${(worst / rms!).toExponential(1)} of their RMS`);
        expect(worst / rms!).toBeLessThan(tolerance);
      }
    });

    test('20 prompts, rendered and continued greedily as transformers does', {
      timeout: 900_000,
    }, async () => {
      expect(golden.chats).toHaveLength(20);
      const { renderChat } = model.tokenizer!;
      for (const { question, prompt, ids, answer } of golden.chats) {
        const messages = [{ role: 'user', content: question }];
        const rendered = renderChat ? renderChat(messages, { addGenerationPrompt: true }).text : prompt;
        expect(rendered).toBe(prompt);
        expect(model.tokenizer!.encode(rendered, { bos }).join(' ')).toBe(
          bos ? `${model.info.bosTokenId} ${ids}` : ids,
        );
        const promptIds = Int32Array.from(model.tokenizer!.encode(rendered, { bos }));
        const batch = {
          ids: promptIds,
          mask: new Uint8Array(promptIds.length).fill(1),
          B: 1,
          T: promptIds.length,
        };
        const [written] = await model.generateBatch(batch, {
          maxNewTokens: golden.newTokens,
          temperature: 0,
        });
        expect(written!.ids.join(' '), question).toBe(answer);
      }
    });

    test('the quantisation is stated', async () => {
      expect(model.info.quantization).toBe(quantization);
      const { stdout } = await saekit(['inspect', file!]);
      expect(stdout).toContain(quantization);
    });
  });
}

const smollm = cases[0]!.file;
describe.skipIf(!smollm)('provenance, SmolLM2-135M', () => {
  test('run.json, the head of train and the model card say Q4_1 and Q8_0', { timeout: 900_000 }, async () => {
    const out = join(folder, 'run');
    const { status, stdout, stderr } = await saekit(
      [
        ...[
          'train',
          '--model',
          smollm!,
          '--data',
          join(root, 'demo/corpus/train.jsonl.gz'),
          '--latents',
          '1024',
        ],
        ...[
          '--hook',
          'blocks.1.hook_resid_post',
          '--tokens',
          '4096',
          '--batch-tokens',
          '1024',
          '--context-length',
          '64',
        ],
        ...['--eval-tokens', '500', '--out', out],
      ],
      { env: { HF_HOME: folder } },
    );
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/parameters, Q4_1 and Q8_0, dequantised to float32/);
    const run = JSON.parse(readFileSync(join(out, 'run.json'), 'utf8'));
    expect(run.provenance.model.quantization).toBe('Q4_1 and Q8_0, dequantised to float32');
    const card = await saekit(['push', out, 'nobody/nothing'], { env: { HF_HOME: folder } });
    expect(card.stdout).toContain('Q4_1 and Q8_0, dequantised to float32');
  });
});
