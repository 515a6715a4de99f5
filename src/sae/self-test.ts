/**
 * Whether a loaded SAE is what it says it is. Loading the wrong thing gives plausible numbers, so it is measured.
 *
 *     always            cos_f = W_enc[f] . W_dec[f] / (|W_enc[f]| |W_dec[f]|)      trained SAEs: well above 0 on the mean, transposed ones 0
 *                       thresholds that are mostly below 0 were not exponentiated; with 8 bits beside full biases they lost the rest
 *                       a probe batch through encode and decode is finite, and something is active
 *     with activations  L0 = mean |{f : z_f != 0}|,  FVU = sum |x - xhat|^2 / sum |x - mean x|^2, beside the recorded ones
 *                       the other reading of b_dec explains more (other-reading.ts)
 *
 * Without activations the state is `unverified`: that weights look right says little about hook, layer and units.
 */
import { createRng } from '../shared/rng.ts';
import type { FoundBySelfTest } from '../shared/self-test.ts';
import { activePerRow, describeSae } from './check.ts';
import { decode } from './decode.ts';
import { encode } from './encode.ts';
import { rowNorms } from './formats/fold.ts';
import { rowErrors, wrongBiasReading } from './other-reading.ts';
import type { Sae, SparseCode } from './types.ts';

export type RecordedNumbers = {
  readonly l0?: number;
  readonly fvu?: number;
  /** They are of so few documents that other text may well give others: tolerances are twice as wide. */
  readonly few?: boolean;
};

export type SelfTestOptions = {
  /** Rows [B,D] of the hook that the SAE reads, some thousand; and of a transcoder of one layer y [B,Dout], what it should give. */
  readonly x?: Float32Array;
  readonly y?: Float32Array;
  /** [B], for an SAE with token bias. */
  readonly ids?: ArrayLike<number>;
  /** Numbers that were measured when it was trained. Default: what its metadata has (`l0`, `fvu`). */
  readonly recorded?: RecordedNumbers;
  readonly signal?: AbortSignal;
};

/** Shares of `rows` on which latents fire: of the median one, of the one that fires most; and how many never did. */
export type Density = {
  readonly rows: number;
  readonly median: number;
  readonly most: number;
  readonly never: number;
};

/** `verified`: L0 or FVU agree with recorded ones. `measured`: plausible on activations, nothing recorded. `wrong`: see `reasons`. */
export type SelfTest = Readonly<Omit<FoundBySelfTest, 'reasons'>> & {
  readonly reasons: readonly string[];
  /** On how many of the rows latents fire. */
  readonly density?: Density;
  /** Mean cosine between a latent's encoder and decoder row, of SAEs that write where they read. */
  readonly cosine?: number;
};

/**
 * Beyond what sampling moves them by: samples of 1,000 rows of the demo's text differ by up to 36 % in FVU and 14 % in L0
 * (test/self-test.slow.test.ts). As shares of the recorded number, and never less than `least`.
 */
const L0_TOLERANCE = { share: 0.25, least: 1 };
const FVU_TOLERANCE = { share: 0.5, least: 0.02 };
/** Untrained or scrambled pairs of rows are orthogonal; their mean is within 0.05 of 0 from F D weights on, three standard deviations. */
const LEAST_COSINE = 0.05;
const LEAST_WEIGHTS = 4096;
const PROBE_ROWS = 64;

