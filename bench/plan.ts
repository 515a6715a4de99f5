/**
 * `npm run bench -- --only plan`: figure `plan.time`. What `saekit plan` says of three runs, and what then happens, one JSON line each; kept in
 * bench/results/plan-<date>.json. Status 1 when a time is off by more than a fifth, memory by more than a tenth, disk by more than a twentieth.
 *
 * A stage that takes less than a twentieth of the run is reported, not judged: its error is not the run's.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Figures, type Foretold, foretell, sizes, writeWideModel } from './lib/foretold.ts';

const WITHIN = { data: 0.2, model: 0.2, sae: 0.2, total: 0.2, memory: 0.1, disk: 0.05 };

function judge({ name, predicted, happened }: Foretold) {
  const ratios = Object.fromEntries(
    (Object.keys(WITHIN) as (keyof Figures)[]).map((figure) => [
      figure,
      Math.round((1000 * happened[figure]) / predicted[figure]) / 1000,
    ]),
  );
  const holds = (Object.keys(WITHIN) as (keyof Figures)[]).every((figure) => {
    const small = ['data', 'model', 'sae'].includes(figure) && happened[figure] < 0.05 * happened.total;
    return small || Math.abs(ratios[figure]! - 1) <= WITHIN[figure];
  });
  return { name: 'plan.time', run: name, happened_over_predicted: ratios, holds, predicted, happened };
}

const folder = mkdtempSync(join(tmpdir(), 'saekit-bench-plan-'));
const load = loadavg()[0]!;
if (load > 0.5 * availableParallelism())
  process.stderr.write(`bench: load is ${load.toFixed(1)}: other programs will disturb the figures\n`);
const figures = [];
try {
  for (const [i, size] of sizes(writeWideModel(join(folder, 'model'))).entries()) {
    process.stderr.write(`bench: ${size.name}\n`);
    const figure = judge(await foretell(size, join(folder, `run-${i}`)));
    console.log(JSON.stringify(figure));
    figures.push(figure);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const date = new Date().toISOString();
const path = fileURLToPath(new URL(`./results/plan-${date.slice(0, 10)}.json`, import.meta.url));
const machine = {
  cpu: cpus()[0]?.model.trim(),
  cores: availableParallelism(),
  node: process.versions.node,
  load_before: Math.round(load * 10) / 10,
};
writeFileSync(path, `${JSON.stringify({ date, machine, figures }, null, 1)}\n`);
process.exitCode = figures.every(({ holds }) => holds) ? 0 : 1;
