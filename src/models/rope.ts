/**
 * Rotary positions (Su et al. 2021), with the scalings that Llama configurations use.
 *
 *     f_i = theta^(-2i/d), i < d/2        angle(p, i) = p f_i        d: the dimensions of a head that turn, all of them or the first
 *     (x_i, x_{i+d/2}) is rotated by its angle: the half layout, to which Hugging Face converts interleaved weights
 *
 *     linear   f_i / factor
 *     dynamic  theta' = theta (factor n/n0 - (factor - 1))^(d/(d-2)) for sequences of n > n0 tokens
 *     llama3   f_i kept above a wavelength, divided below another, blended between (Llama 3.1)
 *     yarn     the same idea over dimensions, and cos, sin times 0.1 ln(factor) + 1 (Peng et al. 2023)
 *
 * Everything is rounded to float32 where PyTorch rounds it: at position 10,000 that moves an angle by 5e-4, and models
 * were trained with it.
 */

export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | { readonly type: 'dynamic'; readonly factor: number; readonly originalContext: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContext: number;
    }
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly originalContext: number;
      readonly attentionFactor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly truncate: boolean;
    };

export type RopeSpec = {
  /** How many dimensions of a head turn. Even. */
  readonly dims: number;
  readonly theta: number;
  readonly scaling: RopeScaling;
};

export const ROPE_SCALINGS = ['default', 'linear', 'dynamic', 'llama3', 'yarn'] as const;

const { fround } = Math;

