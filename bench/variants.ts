/**
 * `npm run bench -- --variants [--quick] [--seeds N] [--steps N] [--latents N] [--held-out N]`, or `--render FILE`
 *
 * L0 against FVU and against delta CE on the bundled model, for every kind of SAE beside the same kind with a frozen decoder: L0 of 16, 32, 64
 * and 128, three seeds, the short recipe and the same rows for all. In one evaluation of held-out text each SAE stands beside its control and
 * beside its reference of the same L0 and seed (TopK; of a skip transcoder the transcoder), so their differences have paired intervals
 * (bootstrap over documents). A difference counts only when it has the same sign in every seed and no interval holds 0; else it is
 * "not resolved". Transcoders read hook_resid_mid of the same block and give hook_mlp_out: their figures are of that place.
 *
 * Stopped and run again, it goes on after the last seed that it finished. Writes bench/results/variants-<date>.json, docs/variants.md and docs/variants.svg; `--render` makes the last two from such a file.
 * `--quick`: one L0, one seed, few steps; printed, not kept.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import '../src/platform/node.ts';
import { createMoments, evaluate, saeCandidate } from '../src/eval/index.ts';
import type { Sae } from '../src/sae/index.ts';
import { VARIANTS } from '../src/shared/config.ts';
import { defaultPrefixes } from '../src/shared/derive.ts';
import type { Interval } from '../src/shared/eval.ts';
import { createTrainer, type TrainerConfig } from '../src/train/index.ts';
import { LATE as HOOK } from '../test/support/demo.ts';
import { type DemoRows, openDemoRows } from './lib/demo-rows.ts';
import { type KeptCells, keepCells } from './lib/kept-cells.ts';
import { type CurveCell, curveTable } from './lib/variant-curves.ts';
import { curveFigure } from './lib/variant-figure.ts';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    seeds: { type: 'string' },
    steps: { type: 'string' },
    latents: { type: 'string', default: '2048' },
    'held-out': { type: 'string' },
    render: { type: 'string' },
  },
});
const { quick } = flags;
const F = Number(flags.latents);
const B = 2048;
const steps = Number(flags.steps ?? (quick ? 20 : 256));
const seeds = Number(flags.seeds ?? (quick ? 1 : 3));
const heldOut = Number(flags['held-out'] ?? (quick ? 4096 : 65_536));
const sparsities = quick ? [32] : [16, 32, 64, 128];
const OUTPUT_HOOK = HOOK.replace(/hook_resid_post$/, 'hook_mlp_out');
const INPUT_HOOK = HOOK.replace(/hook_resid_post$/, 'hook_resid_mid');
type VariantName = (typeof VARIANTS)[number];
/** Kinds that learn from the same rows, at the place they read; transcoders give another. */
const FAMILIES: readonly { hook: string; outputHook?: string; variants: readonly VariantName[] }[] = [
  { hook: HOOK, variants: VARIANTS.filter((variant) => !variant.endsWith('transcoder')) },
  {
    ...{ hook: INPUT_HOOK, outputHook: OUTPUT_HOOK },
    variants: VARIANTS.filter((variant) => variant.endsWith('transcoder')),
  },
];
type Family = (typeof FAMILIES)[number];
const target = (path: string) => fileURLToPath(new URL(path, import.meta.url));

async function train(
  rows: DemoRows,
  variant: VariantName,
  l0: number,
  seed: number,
  freeze: 'none' | 'decoder',
): Promise<Sae> {
  const penalised = variant === 'relu' || variant === 'gated' || variant === 'jumprelu';
  const config: TrainerConfig = {
    ...{ variant, D: rows.D, F, K: l0, B, totalSteps: steps, seed, freeze, shards: 8, workers: 2 },
    ...(rows.Dout === undefined ? {} : { Dout: rows.Dout }),
    ...{
      lr: 0.02,
      encoderLrScale: 0.25,
      warmupSteps: Math.round(0.2 * steps),
      decaySteps: Math.round(0.5 * steps),
    },
    adam: { beta1: 0.9, beta2: 0.95, eps: 6.25e-10 },
    ...{ auxk: 64, auxkCoefficient: 1 / 32, deadSteps: Math.max(1, Math.round(steps / 10)) },
    ...(penalised ? { sparsity: { coefficient: 1, l0, warmupSteps: 0 } } : {}),
    ...(variant === 'matryoshka' ? { prefixes: defaultPrefixes(F) } : {}),
  };
  const trainer = await createTrainer(config);
  await trainer.initialize(rows.batch(-1, 4096), undefined, { y: rows.given(-1, 4096) });
  for (let i = 0; i < steps; i++) {
    const batch = 1e6 * seed + i;
    await trainer.train(rows.batch(batch, B), { y: rows.given(batch, B) });
  }
  const sae = await trainer.exportSae();
  await trainer.close();
  return sae;
}

