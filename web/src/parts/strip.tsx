/** Activation of one latent over the positions of a text. */
const HEIGHT = 16;

export function Strip({ values, maximum }: { values: readonly number[]; maximum: number }) {
  const n = Math.max(1, values.length);
  return (
    <svg className="strip" viewBox={`0 0 ${n} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      {values.map((value, t) => {
        const height = maximum > 0 ? HEIGHT * Math.min(1, value / maximum) : 0;
        return height > 0 ? <rect key={t} x={t} y={HEIGHT - height} width={1} height={height} /> : null;
      })}
    </svg>
  );
}
