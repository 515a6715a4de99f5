// The shape of the source tree: import directions, one line per folder in ARCHITECTURE.md, file sizes, a core without Node.
import { existsSync, readdirSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { importsOf, read, root, trackedFiles } from './repository.ts';

/** Lower layers first. A folder may import from lower layers, and only types from its own. */
const layers: readonly (readonly string[])[] = [
  ['shared'],
  ['hub'],
  ['platform'],
  ['graph', 'kernels'],
  ['formats'],
  ['store'],
  ['sae', 'models', 'data', 'demo'],
  ['harvest', 'train', 'eval', 'explain', 'steer', 'hooked'],
  ['workflows'],
  ['server'],
  ['cli'],
];
/** Run in the browser too: bytes, workers and the engine come in through platform/. */
const browserFolders = ['graph', 'kernels', 'formats', 'models', 'sae', 'train', 'steer', 'hooked'];

const layerOf = (folder: string): number => layers.findIndex((layer) => layer.includes(folder));
const folderOf = (path: string): string | undefined => path.match(/^src\/([^/]+)\//)?.[1];
const sources = trackedFiles.filter(
  (path) => path.startsWith('src/') && path.endsWith('.ts') && !path.includes('/assembly/'),
);
const isTest = (path: string): boolean => path.endsWith('.test.ts');
const folders = [...new Set(sources.map(folderOf).filter((folder) => folder !== undefined))].sort();

describe('architecture', () => {
  it('knows every folder of src/', () => {
    expect(folders.filter((folder) => layerOf(folder) < 0)).toEqual([]);
  });

  it('imports only downwards, sideways only types', () => {
    const wrong = sources
      .filter((path) => !isTest(path))
      .flatMap(importsOf)
      .filter(({ from, to, typeOnly }) => {
        const [source, target] = [folderOf(from), folderOf(to)];
        if (source === undefined || target === undefined || source === target) return false;
        const distance = layerOf(source) - layerOf(target);
        return distance < 0 || (distance === 0 && !typeOnly);
      })
      .map(({ from, to }) => `${from} -> ${to}`);
    expect(wrong).toEqual([]);
  });

  it('lists exactly the folders of src/ in ARCHITECTURE.md', () => {
    const listed = [...read('ARCHITECTURE.md').matchAll(/^ {4}([a-z-]+)\/ {2,}\S/gm)].map(([, name]) => name);
    expect(listed.sort()).toEqual(folders);
  });

  it('keeps files readable: at most 600 lines', () => {
    const long = trackedFiles
      .filter((path) => /\.(ts|tsx|mjs|py)$/.test(path))
      .map((path) => ({ path, lines: read(path).split('\n').length - 1 }))
      .filter(({ lines }) => lines > 600);
    expect(long).toEqual([]);
  });

  it('has index files that only re-export', () => {
    const wrong = sources
      .filter((path) => /^src\/([^/]+\/)?index\.ts$/.test(path))
      .filter((path) => {
        const code = read(path)
          .replace(/\/\*[\s\S]*?\*\//g, '')
          .replace(/^\s*\/\/.*$/gm, '')
          .replace(/\b(export|import)\s([^;]*?\sfrom\s+)?'[^']+';/g, '')
          .trim();
        return code !== '';
      });
    expect(wrong).toEqual([]);
  });

  it('uses no Node module in the folders that also run in a browser', () => {
    const wrong = sources
      .filter((path) => !isTest(path) && browserFolders.includes(folderOf(path) ?? ''))
      .flatMap(importsOf)
      .filter(({ to, typeOnly }) => !typeOnly && (to.startsWith('node:') || builtinModules.includes(to)))
      .map(({ from, to }) => `${from} -> ${to}`);
    expect(wrong).toEqual([]);
  });

  it('bundles those folders for the browser', async () => {
    // A folder without an index is entered by all of its files.
    const entries = browserFolders.flatMap((folder) => {
      const index = `src/${folder}/index.ts`;
      if (existsSync(join(root, index))) return [index];
      return sources.filter((path) => folderOf(path) === folder && !isTest(path));
    });
    expect(new Set(entries.map(folderOf)).size).toBeGreaterThanOrEqual(6);
    const result = await build({
      stdin: {
        contents: entries.map((path, i) => `export * as part${i} from './${path}';`).join('\n'),
        resolveDir: root,
        loader: 'ts',
      },
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'browser',
      target: 'es2022',
      // The engine's package is chosen by the platform seam: onnxruntime-web in a browser.
      external: ['onnxruntime-web', 'onnxruntime-node'],
      logLevel: 'silent',
    });
    expect(result.errors).toEqual([]);
    const text = result.outputFiles[0]?.text ?? '';
    expect(text).not.toMatch(/from\s*["']node:/);
    expect(text).not.toMatch(/from\s*["']onnxruntime-node["']/);
  });

  it('keeps the folder names of the top level in ARCHITECTURE.md', () => {
    const text = read('ARCHITECTURE.md');
    const top = readdirSync(root, { withFileTypes: true })
      .filter(
        (entry) => entry.isDirectory() && trackedFiles.some((path) => path.startsWith(`${entry.name}/`)),
      )
      .map((entry) => entry.name);
    expect(top.filter((name) => !new RegExp(`^${name.replace('.', '\\.')}/`, 'm').test(text))).toEqual([]);
  });
});
