// Every example runs, on the bundled model, as a process of its own; each is held to what its text claims.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildOnce } from './fixtures/command-line.ts';
import { read, root } from './repository.ts';
import { demoModel, LATE, late } from './support/demo.ts';

let work: string;
beforeAll(() => {
  // Examples import the package itself: what is in dist.
  buildOnce();
  work = mkdtempSync(join(tmpdir(), 'saekit-examples-'));
}, 120_000);
afterAll(() => rmSync(work, { recursive: true, force: true }));

const examples = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.ts'));
const run = (number: string, ...args: string[]): string[] => {
  const example = examples.find((name) => name.startsWith(number))!;
  const command = ['--import', 'tsx', join(root, 'examples', example), ...args];
  return execFileSync(process.execPath, command, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: work },
  })
    .trimEnd()
    .split('\n');
};
/** The numbers in a line, those of latents left out. */
const numbers = (line: string | undefined): number[] =>
  (line?.replace(/#\d+/g, '').match(/-?\d+(\.\d+)?/g) ?? []).map(Number);
const lineWith = (lines: readonly string[], text: string): string =>
  lines.find((line) => line.includes(text))!;

describe('examples', { timeout: 180_000 }, () => {
  it('01: encodes a sentence', () => {
    const lines = run('01');
    const { D } = demoModel;
    expect(lines[0]).toBe(`demo/model at ${LATE}, width ${D}; TopK, D ${D}, F ${late.F}, K ${late.K}`);
    const shares = lines.slice(3).map((line) => Number(/ (\d+) % /.exec(line)![1]));
    expect(shares.length).toBeGreaterThan(20);
    expect(Math.min(...shares)).toBeGreaterThan(50);
    expect(shares.reduce((a, b) => a + b) / shares.length).toBeGreaterThan(75);
    // What it raises is Cyrillic, too.
    expect(lineWith(lines, '"ет"')).toMatch(/#\d+ .*"\p{Script=Cyrillic}+"/u);
  });

  it('02: reads several hooks at once', () => {
    const lengths = run('02').map((line) => {
      const [, width, length] = /\[2, 13, (\d+)\] {2}mean length (\S+)$/.exec(line)!;
      expect(Number(width)).toBe(demoModel.D);
      return Number(length);
    });
    expect(lengths).toHaveLength(demoModel.layers);
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
  });

  it('03: finds latents that tell recipes from speeches', () => {
    const lines = run('03').filter((line) => line.startsWith('#'));
    expect(lines).toHaveLength(16);
    for (const [i, line] of lines.entries()) {
      const [recipes, reports] = numbers(line);
      expect(Math.sign(recipes! - reports!)).toBe(i < 8 ? 1 : -1);
    }
    expect(lines.slice(0, 8).join()).toMatch(/" tbsp".*" finely".*" tsp"/);
    expect(lines.slice(8).join()).toMatch(/" Congress"/);
  });

  it('04: makes a dashboard in one file', () => {
    const file = join(work, 'dashboard.html');
    const [, latent] = /number = '(\d+)'/.exec(read('examples/04-latent-dashboard.ts'))!;
    const lines = run('04', latent!, file);
    const [fired, tokens] = numbers(lines[0]);
    expect(fired! / tokens!).toBeGreaterThan(0.002);
    expect(fired! / tokens!).toBeLessThan(0.02);
    const html = readFileSync(file, 'utf8');
    expect(html).toContain(`<title>Latent ${latent}</title>`);
    expect(html).not.toMatch(/https?:|<script|<link/);
    // Every passage has its peak in full colour or weaker, and the strongest one in full.
    expect(html.match(/rgba\(255,140,0,1\.00\)/g)?.length).toBeGreaterThanOrEqual(1);
    const peaks = [...html.matchAll(/<b>([\d.]+)<\/b>/g)].map(([, peak]) => Number(peak));
    expect(peaks).toHaveLength(20);
    expect(peaks).toEqual(peaks.toSorted((a, b) => b - a));
    // An ingredient in a recipe.
    expect(html).toMatch(/yoghurt|pepper|cheese|onion|garlic|butter/);
  });

  it('05: one latent off costs more than another, and nothing before it fires', () => {
    const lines = run('05');
    const [clean, kept, without, control] = lines.slice(1, 5).map((line) => numbers(line).at(-1)!);
    expect(kept).toBe(clean);
    expect(without! - clean!).toBeGreaterThan(0.1);
    expect(Math.abs(control! - clean!)).toBeLessThan((without! - clean!) / 3);
    const before = lines.slice(lines.findIndex((line) => line.startsWith('"<|bos|>"')));
    const first = before.findIndex((line) => line.startsWith('" α"'));
    expect(first).toBe(6);
    for (const line of before.slice(0, first)) expect(numbers(line).at(-1)).toBe(0);
  });

  it('06: steers into Greek, which a random direction does not', () => {
    const greek = (line: string): number => (line.match(/\p{Script=Greek}/gu)?.length ?? 0) / line.length;
    const lines = run('06').filter((line) => line.startsWith('  '));
    expect(lines).toHaveLength(9);
    for (const line of lines.filter((one) => one.startsWith('  random'))) expect(greek(line)).toBe(0);
    expect(greek(lines[0]!)).toBe(0);
    expect(greek(lines[5]!)).toBeGreaterThan(0.3);
  });

  it('07: ten latents bring back the logit difference, ten others do not', () => {
    const lines = run('07');
    const clean = numbers(lines[0]).at(-1)!;
    const table = lines.slice(-6).map(numbers);
    expect(table.map(([n]) => n).slice(0, 5)).toEqual([0, 2, 5, 10, 20]);
    const [none, , , ten, , all] = table as [number, number, number][];
    expect(none![1]).toBe(none![2]);
    expect([all![1], all![2]]).toEqual([clean, clean]);
    expect(ten![1] - none![1]).toBeGreaterThan(0.8 * (clean - none![1]));
    expect(Math.abs(ten![2] - none![2])).toBeLessThan(0.3 * (clean - none![1]));
  });

  it('08: trains and beats PCA', () => {
    const lines = run('08', '60000');
    const losses = lines.filter((line) => line.startsWith('step')).map((line) => numbers(line)[2]!);
    expect(losses.at(-1)).toBeLessThan(0.8 * losses[0]!);
    const [sae, pca] = numbers(lineWith(lines, 'FVU ↓'));
    expect(sae).toBeLessThan(pca!);
    expect(lineWith(lines, 'The run, its evaluation')).toContain(work);
  }, 300_000);

  it('09: finds the parts of images in an .npy file, which PCA does not', () => {
    const lines = run('09');
    expect(lines[0]).toBe('npy: 22000 rows of 64');
    const [fvu, found] = numbers(lineWith(lines, 'SAE'));
    const [, control, foundByPca] = numbers(lineWith(lines, 'PCA-4'));
    expect(fvu).toBeLessThan(control! / 5);
    expect(found).toBeGreaterThanOrEqual(14);
    expect(foundByPca).toBeLessThanOrEqual(4);
    expect(lines.at(-1)).toMatch(/^([█·]{8} {2}){7}[█·]{8}$/);
  });

  it('10: watches latents while the model writes', () => {
    const lines = run('10', 'The meeting will be held');
    const count = lines.findIndex((line) => line.includes('of them written'));
    const [tokens, written] = numbers(lines[count]);
    const shown = lines
      .slice(count + 1)
      .map((line) => JSON.parse(/^ {2}("(?:[^"\\]|\\.)*")/.exec(line)![1]!));
    expect(shown).toHaveLength(written!);
    expect(tokens).toBeGreaterThan(written!);
    // What was streamed is what was captured token by token.
    expect(lines.slice(0, count - 1).join('\n')).toBe(`The meeting will be held${shown.join('')}`);
    for (const line of lines.slice(count + 1)) expect(line).toMatch(/(#\d+ \d+\.\d {0,2}){3}$/);
  });

  it('are all run here, in the index, short, and begin with what one learns and the command', () => {
    const index = read('examples/README.md');
    const here = read('test/examples.slow.test.ts');
    for (const [i, name] of examples.entries()) {
      const text = read(`examples/${name}`);
      expect(Number(name.slice(0, 2))).toBe(i + 1);
      expect(index).toContain(`](${name})`);
      expect(here).toContain(`run('${name.slice(0, 2)}'`);
      expect(text).toMatch(new RegExp(`^(// .+\n)+//   npx tsx examples/${name}`));
      expect(text).toContain("from 'saekit'");
      expect(text.split('\n').length).toBeLessThan(105);
    }
  });

  it('11: taps and patches a tensor of an ONNX file', () => {
    const lines = run('11');
    const streams = lines.filter((line) => / \[1, 4, 16\], mean length /.test(line));
    expect(streams.map((line) => line.split(' ')[0])).toEqual([
      'blocks.0.hook_resid_post',
      'blocks.1.hook_resid_post',
    ]);
    // Norms take most of a scale away, and attention reads the rest.
    const [share] = numbers(lines.at(-1)!.split(' by ')[1]);
    expect(share).toBeGreaterThan(1);
    expect(share).toBeLessThan(200);
  });
});
