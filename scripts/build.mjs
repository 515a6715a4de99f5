// Builds dist/ from src/ and web/: the WebAssembly kernels first, then TypeScript, then the app. Installs the compilers when they are missing.
// `--if-stale` does nothing when dist/ was built from the sources as they are; `--check` also checks types.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { digest, installCompilers, root, runQuietly, tools, tryRun } from './lib.mjs';

await installCompilers();
buildKernels();
const sources = digest(
  ['src', 'web', 'tsconfig.json', 'tsconfig.build.json', 'scripts/build.mjs'].map((path) => join(root, path)),
  (path) => path.endsWith('.test.ts'),
);
const stamp = join(root, 'dist', '.built-from');
if (!process.argv.includes('--if-stale') || !existsSync(stamp) || readFileSync(stamp, 'utf8') !== sources)
  buildPackage();

/** AssemblyScript -> src/kernels/wasm.ts, when the assembly has changed. */
function buildKernels() {
  const assembly = join(root, 'src', 'kernels', 'assembly');
  const output = join(root, 'src', 'kernels', 'wasm.ts');
  if (!existsSync(join(assembly, 'index.ts'))) return;
  const flags = [
    '-O3',
    '--noAssert',
    '--runtime',
    'stub',
    '--enable',
    'simd',
    '--importMemory',
    '--use',
    'abort=',
  ];
  // A memory that threads share takes a module that says so.
  const shared = ['--enable', 'threads', '--sharedMemory', '--maximumMemory', '65536'];
  const header = `// Generated from assembly/ ${digest([assembly])} (${[...flags, ...shared].join(' ')}) by scripts/build.mjs; not in git.\n`;
  if (existsSync(output) && readFileSync(output, 'utf8').startsWith(header)) return;
  const compile = (more) => {
    const wasm = join(root, 'src', 'kernels', `kernels-${process.pid}.tmp`);
    runQuietly(process.execPath, [
      join(tools, 'node_modules', 'assemblyscript', 'bin', 'asc.js'),
      join(assembly, 'index.ts'),
      '--outFile',
      wasm,
      ...flags,
      ...more,
    ]);
    const base64 = readFileSync(wasm).toString('base64');
    rmSync(wasm);
    return base64;
  };
  writeFileSync(
    output,
    `${header}export const wasmBase64 =\n  '${compile([])}';\nexport const sharedWasmBase64 =\n  '${compile(shared)}';\n`,
  );
}

/** web/ -> dist/web/: one script, one style sheet, no file from elsewhere. */
function buildApp(folder) {
  mkdirSync(join(folder, 'assets'), { recursive: true });
  for (const file of ['index.html', 'theme.js']) copyFileSync(join(root, 'web', file), join(folder, file));
  const { buildSync } = createRequire(join(tools, 'package.json'))('esbuild');
  const built = buildSync({
    entryPoints: { app: join(root, 'web', 'src', 'main.tsx') },
    outdir: join(folder, 'assets'),
    entryNames: '[name]-[hash]',
    metafile: true,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    nodePaths: [join(tools, 'node_modules')],
    logLevel: 'warning',
  });
  // Files are named by their content, so that a browser may keep them; the page says which.
  const page = join(folder, 'index.html');
  const html = readFileSync(page, 'utf8').replace(/\/assets\/app\.(js|css)/g, (_, kind) => {
    const path = Object.keys(built.metafile.outputs).find((name) => name.endsWith(`.${kind}`));
    return `/assets/${basename(path)}`;
  });
  writeFileSync(page, html);
}

/** TypeScript -> dist/, swapped in whole, so that a program that runs from dist/ meanwhile never sees half a build. */
function buildPackage() {
  const next = join(root, `dist-${process.pid}.tmp`);
  const last = join(root, `dist-${process.pid}-old.tmp`);
  rmSync(next, { recursive: true, force: true });
  mkdirSync(next);
  const strict = process.argv.includes('--check') ? [] : ['--noCheck'];
  const status = tryRun(process.execPath, [
    join(tools, 'node_modules', 'typescript', 'bin', 'tsc'),
    '-p',
    join(root, 'tsconfig.build.json'),
    '--outDir',
    next,
    ...strict,
  ]);
  if (status !== 0) {
    rmSync(next, { recursive: true, force: true });
    console.error('The build failed; dist/ is as it was.');
    process.exit(status);
  }
  buildApp(join(next, 'web'));
  writeFileSync(join(next, '.built-from'), sources);
  const dist = join(root, 'dist');
  if (existsSync(dist)) renameSync(dist, last);
  renameSync(next, dist);
  rmSync(last, { recursive: true, force: true });
}
