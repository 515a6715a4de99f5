/** One plot of the report as SVG text: a line per candidate over the dose, with its interval as a band. Colours are CSS variables of the page. */
import type { Interval } from '../../shared/eval.ts';

export type Line = {
  readonly name: string;
  /** A class of the page's style sheet. */
  readonly style: string;
  readonly points: readonly { readonly x: number; readonly y: Interval }[];
};
/** A horizontal line: what there is without a dose. */
export type Level = { readonly name: string; readonly style: string; readonly y: Interval };

export type ChartOptions = {
  readonly title: string;
  readonly about: string;
  readonly lines: readonly Line[];
  readonly levels: readonly Level[];
  /** Shares and probabilities: from 0 to 1, or what of it is needed. */
  readonly share: boolean;
};

const [W, H] = [360, 230];
const box = { left: 46, right: 12, top: 12, bottom: 34 } as const;

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** Three digits, no exponent where none is needed. */
export function digits(value: number): string {
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(0);
  return String(Number(value.toPrecision(3)));
}

/** Round steps that cut a range into some four pieces. */
export function ticks(low: number, high: number): number[] {
  const raw = (high - low) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Styles whose interval is drawn. */
const banded: readonly string[] = ['latent', 'matched'];

/** `<figure>` with the plot; points without a value are left out. */
export function chart({ title, about, lines, levels, share }: ChartOptions): string {
  const drawn = lines.map((line) => ({ ...line, points: line.points.filter(({ y }) => y.value !== null) }));
  const ys = [...drawn.flatMap(({ points }) => points.map(({ y }) => y)), ...levels.map(({ y }) => y)];
  const xs = [...new Set(drawn.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
  const largest = Math.max(...ys.map(({ high }) => high ?? 0));
  const smallest = Math.min(...ys.map(({ low }) => low ?? 0));
  const room = 0.05 * (largest - smallest || 1);
  const range = share
    ? ([0, Math.min(1, largest + room)] as const)
    : ([smallest - room, largest + room] as const);
  // Doses stand at equal distances, whatever they are: they are chosen, not measured.
  const x = (value: number): number =>
    box.left + ((xs.indexOf(value) + 0.5) / Math.max(1, xs.length)) * (W - box.left - box.right);
  const y = (value: number): number =>
    H - box.bottom - ((value - range[0]) / (range[1] - range[0])) * (H - box.top - box.bottom);
  const at = (px: number, py: number): string => `${px.toFixed(1)},${py.toFixed(1)}`;
  const told = ({ value, low, high }: Interval): string =>
    `${digits(value!)} (${digits(low!)} to ${digits(high!)})`;

  const grid = ticks(...range).map(
    (tick) =>
      `<line class="grid" x1="${box.left}" x2="${W - box.right}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}"/>` +
      `<text class="tick" x="${box.left - 6}" y="${(y(tick) + 3.5).toFixed(1)}" text-anchor="end">${digits(tick)}</text>`,
  );
  const doses = xs.map(
    (dose) =>
      `<text class="tick" x="${x(dose).toFixed(1)}" y="${H - box.bottom + 16}" text-anchor="middle">${digits(dose)}</text>`,
  );
  const flat = levels
    .filter(({ y: { value } }) => value !== null)
    .map(
      ({ name, style, y: interval }) =>
        `<line class="level ${style}" x1="${box.left}" x2="${W - box.right}" y1="${y(interval.value!).toFixed(1)}" y2="${y(interval.value!).toFixed(1)}"><title>${name}: ${told(interval)}</title></line>`,
    );
  const curves = drawn.map(({ name, style, points }) => {
    if (points.length === 0) return '';
    const edge = (of: 'low' | 'high') => points.map((point) => at(x(point.x), y(point.y[of]!)));
    // Bands of everybody would hide the lines; the table has all intervals.
    const band = !banded.includes(style)
      ? ''
      : `<polygon class="band ${style}" points="${[...edge('high'), ...edge('low').reverse()].join(' ')}"/>`;
    const line = `<polyline class="line ${style}" points="${points.map((point) => at(x(point.x), y(point.y.value!))).join(' ')}"/>`;
    const dots = points.map(
      (point) =>
        `<circle class="dot ${style}" cx="${x(point.x).toFixed(1)}" cy="${y(point.y.value!).toFixed(1)}" r="3"><title>${name}, strength ${digits(point.x)}: ${told(point.y)}</title></circle>`,
    );
    return band + line + dots.join('');
  });
  return `<figure><figcaption><b>${title}</b> <span>${about}</span></figcaption>
<svg viewBox="0 0 ${W} ${H}" role="img" aria-label="${title} by strength">${grid.join('')}${doses.join('')}<text class="tick" x="${(box.left + W - box.right) / 2}" y="${H - 3}" text-anchor="middle">strength</text>${flat.join('')}${curves.join('')}</svg></figure>`;
}
