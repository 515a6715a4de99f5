import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { late } from '../../test/support/demo.ts';
import { type EvalResult, evalResultSchema } from '../shared/eval.ts';
import { code } from './markdown.ts';
import { type CardSource, isUnedited, modelCard } from './model-card.ts';
import { readPublication } from './publication.ts';

const DEMO = late.folder;
const COMMIT = 'ab'.repeat(20);
/** The evaluation that ships, of the SAE and PCA, with figures that are the same whatever ships. */
const evaluation = ((): EvalResult => {
  const shipped = evalResultSchema.parse(JSON.parse(readFileSync(join(DEMO, 'eval.json'), 'utf8')));
  const only = <T extends { name: string }>(list: readonly T[], name: string): T =>
    list.find((one) => one.name === name)!;
  const sae = only(shipped.candidates, 'SAE');
  const pca = only(shipped.candidates, 'PCA-32');
  const comparison = only(shipped.comparisons, 'PCA-32');
  const to = (value: number, low: number, high: number) => ({ ...sae.fvu, value, low, high });
  return {
    ...shipped,
    candidates: [
      {
        ...sae,
        fvu: to(0.05525, 0.05391, 0.05657),
        deltaCe: to(0.07059, 0.06447, 0.07719),
        latents: sae.latents && { ...sae.latents, deadShare: to(0, 0, 0.00094) },
      },
      { ...pca, fvu: to(0.41189, 0.40354, 0.41957), deltaCe: to(1.02849, 0.97861, 1.08571) },
    ],
    comparisons: [{ ...comparison, fvuDifference: to(-0.35663, -0.36312, -0.34952) }],
  };
})();

async function source(change: Partial<CardSource> = {}): Promise<CardSource> {
  const { files: _, leftOut: __, ...read } = await readPublication(DEMO, { features: true });
  return { ...read, evaluation, name: 'lab/sae', revision: 'main', license: undefined, ...change };
}
const frontMatter = (card: string): string => card.split('---\n')[1]!;
/** Cells of a table's row that begins with this name. */
const row = (card: string, name: string): string[] =>
  card
    .split('\n')
    .find((line) => line.startsWith(`| ${name} `))!
    .split('|')
    .slice(2, -1)
    .map((cell) => cell.trim());