/** f_i for a sequence of `length` tokens, [d/2] in float32. */
export function ropeFrequencies({ dims: d, theta, scaling }: RopeSpec, length: number): Float32Array {
  let base = theta;
  if (scaling.type === 'dynamic' && length > scaling.originalContext) {
    const stretch = (scaling.factor * length) / scaling.originalContext - (scaling.factor - 1);
    base = theta * stretch ** (d / (d - 2));
  }
  const frequencies = Float32Array.from({ length: d / 2 }, (_, i) => 1 / fround(base ** fround((2 * i) / d)));
  if (scaling.type === 'linear') return frequencies.map((f) => f / scaling.factor);
  if (scaling.type === 'llama3') {
    const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
    return frequencies.map((f) => {
      const wavelength = fround(fround(2 * Math.PI) / f);
      if (wavelength < originalContext / high) return f;
      if (wavelength > originalContext / low) return f / factor;
      const smooth = fround(fround(fround(originalContext / wavelength) - low) / (high - low));
      return fround(fround(fround(1 - smooth) * f) / factor) + fround(smooth * f);
    });
  }
  if (scaling.type === 'yarn') {
    const { factor, originalContext, betaFast, betaSlow, truncate } = scaling;
    const dimension = (turns: number) =>
      (d * Math.log(originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
    const [first, last] = truncate
      ? [Math.floor(dimension(betaFast)), Math.ceil(dimension(betaSlow))]
      : [dimension(betaFast), dimension(betaSlow)];
    const from = Math.max(first, 0);
    const to = Math.min(last, d - 1);
    // The 0.001 stands in upstream too: it keeps the ramp finite.
    const span = to === from ? 0.001 : to - from;
    return frequencies.map((f, i) => {
      const kept = fround(1 - Math.min(1, Math.max(0, fround((i - from) / span))));
      const divided = 1 / fround(factor * fround(base ** fround((2 * i) / d)));
      return fround(fround(divided) * fround(1 - kept)) + fround(f * kept);
    });
  }
  return frequencies;
}

/**
 * cos and sin tables [P,T,d/2]. `positions` [P,T]; `lengths` [P] are the tokens of each row, which only dynamic scaling
 * reads.
 */
export function ropeTables(
  spec: RopeSpec,
  positions: Int32Array,
  lengths: readonly number[],
): { cos: Float32Array; sin: Float32Array } {
  const half = spec.dims / 2;
  const P = lengths.length;
  const T = positions.length / P;
  const scale = spec.scaling.type === 'yarn' ? spec.scaling.attentionFactor : 1;
  const cos = new Float32Array(P * T * half);
  const sin = new Float32Array(P * T * half);
  for (let row = 0; row < P; row++) {
    const frequencies = ropeFrequencies(spec, lengths[row]!);
    for (let t = 0; t < T; t++) {
      const at = row * T + t;
      for (let i = 0; i < half; i++) {
        const angle = fround(positions[at]! * frequencies[i]!);
        cos[at * half + i] = Math.cos(angle) * scale;
        sin[at * half + i] = Math.sin(angle) * scale;
      }
    }
  }
  return { cos, sin };
}

const number = (value: unknown, name: string, fallback?: number): number => {
  const found = value ?? fallback;
  if (typeof found !== 'number' || !Number.isFinite(found))
    throw new Error(`config.json: RoPE parameter ${name} is ${JSON.stringify(value)}, expected a number`);
  return found;
};

/**
 * RoPE settings of a config.json, in the old spelling (rope_theta, rope_scaling) or the new (rope_parameters).
 *
 * @param dims how many dimensions of a head turn; a partial_rotary_factor is refused: the family that has one has done with it
 * @throws for a scaling that is not supported; the message names those that are
 */
export function parseRope(
  config: Readonly<Record<string, unknown>>,
  maxPositions: number,
  dims: number,
): RopeSpec {
  const parameters = (config.rope_parameters ?? config.rope_scaling ?? {}) as Record<string, unknown>;
  const theta = number(parameters.rope_theta ?? config.rope_theta, 'rope_theta', 10000);
  const partial = parameters.partial_rotary_factor ?? config.partial_rotary_factor ?? 1;
  if (partial !== 1)
    throw new Error(`config.json: partial_rotary_factor ${JSON.stringify(partial)} is not supported, only 1`);
  if (dims % 2 !== 0)
    throw new Error(`config.json: ${dims} dimensions of a head turn; rotary positions need pairs`);
  const type = String(parameters.rope_type ?? parameters.type ?? 'default');
  const factor = () => number(parameters.factor, 'factor');
  const originalContext = () =>
    number(
      parameters.original_max_position_embeddings ?? config.original_max_position_embeddings,
      'original_max_position_embeddings',
      maxPositions,
    );
  const spec = (scaling: RopeScaling): RopeSpec => ({ dims, theta, scaling });

  if (type === 'default') return spec({ type });
  if (type === 'linear') return spec({ type, factor: factor() });
  if (type === 'dynamic') return spec({ type, factor: factor(), originalContext: maxPositions });
  if (type === 'llama3') {
    return spec({
      type,
      factor: factor(),
      lowFrequencyFactor: number(parameters.low_freq_factor, 'low_freq_factor'),
      highFrequencyFactor: number(parameters.high_freq_factor, 'high_freq_factor'),
      originalContext: originalContext(),
    });
  }
  if (type === 'yarn') {
    const n0 = originalContext();
    const stretch = typeof parameters.factor === 'number' ? parameters.factor : maxPositions / n0;
    const mscale = (m: number) => (stretch <= 1 ? 1 : 0.1 * m * Math.log(stretch) + 1);
    const { mscale: over, mscale_all_dim: under, attention_factor: given } = parameters;
    const inferred =
      over && under ? mscale(number(over, 'mscale')) / mscale(number(under, 'mscale_all_dim')) : mscale(1);
    return spec({
      type,
      factor: stretch,
      originalContext: n0,
      attentionFactor: number(given, 'attention_factor', inferred),
      betaFast: number(parameters.beta_fast || undefined, 'beta_fast', 32),
      betaSlow: number(parameters.beta_slow || undefined, 'beta_slow', 1),
      truncate: parameters.truncate !== false,
    });
  }
  throw new Error(
    `config.json: RoPE scaling ${JSON.stringify(type)} is not supported. Supported: ${ROPE_SCALINGS.join(', ')}.`,
  );
}
