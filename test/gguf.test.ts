// GGUF files as model arguments: found where Ollama and llama.cpp keep them, converted once, whole or not at all.
import { createHash } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { findGguf, localModels, ollamaFolders } from '../src/hub/index.ts';
import { openModel } from '../src/models/open.ts';
import { convertedRoot } from '../src/platform/converted.ts';
import '../src/platform/node.ts';
import { buildOnce, saekit } from './fixtures/command-line.ts';
import { root } from './repository.ts';

const golden = (name: string): string => join(root, 'test/golden/gguf', name);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'saekit-gguf-'));
  vi.stubEnv('HF_HOME', join(folder, 'hf'));
  vi.stubEnv('HF_HUB_CACHE', '');
  vi.stubEnv('HF_ASSETS_CACHE', '');
  vi.stubEnv('OLLAMA_MODELS', join(folder, 'ollama'));
  vi.stubEnv('LLAMA_CACHE', join(folder, 'llama.cpp'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** As Ollama stores it: a manifest that names a blob by its hash. */
function plantOllama(name: string, file: string, root = 'ollama'): void {
  const bytes = readFileSync(golden(file));
  const digest = createHash('sha256').update(bytes).digest('hex');
  mkdirSync(join(folder, root, 'blobs'), { recursive: true });
  writeFileSync(join(folder, root, 'blobs', `sha256-${digest}`), bytes);
  const manifest = join(folder, root, 'manifests', name);
  mkdirSync(join(manifest, '..'), { recursive: true });
  writeFileSync(
    manifest,
    JSON.stringify({
      schemaVersion: 2,
      config: { digest: 'sha256:00' },
      layers: [
        { mediaType: 'application/vnd.ollama.image.template', digest: `sha256:${'0'.repeat(64)}` },
        { mediaType: 'application/vnd.ollama.image.model', digest: `sha256:${digest}`, size: bytes.length },
      ],
    }),
  );
}

const converted = (): string[] =>
  (statSync(convertedRoot(), { throwIfNoEntry: false }) ? readdirSync(convertedRoot()) : []).filter(
    (name) => name !== 'seen',
  );

async function info(location: string, options: Parameters<typeof openModel>[1] = {}) {
  const model = await openModel(location, options);
  await model.close();
  return model.info;
}

describe('where models lie', () => {
  beforeEach(() => {
    plantOllama('registry.example/library/tiny/latest', 'llama.gguf');
    plantOllama('registry.example/library/tiny/q4', 'qwen2.gguf');
    plantOllama('registry.example/somebody/other/1b', 'gpt2.gguf');
    plantOllama('hf.example/org/repo/Q8_0', 'qwen3.gguf');
    mkdirSync(join(folder, 'llama.cpp'));
    cpSync(golden('gptneox.gguf'), join(folder, 'llama.cpp/org_neox.gguf'));
    cpSync(
      join(root, 'test/golden/models/llama-yarn'),
      join(folder, 'hf/hub/models--org--yarn/snapshots/abc'),
      { recursive: true },
    );
    mkdirSync(join(folder, 'hf/hub/models--org--yarn/refs'));
    writeFileSync(join(folder, 'hf/hub/models--org--yarn/refs/main'), 'abc');
  });

  test('all are listed, by the argument that opens them', async () => {
    const found = await localModels();
    expect(found.map(({ keeper, argument }) => `${keeper} ${argument}`)).toEqual([
      'Ollama ollama:hf.example/org/repo:Q8_0',
      'Ollama ollama:tiny:latest',
      'Ollama ollama:tiny:q4',
      'Ollama ollama:somebody/other:1b',
      'llama.cpp org_neox.gguf',
      'Hugging Face org/yarn',
    ]);
    for (const { argument, keeper, bytes, path } of found.filter(({ keeper }) => keeper !== 'Hugging Face')) {
      expect(await findGguf(argument), keeper).toBe(path);
      expect(bytes).toBe(statSync(path).size);
    }
  });

  test('Ollama’s are those of the user, then those of its service on Linux', async () => {
    vi.stubEnv('HOME', join(folder, 'home'));
    const [home, ...service] = ollamaFolders({});
    expect(home).toBe(join(folder, 'home/.ollama/models'));
    expect(service).toEqual(process.platform === 'linux' ? ['/usr/share/ollama/.ollama/models'] : []);
    expect(ollamaFolders({ OLLAMA_MODELS: 'mine' })).toEqual(['mine']);

    plantOllama('registry.example/library/tiny/q4', 'gpt2.gguf', 'second');
    plantOllama('registry.example/library/late/q4', 'gpt2.gguf', 'second');
    const places = [join(folder, 'ollama'), join(folder, 'second')];
    const found = (await localModels(process.env, places)).filter(({ keeper }) => keeper === 'Ollama');
    expect(found.map(({ argument }) => argument)).toEqual([
      'ollama:hf.example/org/repo:Q8_0',
      'ollama:tiny:latest',
      'ollama:tiny:q4',
      'ollama:somebody/other:1b',
      'ollama:late:q4',
    ]);
    expect(found.find(({ argument }) => argument === 'ollama:tiny:q4')?.path).toContain(places[0]);
  });

  test('they open: Ollama with and without a tag, llama.cpp by name, a folder with one file', async () => {
    expect((await info('ollama:tiny')).family).toBe('llama');
    expect((await info('ollama:tiny:q4')).family).toBe('qwen2');
    expect((await info('ollama:somebody/other:1b')).family).toBe('gpt2');
    expect((await info('org_neox.gguf')).family).toBe('gpt_neox');
    expect((await info(join(folder, 'llama.cpp'))).family).toBe('gpt_neox');
  });

  test('a wrong name offers the nearest', async () => {
    await expect(info('ollama:tinny')).rejects.toThrow(
      /ollama:tinny: Ollama has no such model in .*Did you mean "ollama:tiny:latest"/,
    );
    await expect(info('org_nox.gguf')).rejects.toThrow(
      /no such file, here or in .*llama\.cpp\. Did you mean "org_neox\.gguf"\? `saekit models`/,
    );
    await expect(info(join(folder, 'gone', 'x.gguf'))).rejects.toThrow(/x\.gguf: no such file\./);
    cpSync(golden('gpt2.gguf'), join(folder, 'llama.cpp/a.gguf'));
    await expect(info(join(folder, 'llama.cpp'))).rejects.toThrow(
      /holds 2 GGUF files: a\.gguf, org_neox\.gguf\. Name one/,
    );
  });

  test('a damaged manifest hides one model, not the others', async () => {
    writeFileSync(join(folder, 'ollama/manifests/registry.example/library/tiny/q4'), '{"layers": 3}');
    writeFileSync(join(folder, 'ollama/manifests/registry.example/library/tiny/latest'), '{');
    const names = (await localModels()).map(({ argument }) => argument);
    expect(names.filter((name) => name.startsWith('ollama:'))).toEqual([
      'ollama:hf.example/org/repo:Q8_0',
      'ollama:somebody/other:1b',
    ]);
  });
});

describe('the first time a file is converted, the second time it is opened', () => {
  test('size, place and progress are told once; name, hash and quantisation are the file’s', async () => {
    const [notes, steps]: [string[], string[]] = [[], []];
    const access = {
      onNote: (text: string) => void notes.push(text),
      onDownload: ({ name, done, total }: { name: string; done: number; total: number }) =>
        void steps.push(`${name} ${done === total}`),
    };
    const first = await info(golden('llama.gguf'), access);
    expect(notes).toEqual([
      expect.stringMatching(/llama\.gguf: GGUF Q8_0, \d+ MB\. Written once as float32, \d+ MB, to .*gguf/),
    ]);
    expect(steps.at(-1)).toMatch(/llama\.gguf: to float32 true$/);
    const made = converted();
    expect(made).toEqual([expect.stringMatching(/^[0-9a-f]{64}-v3$/)]);
    const written = statSync(join(convertedRoot(), made[0]!, 'model.safetensors')).mtimeMs;
    notes.length = steps.length = 0;
    expect(await info(golden('llama.gguf'), access)).toEqual(first);
    expect([notes, steps]).toEqual([[], []]);
    expect(statSync(join(convertedRoot(), made[0]!, 'model.safetensors')).mtimeMs).toBe(written);
    expect(first.quantization).toBe('Q8_0, dequantised to float32');
    expect(first.name).toBe(golden('llama.gguf'));
  });

  test('a file that was changed in place is another model; a moved one is the same', async () => {
    const file = join(folder, 'x.gguf');
    cpSync(golden('llama.gguf'), file);
    const before = await info(file);
    const bytes = readFileSync(file);
    bytes[bytes.length - 5]! ^= 1;
    writeFileSync(file, bytes);
    // The same size, and at worst the same millisecond.
    utimesSync(file, new Date(), new Date(Date.now() + 5000));
    const after = await info(file);
    expect(after.hash).not.toBe(before.hash);
    expect(converted()).toHaveLength(2);
    cpSync(golden('llama.gguf'), join(folder, 'y.gguf'));
    expect((await info(join(folder, 'y.gguf'))).hash).toBe(before.hash);
    expect(converted()).toHaveLength(2);
  });

  test('stopped in the middle, nothing is left, and the next time it is done', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    const onDownload = ({ name, done }: { name: string; done: number }) => {
      if (name.endsWith('to float32') && done > 0) stop.abort(reason);
    };
    await expect(info(golden('gemma2.gguf'), { signal: stop.signal, onDownload })).rejects.toBe(reason);
    expect(converted()).toEqual([]);
    expect((await info(golden('gemma2.gguf'))).family).toBe('gemma2');
    expect(converted()).toHaveLength(1);
  });

  test('several at once end with one folder', async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => info(golden('qwen3.gguf'))));
    expect(new Set(all.map(({ hash }) => hash)).size).toBe(1);
    expect(converted()).toHaveLength(1);
  });

  test('what a process that died left is removed, what another still writes is not', async () => {
    const [old, fresh] = ['a'.repeat(64), 'b'.repeat(64)].map((hash) =>
      join(convertedRoot(), `${hash}-v1.tmp-1-1`),
    );
    for (const path of [old!, fresh!]) mkdirSync(path, { recursive: true });
    utimesSync(old!, new Date(0), new Date(0));
    await info(golden('gpt2.gguf'));
    expect(converted().filter((name) => name.includes('tmp'))).toEqual([`${'b'.repeat(64)}-v1.tmp-1-1`]);
  });

  test('a model opens from a cache that takes no notes', async () => {
    const { hash } = await info(golden('qwen2.gguf'));
    rmSync(join(convertedRoot(), 'seen'), { recursive: true });
    writeFileSync(join(convertedRoot(), 'seen'), 'not a folder');
    expect((await info(golden('qwen2.gguf'))).hash).toBe(hash);
  });

  test('a file that is refused leaves nothing', async () => {
    writeFileSync(join(folder, 'bad.gguf'), 'GGUF????');
    await expect(info(join(folder, 'bad.gguf'))).rejects.toThrow(/bad\.gguf: GGUF version/);
    expect(converted()).toEqual([]);
  });
});

