// Models on WebGPU, without a GPU: Chromium's software driver, in Node through --device, and in a page.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildOnce, saekit } from './fixtures/command-line.ts';
import { root } from './repository.ts';
import { findChromium } from './support/chromium.ts';

const chromium = findChromium();
const vulkan = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib'].some((folder) =>
  existsSync(join(folder, 'libvulkan.so.1')),
);
if (chromium && !vulkan)
  console.warn('SKIPPED: WebGPU in Node needs libvulkan.so.1; Debian: apt-get install libvulkan1.');

beforeAll(buildOnce);

describe('--device in Node', () => {
  it.runIf(chromium && vulkan)('webgpu computes what the CPU computes', { timeout: 300_000 }, async () => {
    const model = join(root, 'test/golden/models/llama-untied');
    const script = `
      import { openModel, padBatch } from ${JSON.stringify(join(root, 'dist/index.js'))};
      const batch = padBatch([[3, 4, 5, 6, 7], [8, 9]]);
      const results = [];
      for (const device of ['cpu', 'webgpu']) {
        const model = await openModel(${JSON.stringify(model)}, { device });
        const { logits } = await model.run(batch, { logits: true });
        results.push([...logits.data]);
        const [{ ids }] = await model.generateBatch(padBatch([[3, 4, 5]]), { maxNewTokens: 6 });
        console.log('wrote', device, ids.join());
        await model.close();
      }
      const [a, b] = results;
      const rms = Math.sqrt(a.reduce((sum, x) => sum + x * x, 0) / a.length);
      console.log('error', Math.max(...a.map((x, i) => Math.abs(x - b[i]))) / rms);
      process.exit(0);`;
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      env: { ...process.env, VK_ICD_FILENAMES: chromium!.driver },
    });
    const wrote = (device: string) => new RegExp(`wrote ${device} (\\S+)`).exec(out)?.[1];
    expect(wrote('webgpu')).toBe(wrote('cpu'));
    expect(wrote('cpu')).toMatch(/\d,\d/);
    const error = Number(/error (\S+)/.exec(out)?.[1]);
    console.log(`WebGPU in Node: ${error} of the RMS of the logits`);
    // A mistake in the provider, or the CPU in its place, would be larger, or nothing at all.
    expect(error).toBeLessThan(1e-4);
    expect(error).toBeGreaterThan(0);
  });

  it('cuda without its binaries says how to get them, webgpu without a driver what it needs', async () => {
    const args = (device: string) => [
      ...['generate', '--model', 'demo/model', '--prompt', 'The'],
      '--device',
      device,
    ];
    const cuda = await saekit(args('cuda'));
    expect(cuda.status).toBe(1);
    expect(cuda.stderr).toMatch(/cannot run on cuda: .*ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/s);
    const webgpu = await saekit(args('webgpu'), { env: { VK_ICD_FILENAMES: '/nowhere.json' } });
    expect(webgpu.status).toBe(1);
    expect(webgpu.stderr).toMatch(/cannot run on webgpu: .*Vulkan driver/s);
    const other = await saekit(args('tpu'));
    expect(other.status).toBe(2);
  });
});
