/** One hue per latent, one strength per share of its maximum. */
const HUES = 12;

/** A stable hue of a latent, in degrees: 12 of them, of equal lightness in style.css. */
export function hueOf(latent: number): number {
  const mixed = Math.imul(latent ^ (latent >>> 7), 0x9e3779b1) >>> 0;
  return ((mixed >>> 8) % HUES) * (360 / HUES);
}

/** Opacity of the tint: activation as a share of the largest in the index, gamma 0.7, never quite invisible. */
export function tintOf(value: number, maximum: number): number {
  if (!(value > 0) || !(maximum > 0)) return 0;
  return Math.max(0.08, Math.min(1, value / maximum) ** 0.7);
}

/** Custom properties that style.css turns into a colour in both themes. */
export const tint = (latent: number, value: number, maximum: number): React.CSSProperties =>
  ({ '--h': hueOf(latent), '--a': tintOf(value, maximum).toFixed(3) }) as React.CSSProperties;

export const hue = (latent: number): React.CSSProperties => ({ '--h': hueOf(latent) }) as React.CSSProperties;
