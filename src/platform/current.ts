/**
 * The seam between the core and the machine it runs on. Core code asks `getPlatform()` for bytes, workers and the ONNX
 * Runtime package; importing `platform/node.ts` once (the library's and the command line's entry do, and every worker)
 * sets it in Node. A browser page calls `setPlatform(createBrowserPlatform({ ort }))`.
 */
import type { Platform } from './types.ts';

// On globalThis, not in a module variable: a test or a bundler may load this module twice.
const slot = Symbol.for('saekit.platform');
const holder = globalThis as { [slot]?: Platform };

/** Sets the platform of this thread; the last call wins. */
export function setPlatform(platform: Platform): void {
  holder[slot] = platform;
}

/** The platform of this thread. Throws when none was set. */
export function getPlatform(): Platform {
  const platform = holder[slot];
  if (!platform) {
    throw new Error(
      "No platform is set. In Node import 'saekit' (or, inside the project, '../platform/node.ts') first; in a browser call setPlatform(createBrowserPlatform({ ort })).",
    );
  }
  return platform;
}
