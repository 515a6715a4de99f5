/**
 * The first pass of an index on disk: text and sparse codes in the order in which they were read, in blocks of some 16,384 tokens,
 * each a safetensors file that is there whole or not at all. A pass that was stopped goes on after its last block.
 *
 *     ids documents starts ends [R·T]      positions [n]  offsets [n+1]  latents values [offsets[n]]
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensors, writeSafetensors } from '../../formats/index.ts';
import { openFile } from '../../platform/node.ts';
import { removeTemporaries, writeAtomic, writeJson } from '../atomic.ts';

export type Block = {
  /** Rows of T positions. */
  readonly R: number;
  readonly T: number;
  readonly ids: Int32Array;
  readonly documents: Int32Array;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  /** Flat positions of the measured tokens [n], ascending. */
  readonly positions: Int32Array;
  /** Token i fires latents[offsets[i] .. offsets[i+1]]. */
  readonly offsets: Int32Array;
  readonly latents: Int32Array;
  readonly values: Float32Array;
};

/** What a continuation needs beside the blocks: where the data stands (plain JSON), and the measured tokens so far. */
export type BlockState = { readonly cursor: unknown; readonly tokens: number };

export type BlockStore = {
  /** Blocks that are there. */
  readonly count: number;
  /** After the last block; undefined before the first. */
  readonly state: BlockState | undefined;
  append(block: Block, state: BlockState): Promise<void>;
  read(index: number): Promise<Block>;
  /** Removes the folder. */
  remove(): Promise<void>;
};

const NAME = /^block-(\d{6})\.safetensors$/;
const ARRAYS = ['ids', 'documents', 'starts', 'ends', 'positions', 'offsets', 'latents', 'values'] as const;

/** Opens the folder of a pass; one of another pass (`identity`) is emptied. */
export async function openBlocks(folder: string, identity: string): Promise<BlockStore> {
  const head = join(folder, 'pass.json');
  const found = await readFile(head, 'utf8').then(
    (text) => (JSON.parse(text) as { identity?: unknown }).identity,
    () => undefined,
  );
  if (found !== identity) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await writeJson(head, { identity }, 'the settings of the pass');
  }
  await removeTemporaries(folder);
  const pathOf = (index: number): string =>
    join(folder, `block-${String(index).padStart(6, '0')}.safetensors`);
  let count = (await readdir(folder)).filter((name) => NAME.test(name)).length;
  const readMetadata = async (index: number) => {
    const source = await openFile(pathOf(index));
    try {
      return (await readSafetensors(source, pathOf(index))).metadata;
    } finally {
      await source.close?.();
    }
  };
  const stateOf = ({ state }: Readonly<Record<string, string>>) => JSON.parse(state!) as BlockState;
  let state = count === 0 ? undefined : stateOf(await readMetadata(count - 1));

  return {
    get count() {
      return count;
    },
    get state() {
      return state;
    },
    async append(block, next) {
      const chunks = writeSafetensors(
        Object.fromEntries(
          ARRAYS.map((name) => [
            name,
            {
              dtype: name === 'values' ? ('F32' as const) : ('I32' as const),
              shape: [block[name].length],
              data: block[name],
            },
          ]),
        ),
        { state: JSON.stringify(next), R: String(block.R), T: String(block.T) },
      );
      await writeAtomic(pathOf(count), chunks, {
        byteLength: chunks.reduce((sum, { length }) => sum + length, 0),
        what: 'a block of the index',
      });
      count += 1;
      state = next;
    },
    async read(index) {
      const source = await openFile(pathOf(index));
      try {
        const file = await readSafetensors(source, pathOf(index));
        const arrays = Object.fromEntries(
          await Promise.all(ARRAYS.map(async (name) => [name, await file.read(name)] as const)),
        );
        return { ...arrays, R: Number(file.metadata.R), T: Number(file.metadata.T) } as Block;
      } finally {
        await source.close?.();
      }
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
