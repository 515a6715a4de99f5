/** Every variant that can be trained, by name: a file and a line each. */
import type { TrainerConfig } from '../types.ts';
import { batchTopk } from './batch-topk.ts';
import { gated } from './gated.ts';
import { jumprelu } from './jumprelu.ts';
import { matryoshka } from './matryoshka.ts';
import { relu } from './relu.ts';
import { skipTranscoder } from './skip-transcoder.ts';
import { topk } from './topk.ts';
import { transcoder } from './transcoder.ts';
import type { Variant, VariantName } from './types.ts';

const variants: Readonly<Record<VariantName, Variant>> = {
  topk,
  'batch-topk': batchTopk,
  matryoshka,
  relu,
  gated,
  jumprelu,
  transcoder,
  'skip-transcoder': skipTranscoder,
};

export const variantOf = ({ variant = 'topk' }: Pick<TrainerConfig, 'variant'>): Variant => variants[variant];

/** Ends of the nested prefixes m_1 < ... < m_G = F; none where the variant has one reconstruction. */
export const prefixesOf = (config: TrainerConfig): readonly number[] =>
  variantOf(config).nested ? (config.prefixes ?? [config.F]) : [];
