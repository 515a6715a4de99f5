/** One line over steps, both ends of both axes named; the vertical axis is logarithmic. */
const [WIDTH, HEIGHT] = [720, 180];

export function Curve({
  name,
  points,
}: {
  name: string;
  points: readonly (readonly [step: number, value: number])[];
}) {
  const positive = points.filter(([, value]) => value > 0);
  if (positive.length < 2) return null;
  const steps = positive.map(([step]) => step);
  const logs = positive.map(([, value]) => Math.log(value));
  const [x0, x1] = [Math.min(...steps), Math.max(...steps)];
  const [y0, y1] = [Math.min(...logs), Math.max(...logs)];
  const path = positive
    .map(([step], i) => {
      const x = (WIDTH * (step - x0)) / Math.max(1, x1 - x0);
      const y = HEIGHT - (HEIGHT * (logs[i]! - y0)) / Math.max(1e-9, y1 - y0);
      return `${i === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join('');
  return (
    <figure className="curve">
      <figcaption>
        {name} {Math.exp(y1).toPrecision(3)} → {positive.at(-1)![1].toPrecision(3)}, steps {x0} to {x1},
        logarithmic
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${name} over steps`}
      >
        <path d={path} />
      </svg>
    </figure>
  );
}
