/** Table and figure of L0 against FVU and delta CE: pure functions of what bench/variants.ts measured. */
import type { Interval } from '../../src/shared/eval.ts';

type Numbers = { readonly fvu: Interval; readonly deltaCe: Interval; readonly l0: number };
type Difference = { readonly fvu: Interval; readonly deltaCe: Interval };
/** One SAE, its frozen-decoder control, and the differences of both kinds on the same bootstrap draws. */
export type CurveCell = {
  readonly variant: string;
  readonly target: number;
  readonly seed: number;
  readonly trained: Numbers;
  readonly frozen: Numbers;
  readonly minusFrozen: Difference;
  /** Of an SAE against TopK, of a skip transcoder against the transcoder, of the same L0 and seed; those themselves have none. */
  readonly minusReference?: Difference;
};
type Metric = 'fvu' | 'deltaCe';

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];

/** A difference that has one sign in all seeds, and no interval with 0 in it: its mean; else undefined. */
export function resolved(differences: readonly Interval[]): number | undefined {
  const all = (holds: (d: Interval) => boolean): boolean =>
    differences.length > 0 && differences.every(holds);
  const one = all(({ high }) => high !== null && high < 0) || all(({ low }) => low !== null && low > 0);
  return one ? mean(differences.map(({ value }) => value!)) : undefined;
}

const signed = (value: number | undefined): string =>
  value === undefined ? 'not resolved' : `${value > 0 ? '+' : ''}${value.toFixed(4)}`;

/** docs/variants.md */
export function curveTable(cells: readonly CurveCell[], setup: Readonly<Record<string, unknown>>): string {
  const rows = unique(cells.map(({ target }) => target)).flatMap((target) =>
    unique(cells.map(({ variant }) => variant)).map((variant) => {
      const group = cells.filter((cell) => cell.variant === variant && cell.target === target);
      const at = (which: 'trained' | 'frozen', metric: Metric): string =>
        mean(group.map((cell) => cell[which][metric].value!)).toFixed(4);
      const against = (which: 'minusReference' | 'minusFrozen', metric: Metric): string =>
        group.some((cell) => !cell[which])
          ? ''
          : signed(resolved(group.flatMap((cell) => cell[which]?.[metric] ?? [])));
      const found = mean(group.map(({ trained }) => trained.l0)).toFixed(1);
      return `| ${[target, variant, found, at('trained', 'fvu'), at('frozen', 'fvu'), against('minusFrozen', 'fvu'), against('minusReference', 'fvu'), at('trained', 'deltaCe'), at('frozen', 'deltaCe'), against('minusFrozen', 'deltaCe'), against('minusReference', 'deltaCe')].join(' | ')} |`;
    }),
  );
  const head =
    'L0 asked for | kind | L0 | FVU | frozen decoder | difference | difference to reference | ΔCE | frozen decoder | difference | difference to reference';
  return `# Kinds of SAE compared

Made by \`npm run bench -- --variants\`: ${Object.entries(setup)
    .map(([name, value]) => `${name} ${value}`)
    .join('; ')}. One learning rate for all, so this compares kinds at one recipe, not each at its best.

Means over seeds, on held-out text. A difference stands here only when it has one sign in every seed and no paired 95 % interval (bootstrap over
documents) holds 0; otherwise it is not resolved. The reference is TopK of the same L0 and seed, of skip transcoders the transcoder.
Transcoders read hook_resid_mid of the block and give hook_mlp_out: their FVU and ΔCE are of that place, and not to be held against those
of the others. A skip transcoder with a frozen decoder still learns its linear map.

![L0 against FVU and against delta CE](variants.svg)

| ${head} |
|${' --- |'.repeat(head.split('|').length)}
${rows.join('\n')}
`;
}

const colours = ['#4269d0', '#efb118', '#ff725c', '#3ca951', '#a463f2', '#6cc5b0'];
const panel = { width: 330, height: 260, left: 60, top: 46 };
const ROW = 390;

