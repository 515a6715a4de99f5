/** Chromium, for tests of the app and of WebGPU: with its SwiftShader a machine without a GPU has an adapter. Debian: apt-get install chromium libvulkan1. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

const PROGRAMS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'];

export type Chromium = {
  readonly program: string;
  /** The description of its software driver for Vulkan. */
  readonly driver: string;
};

const programPath = (): string | undefined =>
  [process.env.CHROMIUM, ...PROGRAMS].find((path) => path && existsSync(path));

/** The program alone, or undefined with a line that says what is skipped. */
export function findBrowser(): string | undefined {
  const program = programPath();
  if (program === undefined)
    console.warn(
      'SKIPPED: the app is tried in Chromium (CHROMIUM names another place); Debian: apt-get install chromium.',
    );
  return program;
}

/** Where it is, or undefined with a line that says what is skipped. */
export function findChromium(): Chromium | undefined {
  const program = programPath();
  const folders = [...(program ? [dirname(program)] : []), ...FOLDERS];
  const driver = folders
    .map((folder) => join(folder, 'vk_swiftshader_icd.json'))
    .find((path) => existsSync(path));
  if (program && driver) return { program, driver };
  console.warn(
    `SKIPPED: WebGPU needs Chromium ${program ? 'with its vk_swiftshader_icd.json' : '(CHROMIUM names another place)'}; Debian: apt-get install chromium libvulkan1.`,
  );
  return undefined;
}