async function measure(
  rows: DemoRows,
  { hook, outputHook, variants }: Family,
  saes: ReadonlyMap<string, Sae>,
  variant: VariantName,
  mean: Float64Array,
) {
  const [reference] = variants;
  const names = [variant, `${variant}, frozen decoder`, ...(variant === reference ? [] : [reference!])];
  return await evaluate({
    ...{ model: rows.model, hook, batches: rows.heldoutText(), mean },
    ...(outputHook === undefined ? {} : { outputHook }),
    candidates: names.map((name) => saeCandidate(name, saes.get(name)!)),
    specialIds: rows.model.tokenizer!.specialIds,
    maxRows: heldOut,
    ceTokens: Math.min(heldOut, 16_384),
    klTokens: 0,
  });
}

async function curves(family: Family, kept: KeptCells<CurveCell>): Promise<CurveCell[]> {
  const rows = await openDemoRows(family.hook, quick ? 16_384 : 262_144, 0, family.outputHook);
  const moments = createMoments(rows.Dout ?? rows.D, { covariance: false });
  await moments.add(rows.given(-1, 4096) ?? rows.batch(-1, 4096), 4096);
  const cells: CurveCell[] = [];
  for (const l0 of sparsities)
    for (let seed = 0; seed < seeds; seed++) {
      const done = kept.cells.filter(
        (cell) =>
          cell.target === l0 && cell.seed === seed && family.variants.some((name) => name === cell.variant),
      );
      cells.push(...done);
      if (done.length > 0) continue;
      const group: CurveCell[] = [];
      const saes = new Map<string, Sae>();
      for (const variant of family.variants) {
        saes.set(variant, await train(rows, variant, l0, seed, 'none'));
        saes.set(`${variant}, frozen decoder`, await train(rows, variant, l0, seed, 'decoder'));
        const { candidates, comparisons } = await measure(rows, family, saes, variant, moments.mean());
        const numbers = (i: number) => ({
          fvu: candidates[i]!.fvu,
          deltaCe: candidates[i]!.deltaCe,
          l0: candidates[i]!.latents!.l0.value!,
        });
        const difference = (i: number): { fvu: Interval; deltaCe: Interval } => ({
          fvu: comparisons[i]!.fvuDifference,
          deltaCe: comparisons[i]!.deltaCeDifference,
        });
        const cell: CurveCell = {
          ...{ variant, target: l0, seed },
          ...{ trained: numbers(0), frozen: numbers(1), minusFrozen: difference(0) },
          ...(comparisons.length > 1 ? { minusReference: difference(1) } : {}),
        };
        group.push(cell);
        process.stderr.write(
          `variants: ${variant}, L0 ${l0}, seed ${seed}: FVU ${cell.trained.fvu.value!.toFixed(4)} (frozen ${cell.frozen.fvu.value!.toFixed(4)}), L0 ${cell.trained.l0.toFixed(1)}\n`,
        );
      }
      kept.add(group);
      cells.push(...group);
    }
  await rows.close();
  return cells;
}

async function allCurves(kept: KeptCells<CurveCell>): Promise<CurveCell[]> {
  const cells: CurveCell[] = [];
  for (const family of FAMILIES) cells.push(...(await curves(family, kept)));
  return cells;
}

type Result = { readonly setup: Record<string, unknown>; readonly cells: CurveCell[] };
const setup = { model: 'demo', hook: HOOK, F, B, steps, seeds, heldOut, recipe: 'short, lr 0.02 for all' };
const unfinished = flags.render ? undefined : keepCells<CurveCell>(`variants${quick ? '-quick' : ''}`, setup);
const result: Result = unfinished
  ? { setup, cells: await allCurves(unfinished) }
  : (JSON.parse(readFileSync(flags.render!, 'utf8')) as Result);
const table = curveTable(result.cells, result.setup);
process.stdout.write(`${table}\n`);
if (!quick) {
  if (!flags.render)
    writeFileSync(
      target(`results/variants-${new Date().toISOString().slice(0, 10)}.json`),
      `{ "setup": ${JSON.stringify(setup)}, "cells": [\n${result.cells.map((cell) => JSON.stringify(cell)).join(',\n')}\n] }\n`,
    );
  writeFileSync(target('../docs/variants.md'), table);
  writeFileSync(target('../docs/variants.svg'), curveFigure(result.cells));
}
unfinished?.remove();
