/**
 * `npm run bench [-- --only NAME,… [--keep]] [--quick] [--python PATH] [--threads N]`
 *
 * One JSON line per figure on stdout, all ratios of one run: every contender takes its turn in every round, figures are
 * ratios of medians. Progress goes to stderr. A whole run is kept in bench/results/<date>-<cpu>.json,
 * one of some figures when asked for, with their names behind that. Status 1 when a figure misses its target.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { interleave, type Measured, median } from './lib/contender.ts';
import { chosen, type Figure, holds, targetText } from './lib/figures.ts';
import { lineUp, sizes } from './lib/line-up.ts';
import { findPython } from './lib/peer.ts';

const { values: flags } = orUsage(() =>
  parseArgs({
    options: {
      only: { type: 'string' },
      keep: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      python: { type: 'string' },
      threads: { type: 'string' },
    },
  }),
);
const progress = (line: string) => process.stderr.write(`bench: ${line}\n`);
const selected = orUsage(() => chosen(flags.only));
const threads = Number(flags.threads ?? availableParallelism());
const loadBefore = loadavg()[0]!;
if (loadBefore > 0.5 * availableParallelism())
  progress(
    `load is ${loadBefore.toFixed(1)} on ${availableParallelism()} cores: other programs will disturb the figures`,
  );

const { contenders, skipped, clean } = await lineUp(selected, {
  threads,
  python: findPython(flags.python),
  quick: flags.quick,
  progress,
});
for (const { name, skipped: reason } of skipped) progress(`without ${name}: ${reason}`);
let measured: Map<string, Measured>;
try {
  measured = await interleave(contenders, {
    rounds: flags.quick ? 3 : 7,
    warmup: flags.quick ? 1 : 2,
    progress,
  });
} finally {
  for (const { close } of contenders) await close();
  clean();
}

const lines = selected.map(line);
for (const figure of lines) console.log(JSON.stringify(figure));
if ((flags.keep || flags.only === undefined) && !flags.quick) keep();
process.exitCode = lines.some((figure) => 'holds' in figure && figure.holds === false) ? 1 : 0;

/** Ends with status 2 and the message alone when the flags are wrong. */
function orUsage<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    console.error(`bench: ${(error as Error).message}`);
    process.exit(2);
  }
}

/** A figure's line: its ratio, or why there is none. */
function line(figure: Figure) {
  const { name, says, ours, baseline, ratio: kind, target } = figure;
  const present = baseline.filter((candidate) => measured.has(candidate));
  if (present.length === 0)
    return { name, skipped: skipped.find((s) => baseline.includes(s.name))?.skipped ?? 'no baseline' };
  const ms = (contender: string) => median(measured.get(contender)!.times);
  const fastest = present.toSorted((a, b) => ms(a) - ms(b))[0]!;
  const ratio = kind === 'ours/baseline' ? ms(ours) / ms(fastest) : ms(fastest) / ms(ours);
  return {
    name,
    ours_ms: round(ms(ours)),
    baseline_ms: round(ms(fastest)),
    ratio: round(ratio, 1000),
    target: target ? targetText(target) : null,
    holds: target ? holds(ratio, target) : null,
    says,
    baseline: fastest,
    ...rates(name, ms(ours), ms(fastest)),
    raw: Object.fromEntries([ours, ...present].map((c) => [c, measured.get(c)!.times.map((t) => round(t))])),
  };
}

/** Absolute rates where a turn is a training step or a product. */
function rates(name: string, oursMs: number, baselineMs: number) {
  if (!name.startsWith('train.topk')) return {};
  const { B, D, F } = sizes;
  const tokens = { ours_tokens_per_s: Math.round((B / oursMs) * 1000) };
  return name.includes('.vs_')
    ? { ...tokens, baseline_tokens_per_s: Math.round((B / baselineMs) * 1000) }
    : { ...tokens, baseline_gflops: Math.round((2 * B * D * F) / baselineMs / 1e6) };
}

function round(value: number, digits = 10): number {
  return Math.round(value * digits) / digits;
}

/** The whole run with the machine it was measured on. */
function keep(): void {
  const cpu = cpus()[0]?.model.trim() ?? 'unknown cpu';
  const slug = cpu
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  const folder = fileURLToPath(new URL('./results/', import.meta.url));
  const some = flags.only === undefined ? '' : `-${flags.only.replace(/[^\w.]+/g, '-')}`;
  const path = `${folder}${new Date().toISOString().slice(0, 10)}-${slug}${some}.json`;
  mkdirSync(folder, { recursive: true });
  const record = {
    date: new Date().toISOString(),
    commit: commit(),
    machine: {
      cpu,
      cores: availableParallelism(),
      memory_gib: Math.round(totalmem() / 2 ** 30),
      os: `${process.platform} ${release()}`,
      node: process.versions.node,
      onnxruntime: packageVersion('onnxruntime-node'),
      threads,
      load_before: round(loadBefore),
      load_after: round(loadavg()[0]!),
    },
    sizes,
    figures: lines,
    contenders: Object.fromEntries(measured),
    skipped,
  };
  writeFileSync(path, `${JSON.stringify(record, null, 1)}\n`);
  progress(`kept in bench/results/${path.slice(folder.length)}`);
}

function commit(): string | null {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return null;
  }
}

function packageVersion(name: string): string {
  const path = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}
