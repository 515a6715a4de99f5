/**
 * docs/variants.svg: a row of panels for SAEs and one for transcoders, FVU and delta CE against L0. Solid lines are trained, dashed ones have
 * a frozen decoder, both axes logarithmic. Below the SAEs what sets each apart from its reference, in per cent of it, with the paired intervals.
 */
import { type CurveCell, METRICS, type Metric, mean, overSeeds, resolved, unique } from './variant-curves.ts';

const COLOURS = ['#4269d0', '#d89a00', '#ff5e48', '#3ca951', '#a463f2', '#38a89a'];
const panel = { width: 310, left: 60, top: 46, apart: 400 };
const CURVES = 260;
const DIFFERENCES = 150;
const GRID = '#e4e4e4';

type Scale = (value: number) => number;
const along = (value: number, low: number, high: number): number => (value - low) / (high - low || 1);
const line = (path: string, colour: string, more = ''): string =>
  `<path d="${path}" fill="none" stroke="${colour}"${more}/>`;
const text = (x: number, y: number, content: string, more = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}"${more}>${content}</text>`;

/** 1, 2 and 5 times the powers of ten in a range, or all digits where those are few. */
function logTicks(low: number, high: number, digits = [1, 2, 5]): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const digit of digits) ticks.push(Number((digit * 10 ** power).toPrecision(1)));
  const within = ticks.filter((tick) => tick >= low && tick <= high);
  return within.length < 3 && digits.length < 9 ? logTicks(low, high, [1, 2, 3, 4, 5, 6, 7, 8, 9]) : within;
}

const groupOf = (cells: readonly CurveCell[], variant: string, target: number): CurveCell[] =>
  cells.filter((cell) => cell.variant === variant && cell.target === target);

/** Title, vertical ticks with their lines, L0 below. */
function frame(
  { shift, height, title, targets }: Place,
  x: Scale,
  y: Scale,
  ticks: readonly number[],
  label: (tick: number) => string,
): string {
  const [left, right] = [shift + panel.left, shift + panel.left + panel.width];
  const bottom = panel.top + height;
  return [
    text(left, panel.top - 12, title, ' fill="#333"'),
    ...ticks.flatMap((tick) => [
      line(`M${left} ${y(tick).toFixed(1)}H${right}`, tick === 0 ? '#888' : GRID),
      text(left - 8, y(tick) + 4, label(tick), ' text-anchor="end" fill="#555"'),
    ]),
    line(`M${left} ${bottom}H${right}`, '#888'),
    ...targets.map((target) =>
      text(x(target), bottom + 18, String(target), ' text-anchor="middle" fill="#555"'),
    ),
    text(right, bottom + 34, 'L0', ' text-anchor="end" fill="#555"'),
  ].join('\n');
}
type Place = {
  readonly shift: number;
  readonly height: number;
  readonly title: string;
  readonly targets: readonly number[];
};

function curves(cells: readonly CurveCell[], metric: Metric, place: Place): string {
  const variants = unique(cells.map(({ variant }) => variant));
  const at = (variant: string, target: number, which: 'trained' | 'frozen') =>
    overSeeds(groupOf(cells, variant, target).map((cell) => cell[which][metric]));
  const all = cells.flatMap(({ trained, frozen }) => [trained[metric].value!, frozen[metric].value!]);
  const [low, high] = [Math.min(...all) / 1.1, Math.max(...all) * 1.06];
  const x: Scale = (target) => xOf(place, target);
  const y: Scale = (v) => panel.top + place.height * (1 - along(Math.log(v), Math.log(low), Math.log(high)));
  const drawn = variants.flatMap((variant, i) =>
    (['frozen', 'trained'] as const).flatMap((which) => {
      const points = place.targets.map((target) => [x(target), y(at(variant, target, which).value)] as const);
      const dash = which === 'frozen' ? ' stroke-dasharray="5 4"' : '';
      const path = `M${points.map(([px, py]) => `${px.toFixed(1)} ${py.toFixed(1)}`).join('L')}`;
      return [
        line(path, COLOURS[i]!, ` stroke-width="2"${dash}`),
        ...points.map(
          ([px, py]) => `<circle cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="2.5" fill="${COLOURS[i]}"/>`,
        ),
      ];
    }),
  );
  return `${frame(place, x, y, logTicks(low, high), String)}\n${drawn.join('\n')}`;
}

const xOf = ({ shift, targets }: Place, target: number): number =>
  shift +
  panel.left +
  14 +
  (panel.width - 28) * along(Math.log(target), Math.log(targets[0]!), Math.log(targets.at(-1)!));