/** docs/variants.svg: solid lines trained, dashed ones frozen decoders; both axes logarithmic. */
export function curveFigure(cells: readonly CurveCell[]): string {
  const isTranscoder = ({ variant }: CurveCell): boolean => variant.endsWith('transcoder');
  const rows = [
    { title: 'SAEs, which give back what they read', cells: cells.filter((cell) => !isTranscoder(cell)) },
    { title: 'Transcoders, which give what the MLP makes of it', cells: cells.filter(isTranscoder) },
  ].filter(({ cells }) => cells.length > 0);
  const height = rows.length * ROW + 20;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 ${height}" font-family="sans-serif" font-size="12">
<rect width="780" height="${height}" fill="white"/>
${rows.map((row, i) => `<g transform="translate(0 ${i * ROW})">\n${drawRow(row.title, row.cells)}\n</g>`).join('\n')}
<text x="${panel.left}" y="${height - 12}" fill="#555">dashed: the same kind with a frozen decoder; means over seeds</text>
</svg>
`;
}

function drawRow(title: string, cells: readonly CurveCell[]): string {
  const variants = unique(cells.map(({ variant }) => variant));
  const legend = variants.map(
    (variant, i) =>
      `<text x="${panel.left + i * 115}" y="364" fill="${colours[i]}" font-weight="bold">${variant}</text>`,
  );
  return `<text x="${panel.left}" y="18" font-weight="bold" font-size="14">${title}</text>
${drawPanel(cells, variants, 'fvu', 'FVU', 0)}
${drawPanel(cells, variants, 'deltaCe', 'ΔCE, nats', 390)}
${legend.join('\n')}`;
}

function drawPanel(
  cells: readonly CurveCell[],
  variants: readonly string[],
  metric: Metric,
  title: string,
  shift: number,
): string {
  const targets = unique(cells.map(({ target }) => target)).sort((a, b) => a - b);
  const at = (variant: string, target: number, which: 'trained' | 'frozen'): number =>
    mean(
      cells
        .filter((cell) => cell.variant === variant && cell.target === target)
        .map((cell) => Math.max(1e-4, cell[which][metric].value!)),
    );
  const values = variants.flatMap((variant) =>
    targets.flatMap((target) => [at(variant, target, 'trained'), at(variant, target, 'frozen')]),
  );
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const along = (v: number, a: number, b: number): number =>
    b > a ? (Math.log(v) - Math.log(a)) / (Math.log(b) - Math.log(a)) : 0.5;
  const x = (target: number): number =>
    shift + panel.left + (panel.width - 20) * along(target, targets[0]!, targets.at(-1)!);
  const y = (v: number): number => panel.top + panel.height * (1 - along(v, low, high));
  const lines = variants.flatMap((variant, i) =>
    (['trained', 'frozen'] as const).map((which) => {
      const points = targets.map(
        (target) => `${x(target).toFixed(1)},${y(at(variant, target, which)).toFixed(1)}`,
      );
      const dash = which === 'frozen' ? ' stroke-dasharray="4 3"' : '';
      return `<polyline points="${points.join(' ')}" fill="none" stroke="${colours[i]}" stroke-width="2"${dash}/>`;
    }),
  );
  const bottom = panel.top + panel.height;
  const ticks = targets.map(
    (target) => `<text x="${x(target)}" y="${bottom + 18}" text-anchor="middle">${target}</text>`,
  );
  const ends = [low, high].map(
    (v) => `<text x="${shift + panel.left - 8}" y="${y(v) + 4}" text-anchor="end">${v.toPrecision(2)}</text>`,
  );
  return `<text x="${shift + panel.left}" y="36" fill="#555">${title} against L0</text>
<path d="M${shift + panel.left} ${panel.top}V${bottom}H${shift + panel.left + panel.width - 20}" fill="none" stroke="#999"/>
${[...lines, ...ticks, ...ends].join('\n')}`;
}
