/**
 * A grid of cells that takes hours, one JSON line per cell under .cache/: run again with the same setup, it goes on after the last one
 * that was finished.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

export type KeptCells<Cell> = {
  /** Cells of an earlier run with this setup. */
  readonly cells: readonly Cell[];
  add(cells: readonly Cell[]): void;
  /** The whole grid is done and kept elsewhere. */
  remove(): void;
};

/** @param name of the grid; its file is .cache/bench-<name>.jsonl, begun anew when `setup` is another */
export function keepCells<Cell>(name: string, setup: Readonly<Record<string, unknown>>): KeptCells<Cell> {
  const path = fileURLToPath(new URL(`../../.cache/bench-${name}.jsonl`, import.meta.url));
  const [head, ...lines] = existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
  const same = head === JSON.stringify(setup);
  if (!same) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${JSON.stringify(setup)}\n`);
  }
  return {
    cells: same ? lines.map((line) => JSON.parse(line) as Cell) : [],
    add: (cells) => appendFileSync(path, cells.map((cell) => `${JSON.stringify(cell)}\n`).join('')),
    remove: () => rmSync(path, { force: true }),
  };
}