/** Paired differences to the reference in per cent of it, and the intervals of all seeds; hollow where they are not resolved. */
function differences(cells: readonly CurveCell[], metric: Metric, place: Place): string {
  const variants = unique(cells.map(({ variant }) => variant));
  const compared = variants.filter((variant) =>
    cells.some((cell) => cell.variant === variant && cell.minusReference),
  );
  const found = compared.flatMap((variant, n) =>
    place.targets.map((target) => {
      const group = groupOf(cells, variant, target);
      const given = group.map((cell) => cell.minusReference![metric]);
      const reference = mean(
        group.map((cell) => cell.trained[metric].value! - cell.minusReference![metric].value!),
      );
      const { value, low, high } = overSeeds(given);
      const [middle, from, to] = [value, low, high].map((v) => (100 * v) / reference) as [
        number,
        number,
        number,
      ];
      return {
        colour: COLOURS[variants.indexOf(variant)]!,
        n,
        target,
        middle,
        from,
        to,
        holds: resolved(given),
      };
    }),
  );
  const [least, most] = [
    Math.min(0, ...found.map(({ from }) => from)),
    Math.max(0, ...found.map(({ to }) => to)),
  ];
  const step = [1, 2, 5, 10, 20, 25, 50, 100].find((one) => (most - least) / one <= 6) ?? 200;
  const [low, high] = [Math.floor(least / step) * step, Math.ceil(most / step) * step];
  const ticks = Array.from({ length: (high - low) / step + 1 }, (_, i) => low + i * step);
  const x: Scale = (target) => xOf(place, target);
  const y: Scale = (v) => panel.top + place.height * (1 - along(v, low, high));
  const drawn = found.map(({ colour, n, target, middle, from, to, holds }) => {
    const px = (x(target) + (n - (compared.length - 1) / 2) * 6).toFixed(1);
    const bar = line(`M${px} ${y(from).toFixed(1)}V${y(to).toFixed(1)}`, colour, ' stroke-width="1.5"');
    return `${bar}<circle cx="${px}" cy="${y(middle).toFixed(1)}" r="3" fill="${holds ? colour : 'white'}" stroke="${colour}" stroke-width="1.5"/>`;
  });
  return `${frame(place, x, y, ticks, (tick) => `${tick > 0 ? '+' : ''}${tick} %`)}\n${drawn.join('\n')}`;
}

export function curveFigure(cells: readonly CurveCell[]): string {
  const isTranscoder = ({ variant }: CurveCell): boolean => variant.endsWith('transcoder');
  const rows = [
    {
      title: 'SAEs, which give back what they read',
      reference: 'topk',
      cells: cells.filter((cell) => !isTranscoder(cell)),
    },
    {
      title: 'Transcoders, which give what the MLP makes of what it reads',
      ...{ reference: 'transcoder', cells: cells.filter(isTranscoder) },
    },
  ].filter(({ cells: some }) => some.length > 0);
  const drawn: string[] = [];
  let top = 0;
  const add = (height: number, content: string): void => {
    drawn.push(`<g transform="translate(0 ${top})">\n${content}\n</g>`);
    top += height;
  };
  for (const { title, reference, cells: some } of rows) {
    const targets = unique(some.map(({ target }) => target)).sort((a, b) => a - b);
    const variants = unique(some.map(({ variant }) => variant));
    const legend = variants.map((variant, i) =>
      text(panel.left + i * 118, 48, variant, ` fill="${COLOURS[i]}" font-weight="bold"`),
    );
    add(34, [text(panel.left, 24, title, ' font-weight="bold" font-size="15"'), ...legend].join('\n'));
    const both = (draw: typeof curves, height: number, suffix: string): string =>
      METRICS.map(([metric, name], i) =>
        draw(some, metric, {
          shift: i * panel.apart,
          height,
          title: suffix === '' ? name : `${name.replace(/,.*/, '')}${suffix}`,
          targets,
        }),
      ).join('\n');
    add(CURVES + panel.top + 46, both(curves, CURVES, ''));
    add(DIFFERENCES + panel.top + 56, both(differences, DIFFERENCES, ` against ${reference}, paired`));
  }
  const note =
    'Means over seeds. Dashed: the same kind with a frozen decoder. Bars: 95 % intervals of all seeds; hollow: not resolved.';
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 ${top + 24}" font-family="sans-serif" font-size="12">
<title>Kinds of SAE: L0 against FVU and against delta CE, and paired differences to the reference</title>
<rect width="800" height="${top + 24}" fill="white"/>
${drawn.join('\n')}
${text(panel.left, top + 8, note, ' fill="#555"')}
</svg>
`;
}
