// The core in a real browser: a page opens models from bytes and runs them with WebAssembly and with WebGPU (Chromium's software driver);
// the numbers are those of Node. onnxruntime-web comes through npm into the cache, as any model in a package does.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { type Browser, chromium as driver, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { openNpmFile } from '../src/hub/npm.ts';
import {
  dense,
  encode,
  exportModel,
  folderWriter,
  loadSae,
  openModel,
  padBatch,
  saveSae,
  steer,
} from '../src/index.ts';
import type { Device } from '../src/shared/device.ts';
import { root } from './repository.ts';
import { findChromium } from './support/chromium.ts';
import { DNA, late } from './support/demo.ts';

const chromium = findChromium();
const ENGINE = { name: 'onnxruntime-web', version: '1.30.0', path: 'dist' };
const TYPES: Readonly<Record<string, string>> = {
  mjs: 'text/javascript',
  js: 'text/javascript',
  wasm: 'application/wasm',
  html: 'text/html',
};

let server: Server;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  if (!chromium) return;
  const engine = await openNpmFile(ENGINE);
  const bundle = await build({
    entryPoints: [join(root, 'test/fixtures/browser-page.ts')],
    ...{ bundle: true, write: false, format: 'esm', platform: 'browser', target: 'es2022' },
  });
  server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://x').pathname;
    const file = join(engine, path.slice('/ort/'.length));
    const body =
      path === '/'
        ? '<!doctype html><title>saekit</title><script type="module" src="/page.js"></script>'
        : path === '/page.js'
          ? bundle.outputFiles[0]!.text
          : path.startsWith('/ort/') && existsSync(file)
            ? readFileSync(file)
            : undefined;
    const type = path === '/' ? TYPES.html : TYPES[path.split('.').at(-1) ?? ''];
    response.writeHead(body === undefined ? 404 : 200, {
      'content-type': type ?? 'application/octet-stream',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
    });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  browser = await driver.launch({
    executablePath: chromium.program,
    args: [
      '--no-sandbox',
      ...['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'],
    ],
    env: { ...process.env, VK_ICD_FILENAMES: chromium.driver } as Record<string, string>,
  });
  page = await browser.newPage();
  page.on('pageerror', (error) => console.error(error));
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
}, 240_000);
afterAll(async () => {
  await browser?.close();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
});

const MODELS = [
  { name: 'models/llama-untied', files: ['config.json', 'model.safetensors'], open: '' },
  { name: 'onnx/gpt2-past', files: ['config.json', 'model.onnx'], open: 'model.onnx' },
];
const hook = 'blocks.1.hook_resid_post';

const error = (actual: readonly number[], expected: Float32Array): number => {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  const rms = Math.sqrt(expected.reduce((sum, x) => sum + x * x, 0) / expected.length);
  return Math.max(...actual.map((x, i) => Math.abs(x - expected[i]!))) / rms;
};

describe.runIf(chromium)('a page', () => {
  it.each(MODELS)(
    'runs $name with WebAssembly and WebGPU as Node does',
    { timeout: 240_000 },
    async ({ name, files, open }) => {
      const folder = join(root, 'test/golden', name);
      const model = await openModel(join(folder, open));
      const expected = await model.run(
        padBatch([
          [3, 4, 5, 6, 7],
          [8, 9],
        ]),
        { hooks: [hook], logits: true },
      );
      await model.close();
      const bytes = Object.fromEntries(
        files.map((file) => [file, readFileSync(join(folder, file)).toString('base64')]),
      );
      for (const device of ['cpu', 'webgpu'] as const) {
        const found = await page.evaluate(
          async ([files, at, device]) => {
            type Run = (
              files: unknown,
              hook: string,
              device: string,
            ) => Promise<{ adapter: string; logits: number[]; hook: number[] }>;
            return await (globalThis as unknown as { saekitRun: Run }).saekitRun(files, at, device);
          },
          [bytes, hook, device] as [Record<string, string>, string, Device],
        );
        const errors = [
          error(found.logits, expected.logits!.data),
          error(found.hook, expected.cache[hook]!.data),
        ];
        console.log(
          `${name}, ${device} (${found.adapter}): ${errors.map((e) => e.toExponential(1)).join(', ')} of the RMS`,
        );
        expect(Math.max(...errors)).toBeLessThan(1e-4);
      }
    },
  );

  const base64 = (path: string): string => readFileSync(path).toString('base64');
  /** Runs one of the page's functions. */
  const inPage = async <T>(name: string, args: readonly unknown[]): Promise<T> =>
    (await page.evaluate(
      async ([name, args]) => {
        const functions = globalThis as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
        return await functions[name]!(...args);
      },
      [name, args] as [string, unknown[]],
    )) as T;

  it('writes with an exported model, steered or not, what it writes in Node', {
    timeout: 240_000,
  }, async () => {
    const out = mkdtempSync(join(tmpdir(), 'saekit-export-'));
    onTestFinished(() => rmSync(out, { recursive: true }));
    const location = join(root, 'demo/model');
    const model = await openModel(location);
    onTestFinished(() => model.close());
    const sae = await loadSae(late.folder);
    const written: (readonly number[])[][] = [];
    for (const specs of [[], [{ sae, latent: DNA, mode: 'clamp', value: 61 } as const]]) {
      const folder = join(out, `model-${specs.length}`);
      await exportModel(folder, { model: location, interventions: specs });
      const texts = await model.generateBatch(['The meeting will be held', 'Мы читали'], {
        ...{ maxNewTokens: 16, interventions: await steer(model, specs) },
      });
      const { kvHeads, headDim } = model.info;
      const file = (name: string): string => base64(join(folder, 'onnx', name));
      expect(texts.every(({ ids }) => ids.length === 16)).toBe(true);
      const expected = texts.map(({ ids }) => ids);
      // A GPU in software takes its time.
      const devices = [['wasm', 16] as const, ...(specs.length > 0 ? [['webgpu', 3] as const] : [])];
      for (const [device, tokens] of devices) {
        const ids = await inPage<number[][]>('saekitGreedy', [
          { graph: file('model.onnx'), data: { path: 'model.onnx_data', base64: file('model.onnx_data') } },
          texts.map(({ promptIds }) => promptIds),
          { tokens, cache: [kvHeads, headDim] },
          device,
        ]);
        expect(ids, device).toEqual(expected.map((all) => all.slice(0, tokens)));
      }
      written.push(expected);
    }
    expect(written[0]).not.toEqual(written[1]);
  });

  it('encodes with an exported SAE as in Node', { timeout: 240_000 }, async () => {
    const out = mkdtempSync(join(tmpdir(), 'saekit-export-'));
    onTestFinished(() => rmSync(out, { recursive: true }));
    const sae = await loadSae(late.folder);
    await saveSae(folderWriter(out), sae, { format: 'onnx' });
    const { D, F } = sae.config;
    const x = Float32Array.from({ length: 4 * D }, (_, i) => Math.sin(i * i));
    const expected = dense(await encode(sae, x), F);
    const weights = { path: 'weights.safetensors', base64: base64(join(out, 'weights.safetensors')) };
    const found = await inPage<number[]>('saekitEncode', [
      { graph: base64(join(out, 'encoder.onnx')), data: weights },
      [...x],
      D,
    ]);
    expect(error(found, expected)).toBeLessThan(1e-4);
  });
});