/** @throws only what `encode` throws; what is wrong with the SAE is in the result */
export async function selfTest(sae: Sae, options: SelfTestOptions = {}): Promise<SelfTest> {
  const { x, signal } = options;
  const recorded = options.recorded ?? recordedIn(sae);
  const reasons = [...structure(sae)];
  const cosine = meanCosine(sae);
  if (cosine !== undefined && cosine < LEAST_COSINE && sae.W_enc.length >= LEAST_WEIGHTS)
    reasons.push(
      `Encoder and decoder rows of the same latent have nothing in common (mean cosine ${cosine.toFixed(3)}): one of the two is transposed, or of another SAE.`,
    );
  const shown = cosine === undefined ? {} : { cosine };
  // Of rows alone it is not known which are one sequence.
  if (!x || inContext(sae)) {
    reasons.push(...(await probe(sae, signal)));
    return { state: reasons.length > 0 ? 'wrong' : 'unverified', reasons, ...shown };
  }
  const { l0, fvu, density, errors } = await measure(sae, options);
  const parts = [
    ['L0', l0, recorded.l0, L0_TOLERANCE],
    ['FVU', fvu, recorded.fvu, FVU_TOLERANCE],
  ] as const;
  for (const [name, found, expected, { share, least }] of parts)
    if (
      found !== undefined &&
      expected !== undefined &&
      Math.abs(found - expected) > Math.max(least, share * (recorded.few ? 2 : 1) * expected)
    )
      reasons.push(
        `${name} is ${found.toPrecision(4)} on these activations, ${expected.toPrecision(4)} was recorded: another hook, layer, model or scale, or another rule for what is active.`,
      );
  const bias = errors && (await wrongBiasReading(sae, x, errors, options.ids));
  if (bias !== undefined) reasons.push(bias);
  // A poor SAE that is as poor as it was is no wrong one.
  const agrees = (recorded.fvu ?? recorded.l0) !== undefined && reasons.length === 0;
  if (fvu !== undefined && !(fvu < 1) && (recorded.fvu === undefined || !agrees))
    reasons.push(
      `It explains nothing of these activations (FVU ${fvu.toPrecision(3)}): the mean alone gives 1.`,
    );
  if (l0 === 0) reasons.push('No latent is ever active on these activations.');
  else if (
    l0 > sae.config.F / 4 &&
    sae.config.architecture !== 'topk' &&
    (recorded.l0 === undefined || !agrees)
  )
    reasons.push(
      `${Math.round(l0)} of ${sae.config.F} latents are active per row: a threshold was lost, or the scale is wrong.`,
    );
  const compared = recorded.l0 !== undefined || recorded.fvu !== undefined;
  return {
    state: reasons.length > 0 ? 'wrong' : compared ? 'verified' : 'measured',
    reasons,
    ...{ l0, density },
    ...(fvu === undefined ? {} : { fvu }),
    ...shown,
  };
}

/** What is known of an SAE that `loadSae` let through: its weights look right, and no activations were at hand. */
export const untested: SelfTest = { state: 'unverified', reasons: [] };

/** One line for people. */
export function selfTestText({ by, ...test }: SelfTest): string {
  if (by === undefined) return textOf(test);
  if (by === 'training') return `verified: measured by the training that made it${numbersOf(test)}`;
  return `${textOf(test)} (found by saekit ${by} earlier)`;
}

const numbersOf = ({ l0, fvu }: SelfTest): string =>
  l0 === undefined ? '' : ` (L0 ${l0.toFixed(1)}${fvu === undefined ? '' : `, FVU ${fvu.toPrecision(3)}`})`;

function textOf(test: SelfTest): string {
  const { state, reasons } = test;
  const numbers = numbersOf(test);
  switch (state) {
    case 'verified':
      return `verified${numbers}; near what was recorded`;
    case 'measured':
      return `measured${numbers}; nothing was recorded to compare with`;
    case 'unverified':
      return `unverified: ${reasons.join(' ') || 'no activations were at hand to measure it on'}`;
    case 'wrong':
      return `wrong${numbers}: ${reasons.join(' ')}`;
  }
}

/** @throws with the reasons, when the test says that the SAE is wrong */
export function refuseWrong(sae: Sae, test: SelfTest, where: string): void {
  if (test.state === 'wrong')
    throw new Error(`${where} (${describeSae(sae.config)}) is not used. ${test.reasons.join(' ')}`);
}

function recordedIn({ config }: Sae): RecordedNumbers {
  const { fvu } = config.metadata;
  // K is no record: TopK has it whatever it reads.
  const l0 = 'K' in config ? undefined : activePerRow(config);
  return { ...(l0 === undefined ? {} : { l0 }), ...(typeof fvu === 'number' ? { fvu } : {}) };
}

/** What weights alone tell. */
function* structure({ threshold, b_enc, W_dec, config }: Sae): Generator<string> {
  if (threshold) {
    const negative = threshold.filter((theta) => theta < 0).length;
    if (negative > threshold.length / 2)
      yield `${negative} of ${threshold.length} thresholds are below 0: logarithms that were not exponentiated.`;
    const several = threshold.some((theta) => theta !== threshold[0]);
    if (several && threshold.length >= 16 && hasFewBits(threshold) && !hasFewBits(b_enc)) yield ROUNDED;
  }
  // One threshold for all: a number with 5 to 8 bits is none that training ends at, and none that a person sets.
  const one = 'threshold' in config ? config.threshold : threshold?.[0];
  const alike = threshold?.every((theta) => theta === one) ?? true;
  // Of those of float16, which has 11, one in eight has no more.
  const full = b_enc.some((bias) => bitsOf(bias) > 11);
  if (one !== undefined && alike && bitsOf(one) >= 5 && bitsOf(one) <= 8 && full) yield ROUNDED;
  const dead = rowNorms(W_dec, config.F).filter((norm) => norm === 0).length;
  if (dead === config.F) yield 'Every decoder row is 0.';
}

