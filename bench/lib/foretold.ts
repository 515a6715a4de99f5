/** `saekit plan`, then `saekit train` with the same flags, each in a process of its own: what was said and what happened. */
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeRandomModel } from './random-model.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Seconds by stage up to the finished SAE, bytes of memory at the peak and of the run folder at the end. */
export type Figures = {
  readonly data: number;
  readonly model: number;
  readonly sae: number;
  readonly total: number;
  readonly memory: number;
  readonly disk: number;
};
export type Foretold = { readonly name: string; readonly predicted: Figures; readonly happened: Figures };

export type Case = { readonly name: string; readonly flags: readonly string[] };

/** A Llama of 4 layers, D 768, with random weights and the demo's tokenizer. */
export function writeWideModel(folder: string): string {
  mkdirSync(folder);
  writeRandomModel(folder, { layers: 4, D: 768, heads: 12, kvHeads: 12, mlp: 2048, V: 8192 });
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(join(root, 'demo/model', file), join(folder, file));
  return folder;
}

/** Three sizes: the demo, a wide SAE most of whose latents are dead for a while, and a model that takes most of the time. */
export function sizes(wideModel: string): Case[] {
  const text = ['--data', join(root, 'demo/corpus/train.jsonl.gz'), '--shuffle-tokens', '16384'];
  const demo = ['--model', join(root, 'demo/model'), ...text];
  return [
    { name: 'the bundled model, F 4096', flags: [...demo, '--latents', '4096', '--tokens', '400k'] },
    { name: 'the bundled model, F 16384', flags: [...demo, '--latents', '16384', '--tokens', '300k'] },
    {
      name: 'D 768, F 8192',
      flags: [
        '--model',
        wideModel,
        ...text,
        '--latents',
        '8192',
        '--batch-tokens',
        '2048',
        '--tokens',
        '80k',
      ],
    },
  ];
}

type Run = { readonly out: string; readonly peak: number };

function saekit(args: readonly string[], peakFile: string): Promise<Run> {
  const preload = new URL('../../test/fixtures/peak-memory.mjs', import.meta.url).href;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', preload, join(root, 'dist/cli/main.js'), ...args], {
      cwd: root,
      env: { ...process.env, SAEKIT_TEST_PEAK: peakFile, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [out, errors] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    child.on('error', reject);
    child.on('close', (status) =>
      status === 0
        ? resolve({ out, peak: Number(readFileSync(peakFile, 'utf8')) })
        : reject(new Error(`saekit ${args.join(' ')} ended with ${status}:\n${errors}`)),
    );
  });
}

const folderBytes = (folder: string): number =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => statSync(join(folder, name)))
    .reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);

/** @param folder a place for the run; must not be there yet */
export async function foretell({ name, flags }: Case, folder: string): Promise<Foretold> {
  const all = [...flags, '--eval-tokens', '0', '--json'];
  const peakFile = `${folder}.peak`;
  const estimate = JSON.parse((await saekit(['plan', ...all], peakFile)).out);
  const { out, peak } = await saekit(['train', ...all, '--out', folder], peakFile);
  const { progress, seconds } = JSON.parse(out.trim().split('\n').at(-1)!);
  const stage = (wanted: string): number =>
    estimate.time.stages.find((one: { name: string }) => one.name === wanted)?.seconds ?? 0;
  return {
    name,
    predicted: {
      data: stage('data'),
      model: stage('model'),
      sae: stage('SAE'),
      total: estimate.time.seconds,
      memory: estimate.memory.peak,
      disk: estimate.disk.atEnd,
    },
    happened: {
      data: progress.stages.data / 1000,
      model: progress.stages.model / 1000,
      sae: progress.stages.sae / 1000,
      total: seconds,
      memory: peak,
      disk: folderBytes(folder),
    },
  };
}
