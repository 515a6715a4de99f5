// What a person who installs the package gets: pinned, so that a change is seen.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildOnce } from './fixtures/command-line.ts';
import { read, root, trackedFiles } from './repository.ts';

const manifest = JSON.parse(read('package.json')) as Record<string, unknown> & {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};

describe('package', () => {
  it('exports the library', async () => {
    const library = await import('../src/index.ts');
    expect(Object.keys(library).sort()).toMatchInlineSnapshot(`
      [
        "BeyondFloat16",
        "GRID_FILE",
        "Interrupted",
        "NonFiniteActivations",
        "StorageFull",
        "TrainingDiverged",
        "UsageError",
        "buildCards",
        "chooseInteresting",
        "chooseRandom",
        "convertSae",
        "createActivationStream",
        "createActivationStreams",
        "createEncoder",
        "createFeatureIndex",
        "createMoments",
        "createRowReader",
        "createStoredStream",
        "createTokenizer",
        "createTrainer",
        "createUnembed",
        "createVector",
        "decode",
        "dense",
        "describeOnnx",
        "describeSae",
        "directionOf",
        "editLatent",
        "encode",
        "encodeTexts",
        "encodeVector",
        "estimateTraining",
        "evalConfigSchema",
        "evaluate",
        "evaluateRows",
        "evaluateSae",
        "expandGrid",
        "exportFeatures",
        "exportFeaturesConfigSchema",
        "exportModel",
        "findSteering",
        "findTarget",
        "fitPca",
        "folderWriter",
        "formatEvalTable",
        "generateConfigSchema",
        "gridSchema",
        "harvest",
        "harvestConfigSchema",
        "importFeatures",
        "importFeaturesConfigSchema",
        "inRows",
        "indexConfigSchema",
        "indexSae",
        "inspect",
        "interventionSchema",
        "joinMemory",
        "latentColumn",
        "listModels",
        "loadSae",
        "logitEffects",
        "measureSae",
        "memoryDocuments",
        "modelMemory",
        "modelMemoryText",
        "openActivations",
        "openCorpus",
        "openFeatureTables",
        "openInterventions",
        "openLatentCache",
        "openModel",
        "openOnnx",
        "openSae",
        "packRows",
        "padBatch",
        "pcaCandidate",
        "peakMemory",
        "planPush",
        "planTraining",
        "pushPlanned",
        "randomised",
        "readActivationsManifest",
        "readGrid",
        "readLatent",
        "readRun",
        "readRunMetrics",
        "readVector",
        "reportFiles",
        "requireModelMemory",
        "requireWritingMemory",
        "resumeGrid",
        "resumeTraining",
        "runWithSaes",
        "saeCandidate",
        "saveSae",
        "selfTest",
        "selfTestText",
        "sentenceVectors",
        "steer",
        "steerReport",
        "steerReportConfigSchema",
        "steeredModel",
        "steeredSamples",
        "testOnText",
        "tokenize",
        "tokenizeConfigSchema",
        "trainConfigSchema",
        "trainGrid",
        "trainSae",
        "vectorMethods",
        "verifyActivations",
        "writeText",
        "writeVector",
      ]
    `);
  });

  it('type-checks strictly in a program that imports it, without the types of Node', () => {
    buildOnce();
    const folder = mkdtempSync(join(tmpdir(), 'saekit-consumer-'));
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(root, join(folder, 'node_modules', 'saekit'), 'junction');
    const options = {
      ...{ module: 'nodenext', target: 'es2022', types: [], noEmit: true, skipLibCheck: false },
      ...{ strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true },
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options }));
    writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
    writeFileSync(
      join(folder, 'index.ts'),
      `import { type CodeEdit, editLatent, encodeTexts, loadSae, openModel, runWithSaes, type SaeRun } from 'saekit';
      const model = await openModel('m');
      const sae = await loadSae('s');
      const edit: CodeEdit = (code) => editLatent(code, 3, () => 0);
      const { signal } = new AbortController();
      const { logits, saes } = await runWithSaes(model, ['a'], [sae, { sae, hook: 'x', edit }], { keepError: true, signal });
      // One for each SAE that was given, and no third.
      const [first, second]: readonly [SaeRun, SaeRun] = saes;
      for await (const { tokens, code } of encodeTexts(model, sae, ['a'])) console.log(tokens.length, code.values);
      // @ts-expect-error
      saes[2].hook;
      // @ts-expect-error
      runWithSaes(model, ['a'], [{ hook: 'x' }]);
      console.log(logits?.dims, first.code.K, second.error.data.length);`,
    );
    const tsc = join(root, 'scripts', 'build-tools', 'node_modules', 'typescript', 'bin', 'tsc');
    const { stdout, status } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' });
    rmSync(folder, { recursive: true });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  }, 120_000);

  it('has this manifest', () => {
    const { name, license, type, engines, bin, exports, files, dependencies } = manifest;
    expect({
      name,
      license,
      type,
      engines,
      bin,
      exports,
      files,
      dependencies: Object.keys(dependencies),
    }).toMatchInlineSnapshot(`
      {
        "bin": {
          "saekit": "./dist/cli/main.js",
        },
        "dependencies": [
          "@hono/node-server",
          "@huggingface/hub",
          "@huggingface/jinja",
          "@huggingface/tokenizers",
          "@modelcontextprotocol/server",
          "apache-arrow",
          "commander",
          "csv-parse",
          "fflate",
          "hono",
          "hyparquet",
          "hyparquet-compressors",
          "hyparquet-writer",
          "ml-matrix",
          "onnx-proto",
          "onnxruntime-common",
          "onnxruntime-node",
          "undici",
          "zod",
        ],
        "engines": {
          "node": ">=20.19",
        },
        "exports": {
          ".": {
            "default": "./dist/index.js",
            "types": "./dist/index.d.ts",
          },
          "./package.json": "./package.json",
        },
        "files": [
          "dist",
          "demo",
          "docs",
          "README.md",
          "LICENSE",
          "CHANGELOG.md",
        ],
        "license": "Apache-2.0",
        "name": "saekit",
        "type": "module",
      }
    `);
  });

  it('pins every version exactly', () => {
    const versions = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });

  it('locks the binaries of every system, so that npm ci works everywhere', () => {
    type Entry = { optionalDependencies?: Record<string, string> };
    for (const path of ['package-lock.json', 'scripts/build-tools/package-lock.json']) {
      const { packages } = JSON.parse(read(path)) as { packages: Record<string, Entry> };
      const missing = Object.entries(packages).flatMap(([parent, { optionalDependencies = {} }]) =>
        Object.keys(optionalDependencies).filter(
          (name) => !packages[`node_modules/${name}`] && !packages[`${parent}/node_modules/${name}`],
        ),
      );
      expect(missing, `${path}: run node scripts/complete-lock.mjs`).toEqual([]);
    }
  });

  it('needs no compiler and runs no script when it is installed', () => {
    expect(
      Object.keys(manifest.scripts as object).filter((name) => /install|prepare|prepublish/.test(name)),
    ).toEqual([]);
  });

  it('stays small in git: no file above 25 MB, at most 60 MB in all', async () => {
    const { statSync } = await import('node:fs');
    const sizes = trackedFiles.map((path) => ({ path, megabytes: statSync(path).size / 1e6 }));
    expect(sizes.filter(({ megabytes }) => megabytes > 25)).toEqual([]);
    expect(sizes.reduce((sum, { megabytes }) => sum + megabytes, 0)).toBeLessThan(60);
  });
});