describe('the card', () => {
  it('has the figures of eval.json with their intervals, the control beside the SAE', async () => {
    const card = modelCard(await source());
    expect(row(card, 'FVU ↓')).toEqual(['**0.0553** [0.0539, 0.0566]', '0.4119 [0.4035, 0.4196]']);
    expect(row(card, 'ΔCE (nats) ↓')).toEqual(['**0.0706** [0.0645, 0.0772]', '1.0285 [0.9786, 1.0857]']);
    expect(row(card, 'dead ↓')).toEqual(['**0.0 %** [0.0 %, 0.1 %]', '–']);
    expect(card).toContain(
      'The SAE reconstructs better than PCA-32: FVU difference -0.3566 [-0.3631, -0.3495]',
    );
    expect(card).toMatch(/frozen random decoder.* was not trained/);
  });

  it('says what a control shows also when the SAE is no better, and names a frozen decoder that is there', async () => {
    const [sae, pca] = evaluation.candidates as [EvalResult['candidates'][0], EvalResult['candidates'][0]];
    const [comparison] = evaluation.comparisons as [EvalResult['comparisons'][0]];
    const difference = (low: number, high: number) => ({
      ...comparison,
      fvuDifference: { ...comparison.fvuDifference, value: (low + high) / 2, low, high },
    });
    const changed = {
      ...evaluation,
      candidates: [sae, { ...sae, name: 'frozen decoder', kind: 'control' as const }, pca],
      comparisons: [{ ...difference(-0.1, 0.2), name: 'frozen decoder' }, difference(0.1, 0.2)],
    };
    const card = modelCard(await source({ evaluation: changed }));
    expect(card).toContain('no better or worse, as far as this text shows, than** frozen decoder');
    expect(card).toContain('**reconstructs worse than** PCA-32');
    expect(card).toContain('frozen decoder is an SAE trained with the same budget');
    expect(card).not.toContain('was not trained');
    expect(row(card, 'FVU ↓').length).toBe(3);
  });

  it('names the recipe when it is not the published one', async () => {
    const local = await source();
    const run = { ...local.run!, config: { ...local.run!.config, recipe: 'short' as const } };
    expect(row(modelCard({ ...local, run }), 'recipe')).toEqual([
      'short: W_enc at a quarter of the rate, beta2 0.95',
    ]);
  });

  it('has in its front matter a licence when one was given, and model and data when they came from the hub', async () => {
    const local = await source();
    expect(frontMatter(modelCard(local))).not.toMatch(/license|base_model|datasets/);
    const run = local.run!;
    const { provenance } = run;
    const hub = {
      ...run,
      provenance: {
        ...provenance,
        model: { ...provenance.model!, name: 'org/model', commit: COMMIT },
        data: [...provenance.data, { ...provenance.data[0]!, path: `lab/set@${COMMIT}/a/b.parquet` }],
      },
    };
    const card = modelCard({ ...local, run: hub, license: 'apache-2.0', revision: 'v2' });
    expect(frontMatter(card)).toMatch(
      /^library_name: saelens\nlicense: apache-2\.0\nbase_model: org\/model\ndatasets:\n- lab\/set\ntags:\n(- [a-z-]+\n)+$/,
    );
    expect(card).toContain(`\`lab/set@${COMMIT.slice(0, 12)}/a/b.parquet\``);
    expect(card).toContain("openModel('org/model')");
    expect(card).toContain("loadSae('lab/sae@v2')");
    expect(card).toContain('snapshot_download("lab/sae", revision="v2")');
  });

  it('leaves out what is not known', async () => {
    const whole = await source();
    for (const change of [
      { evaluation: undefined },
      { cards: undefined },
      { run: undefined },
      { run: undefined, evaluation: undefined, cards: undefined, sae: { ...whole.sae, metadata: {} } },
    ]) {
      const card = modelCard({ ...whole, ...change });
      expect(card).not.toMatch(/undefined|NaN|null|\[object/);
      expect(card.includes('## Features')).toBe(!('cards' in change));
      expect(card.includes('Not measured on held-out text.')).toBe('evaluation' in change);
      expect(card.includes('## Provenance')).toBe(!('run' in change));
    }
    const last = JSON.parse(readFileSync(join(DEMO, 'metrics.jsonl'), 'utf8').trim().split('\n').at(-1)!);
    expect(modelCard({ ...whole, evaluation: undefined })).toContain(
      `The last training batch had FVU ${last.fvu.toFixed(4)} and ${last.dead.toLocaleString('en')} dead`,
    );
  });

  it('warns when it was measured on another model', async () => {
    const other = { ...evaluation, model: { name: 'x', hash: 'f'.repeat(64) } };
    expect(modelCard(await source({ evaluation: other }))).toContain(
      '**Measured on another model than it was trained on:** `x`',
    );
    expect(modelCard(await source())).not.toContain('another model than');
  });

  it('has tables whose rows are all as long as their titles', async () => {
    const lines = modelCard(await source()).split('\n');
    const bars = (line: string): number => line.replaceAll('\\|', '').split('|').length;
    let tables = 0;
    for (const [i, line] of lines.entries()) {
      if (!line.startsWith('|')) continue;
      if (lines[i + 1]?.startsWith('| ---')) tables++;
      if (lines[i - 1]?.startsWith('|')) expect(bars(line)).toBe(bars(lines[i - 1]!));
    }
    expect(tables).toBe(5);
  });

  it('is known again until somebody edits it', async () => {
    const card = modelCard(await source());
    expect(isUnedited(card)).toBe(true);
    expect(isUnedited(card.trimEnd())).toBe(true);
    expect(isUnedited(card.replace('Limits', 'limits'))).toBe(false);
    expect(isUnedited(`${card}\nmore`)).toBe(false);
    expect(isUnedited('# mine')).toBe(false);
  });
});

describe('text as code', () => {
  /** As CommonMark reads a code span: up to the next run of as many ticks, one space off either end if both have one and it is not all spaces. */
  function read(markdown: string): string {
    const [fence = ''] = /^`+/.exec(markdown) ?? [];
    const end = [...markdown.slice(fence.length).matchAll(/`+/g)].find(([run]) => run === fence)!.index;
    expect(fence.length + end + fence.length).toBe(markdown.length);
    const inner = markdown.slice(fence.length, fence.length + end);
    return /^ .* $/s.test(inner) && inner.trim() !== '' ? inner.slice(1, -1) : inner;
  }
  it('is read back as it was, whatever ticks and spaces it has', () => {
    const letters = fc.array(fc.constantFrom('`', ' ', 'a', '|', '<b>', '\\', '*'), { minLength: 1 });
    fc.assert(
      fc.property(letters, (parts) => {
        const text = parts.join('');
        expect(read(code(text))).toBe(text);
      }),
    );
  });
  it('shows line ends, tabs and what turns the direction of reading as marks', () => {
    expect(code('a\nb\tc\u202ed\u0007')).toBe('`a↵b→c·d·`');
  });
});
