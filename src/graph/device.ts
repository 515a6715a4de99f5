/**
 * Where a session runs. ONNX Runtime calls it an execution provider; what a provider has no kernel for runs on the CPU. Numbers of a GPU
 * differ from those of a CPU in the last bits.
 */
import { getPlatform } from '../platform/index.ts';
import type { Device } from '../shared/device.ts';

/** The engine's own order of preference; the CPU comes behind by itself. */
export function executionProviders(device: Device): { executionProviders?: string[] } {
  if (device !== 'cpu') return { executionProviders: [device] };
  // In a browser the CPU is called wasm, and a build with WebGPU would otherwise take that.
  return getPlatform().kind === 'browser' ? { executionProviders: ['wasm'] } : {};
}

const ADVICE: Readonly<Record<'node' | 'browser', Readonly<Record<Exclude<Device, 'cpu'>, string>>>> = {
  node: {
    webgpu:
      'WebGPU comes with onnxruntime-node and needs a graphics driver: on Linux libvulkan.so.1 (Debian: libvulkan1) and the Vulkan driver of the card, on Windows Direct3D 12, on macOS Metal. Without a GPU, VK_ICD_FILENAMES can name a software driver',
    cuda: 'The CUDA binaries are not part of the npm package. On Linux x64: `ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js` downloads them (some hundred MB); CUDA 12 and cuDNN 9 must be installed. There are none for other systems',
  },
  browser: {
    webgpu:
      'The page needs a browser with WebGPU (navigator.gpu) and an ONNX Runtime build that has it: import * as ort from "onnxruntime-web/webgpu"',
    cuda: 'A browser has no CUDA; take webgpu',
  },
};

/** What went wrong, what this machine has, and what to do. */
export function deviceError(device: Exclude<Device, 'cpu'>, error: Error): Error {
  const { kind, ort } = getPlatform();
  const backends = ort.listSupportedBackends?.() ?? [];
  const found = backends.map(({ name, bundled }) => (bundled ? name : `${name} (binaries to be installed)`));
  // The engine's message begins with places in its own source.
  const [reason = error.message] = /Failed to [^\n]*|(?:[^\n]*)/.exec(error.message) ?? [];
  return new Error(
    `The model cannot run on ${device}: ${reason.replace(/\W*$/, '.')} ${found.length > 0 ? `This ONNX Runtime knows ${found.join(', ')}. ` : ''}${ADVICE[kind][device]}. --device cpu always works.`,
    { cause: error },
  );
}
