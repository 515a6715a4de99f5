// Builds dist/ from src/: the WebAssembly kernels first, then TypeScript. Installs the two compilers when they are missing.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { installIfMissing, run } from './lib.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const tools = `${root}scripts/build-tools`;

installIfMissing({ folder: tools, probe: 'typescript', what: 'the compilers (about 25 MB)' });

const assembly = `${root}src/kernels/assembly/index.ts`;
if (existsSync(assembly)) {
  const wasm = `${root}src/kernels/kernels.tmp`;
  run(process.execPath, [
    `${tools}/node_modules/assemblyscript/bin/asc.js`,
    assembly,
    '--outFile', wasm,
    '-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--importMemory', '--maximumMemory', '65536',
    '--use', 'abort=',
  ]);
  const base64 = readFileSync(wasm).toString('base64');
  rmSync(wasm);
  writeFileSync(
    `${root}src/kernels/wasm.ts`,
    `// Generated from assembly/ by scripts/build.mjs; not in git.\nexport const wasmBase64 =\n  '${base64}';\n`,
  );
}

rmSync(`${root}dist`, { recursive: true, force: true });
const strict = process.argv.includes('--check') ? [] : ['--noCheck'];
const result = spawnSync(
  process.execPath,
  [`${tools}/node_modules/typescript/bin/tsc`, '-p', `${root}tsconfig.build.json`, ...strict],
  { stdio: 'inherit', cwd: root },
);
process.exit(result.status ?? 1);
