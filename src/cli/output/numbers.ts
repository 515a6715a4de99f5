/** Numbers as a person reads them. */

/** 12,345 */
export const grouped = (value: number): string => Math.round(value).toLocaleString('en-US');

/** 950, 12.3 k, 4.1 M: three digits at most. */
export function short(value: number): string {
  for (const [size, unit] of [
    [1e12, ' T'],
    [1e9, ' G'],
    [1e6, ' M'],
    [1e3, ' k'],
  ] as const) {
    if (Math.abs(value) >= size * 0.9995) {
      const scaled = value / size;
      return `${scaled.toFixed(Math.abs(scaled) >= 99.95 || Number.isInteger(scaled) ? 0 : 1)}${unit}`;
    }
  }
  return `${Math.round(value)}`;
}

/** 12 kB, 3.4 MB, 1.2 GB, 5.0 TB (decimal units). */
export const bytes = (count: number): string =>
  count < 1000
    ? `${count} B`
    : `${short(count)
        .replace(' k', ' kB')
        .replace(/ ([MGT])$/, ' $1B')}`;

/** 42 s, 3 min 05 s, 2 h 10 min, 12 days */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const total = Math.max(0, Math.round(seconds));
  if (total < 60) return `${total} s`;
  if (total < 3600) return `${Math.floor(total / 60)} min ${String(total % 60).padStart(2, '0')} s`;
  if (total >= 10 * 86_400) return `${grouped(total / 86_400)} days`;
  return `${Math.floor(total / 3600)} h ${String(Math.floor((total % 3600) / 60)).padStart(2, '0')} min`;
}

/** 0.0 % to 100 %, with one digit after the point below ten. */
export const percent = (share: number): string =>
  `${(share * 100).toFixed(Math.abs(share) < 0.0995 ? 1 : 0)} %`;

/** "1 in 410": how rarely something happens. */
export const oneIn = (share: number): string => (share > 0 ? `1 in ${grouped(1 / share)}` : 'never');

/** `, Q4_1, dequantised to float32`, where a model's weights were quantised. */
export const stored = ({ quantization }: { readonly quantization?: string | undefined }): string =>
  quantization === undefined ? '' : `, ${quantization}`;
