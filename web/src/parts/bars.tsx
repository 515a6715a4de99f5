/** Counts per bin as bars; counts are logarithmic. */
const [WIDTH, HEIGHT] = [400, 64];

export function Bars({
  counts,
  name,
  titleOf,
  ends,
}: {
  counts: readonly number[];
  name: string;
  titleOf: (bin: number) => string;
  /** Below the bars: left, middle, right. */
  ends: readonly [string, string, string];
}) {
  const most = Math.log1p(Math.max(...counts));
  const width = WIDTH / counts.length;
  return (
    <figure className="histogram">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={name}>
        {counts.map((n, i) => {
          const height = most > 0 ? (HEIGHT * Math.log1p(n)) / most : 0;
          return (
            <rect key={i} x={i * width + 0.5} y={HEIGHT - height} width={width - 1} height={height}>
              <title>{titleOf(i)}</title>
            </rect>
          );
        })}
      </svg>
      <figcaption>
        {ends.map((text) => (
          <span key={text}>{text}</span>
        ))}
      </figcaption>
    </figure>
  );
}
