/** One line over steps, both ends of both axes named; the vertical axis is logarithmic where every value is above 0. */
import { grouped } from '../words.ts';

const [WIDTH, HEIGHT] = [720, 180];

const named = (value: number): string =>
  Number.isInteger(value) ? grouped(value) : String(Number(value.toPrecision(3)));

export type Points = readonly (readonly [step: number, value: number])[];

/** Nothing for fewer than two points; a value that never changes is a sentence. */
export function Curve({ name, points }: { name: string; points: Points }) {
  if (points.length < 2) return null;
  const steps = points.map(([step]) => step);
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [Math.min(...steps), Math.max(...steps)];
  const range = `steps ${grouped(first)} to ${grouped(last)}`;
  if (low === high)
    return (
      <p className="fine">
        {name} {named(low)} all along, {range}
      </p>
    );
  const logarithmic = low > 0;
  const scaled = (value: number): number => (logarithmic ? Math.log(value) : value);
  const path = points
    .map(([step, value], i) => {
      const x = (WIDTH * (step - first)) / Math.max(1, last - first);
      const y = HEIGHT * (1 - (scaled(value) - scaled(low)) / (scaled(high) - scaled(low)));
      return `${i === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join('');
  return (
    <figure className="curve">
      <figcaption>
        <strong>{name}</strong> {named(values[0]!)} → {named(values.at(-1)!)}
        {logarithmic ? ', logarithmic' : ''}
      </figcaption>
      <div className="axis">
        <span>{named(high)}</span>
        <span>{named(low)}</span>
      </div>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${name} over steps, ${named(values[0]!)} to ${named(values.at(-1)!)}`}
      >
        <path d={path} />
      </svg>
      <div className="ends">
        <span>step {grouped(first)}</span>
        <span>{grouped(last)}</span>
      </div>
    </figure>
  );
}