const ROUNDED = 'The thresholds have 8 bits, the biases more: they were rounded to bfloat16, which moves L0.';

/** Significant bits of a float32: 1 of a power of two, 24 of most numbers. */
function bitsOf(value: number): number {
  const [word = 0] = new Uint32Array(Float32Array.of(value).buffer);
  const fraction = word & 0x7fffff;
  return fraction === 0 ? 1 : 24 - (31 - Math.clz32(fraction & -fraction));
}

/** Whether every number is one of bfloat16: the lower 16 bits are 0. */
function hasFewBits(values: Float32Array): boolean {
  const bits = new Uint32Array(values.slice().buffer);
  return bits.every((word) => (word & 0xffff) === 0);
}

/** Undefined for transcoders, whose two sides are different spaces. */
function meanCosine({ W_enc, W_dec, config: { D, F, Dout } }: Sae): number | undefined {
  if (Dout !== undefined) return undefined;
  const [enc, dec] = [rowNorms(W_enc, F), rowNorms(W_dec, F)];
  let [sum, live] = [0, 0];
  for (let f = 0; f < F; f++) {
    if (enc[f] === 0 || dec[f] === 0) continue;
    let dot = 0;
    for (let d = f * D; d < (f + 1) * D; d++) dot += W_enc[d]! * W_dec[d]!;
    sum += dot / (enc[f]! * dec[f]!);
    live++;
  }
  return live === 0 ? 0 : sum / live;
}

/** Whether a row is read with those before it. */
const inContext = ({ config }: Sae): boolean => config.architecture === 'temporal';

/** Normal rows about b_dec, as long as the decoder's own: finite and not all silent is all that is asked. */
async function probe(sae: Sae, signal: AbortSignal | undefined): Promise<string[]> {
  const { D, Dout } = sae.config;
  const rng = createRng('self-test');
  const x = Float32Array.from(
    { length: PROBE_ROWS * D },
    (_, i) => 3 * rng.normal() + (Dout === undefined ? sae.b_dec[i % D]! : 0),
  );
  const sequences = inContext(sae) ? { sequences: [PROBE_ROWS] } : {};
  const code = await encode(sae, x, { ...sequences, ...(signal ? { signal } : {}) });
  const xhat = decode(sae, code, { x, ids: new Int32Array(PROBE_ROWS) });
  return xhat.every(Number.isFinite) ? [] : ['The output of a probe batch is not finite.'];
}

type Measured = {
  readonly l0: number;
  readonly density: Density;
  /** None of a layer of a cross-layer transcoder: no hook has what it gives alone. */
  readonly fvu?: number;
  readonly errors?: Float64Array;
};

async function measure(sae: Sae, { x, y, ids, signal }: SelfTestOptions): Promise<Measured> {
  const { D, F, Dout = D, places } = sae.config;
  const B = x!.length / D;
  const code = await encode(sae, x!, signal ? { signal } : {});
  const fires = firing(code, F);
  if (places !== undefined) return fires;
  const target = y ?? x!;
  if (target.length !== B * Dout)
    throw new RangeError(
      y
        ? `y has ${y.length} numbers, expected ${B} rows of ${Dout}.`
        : 'A transcoder is tested with y [B,Dout], what it should give.',
    );
  const xhat = decode(sae, code, { x: x!, ...(ids ? { ids } : {}) });
  const mean = new Float64Array(Dout);
  for (let i = 0; i < target.length; i++) mean[i % Dout]! += target[i]! / B;
  const errors = rowErrors(target, xhat, B);
  let scatter = 0;
  for (let i = 0; i < target.length; i++) scatter += (target[i]! - mean[i % Dout]!) ** 2;
  return { ...fires, fvu: errors.reduce((a, b) => a + b, 0) / scatter, errors };
}

function firing(code: SparseCode, F: number): Pick<Measured, 'l0' | 'density'> {
  const { B } = code;
  const fired = new Int32Array(F);
  for (const [i, value] of code.values.entries()) if (value !== 0) fired[code.indices[i]!]!++;
  const l0 = fired.reduce((sum, count) => sum + count, 0) / B;
  fired.sort();
  const density = {
    rows: B,
    median: fired[fired.length >> 1]! / B,
    most: fired[fired.length - 1]! / B,
    never: fired.filter((count) => count === 0).length,
  };
  return { l0, density };
}
