/** Runs of one model belong together: its layers, and the SAEs at each. */
import type { RunSummary } from './api.ts';

export type RunGroup = { readonly model: string; readonly runs: readonly RunSummary[] };

/** Names sort as people count: layer 2 before layer 10. */
const order = new Intl.Collator('en', { numeric: true }).compare;

/** By model in the order of `runs`; within one by hook, then by name. */
export function byModel(runs: readonly RunSummary[]): RunGroup[] {
  const groups = new Map<string, RunSummary[]>();
  for (const run of runs) {
    const model = run.model ?? '';
    groups.set(model, [...(groups.get(model) ?? []), run]);
  }
  return [...groups].map(([model, own]) => ({
    model: model || 'no model',
    runs: own.toSorted((a, b) => order(a.hook ?? '', b.hook ?? '') || order(a.run, b.run)),
  }));
}

/** "layer 2" where the hook says so, with the run's name where that is not the hook's. */
export function layerOf({ run, hook }: Pick<RunSummary, 'run' | 'hook'>): string {
  const layer = /^blocks\.(\d+)\./.exec(hook ?? '')?.[1];
  if (layer === undefined) return run;
  return run === hook ? `layer ${layer}` : `layer ${layer}, ${run}`;
}
