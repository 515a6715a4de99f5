// Finds runs of equal code in two places of src/ and scripts/: blank lines, comments, imports and lone brackets do not count.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './lib.mjs';

/** Shorter runs are idioms, not copies. */
const SHORTEST = 12;

export function duplicates() {
  const files = execFileSync(
    'git',
    ['ls-files', '-z', 'src/*.ts', 'scripts/*.mjs', 'bench/*.mjs', 'examples/*.ts'],
    { cwd: root, encoding: 'utf8' },
  )
    .split('\0')
    .filter((path) => path && !path.endsWith('.test.ts'));
  const seen = new Map();
  const found = [];
  for (const path of files) {
    const lines = significantLines(path);
    for (let i = 0; i + SHORTEST <= lines.length; i++) {
      const key = lines
        .slice(i, i + SHORTEST)
        .map((line) => line.text)
        .join('\n');
      const first = seen.get(key);
      if (!first) {
        seen.set(key, { path, lines, i });
        continue;
      }
      if (first.path === path && i < first.i + SHORTEST) continue;
      let length = SHORTEST;
      while (lines[i + length] && lines[i + length].text === first.lines[first.i + length]?.text) length++;
      found.push({
        where: [`${first.path}:${first.lines[first.i].number}`, `${path}:${lines[i].number}`],
        lines: length,
      });
      i += length - 1;
    }
  }
  return found;
}

function significantLines(path) {
  let text;
  try {
    text = readFileSync(join(root, path), 'utf8');
  } catch {
    return [];
  }
  return text
    .split('\n')
    .map((line, index) => ({ text: line.trim(), number: index + 1 }))
    .filter(
      ({ text }) =>
        /[A-Za-z0-9]/.test(text) && !/^(\/\/|\/?\*|import |export (\*|\{|type \{)|\} from )/.test(text),
    );
}