describe('on the command line', () => {
  beforeAll(buildOnce, 120_000);

  test('models are listed with what they are; a damaged one says why; what was converted is told', async () => {
    plantOllama('registry.example/library/tiny/latest', 'llama.gguf');
    mkdirSync(join(folder, 'llama.cpp'));
    cpSync(golden('gemma3.gguf'), join(folder, 'llama.cpp/gemma.gguf'));
    cpSync(golden('blocks.gguf'), join(folder, 'llama.cpp/other.gguf'));
    writeFileSync(join(folder, 'llama.cpp/bad.gguf'), 'GGUF');
    const strange = readFileSync(golden('llama.gguf'), 'latin1').replace('blk.0.ffn_gate', 'blk.0.ffn_gote');
    writeFileSync(join(folder, 'llama.cpp/strange.gguf'), strange, 'latin1');
    const whisper = join(folder, 'hf/hub/models--org--whisper/snapshots/abc');
    cpSync(join(root, 'test/golden/models/llama-yarn'), whisper, { recursive: true });
    writeFileSync(join(whisper, 'config.json'), '{"model_type": "whisper"}');
    const { stdout, status } = await saekit(['models']);
    expect(status).toBe(0);
    const lines = stdout.split('\n').map((line) => line.split(/ {2,}/).join(' | '));
    expect(lines).toContainEqual(
      expect.stringMatching(/^ollama:tiny:latest \| Ollama \| llama \| Q8_0 \| [\d.]+ kB/),
    );
    expect(lines).toContainEqual(expect.stringMatching(/^gemma\.gguf \| llama\.cpp \| gemma3 \| BF16/));
    expect(stdout).toMatch(
      /other\.gguf .*F64 and Q8_0 and 9 more with F32 and F16 and BF16 .*architecture not supported/,
    );
    expect(stdout).toMatch(/bad\.gguf .*truncated or damaged/);
    expect(stdout).toMatch(/strange\.gguf .*llama +Q8_0 .* tensor blk\.0\.ffn_gote\.weight has no place/);
    expect(stdout).toMatch(/org\/whisper@abc .*whisper +safetensors .*not supported/);
    expect(stdout).not.toMatch(/written out/);

    const inspected = await saekit(['inspect', 'ollama:tiny']);
    expect(inspected.stdout).toMatch(/weights +Q8_0, dequantised to float32/);
    expect(inspected.stdout).toMatch(/GGUF Q8_0, .*Written once as float32/);
    expect((await saekit(['models', '--json'])).stdout).toMatch(/"converted":\{"folder":".*","count":1/);

    const wrong = await saekit(['inspect', 'ollama:tine']);
    expect([wrong.status, wrong.stderr]).toEqual([
      1,
      expect.stringMatching(/Did you mean "ollama:tiny:latest"\?/),
    ]);
  });
});
