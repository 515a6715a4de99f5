/** The variants: a new one is a file beside this one and a line here. */
import type { z } from 'zod';
import { batchtopk } from './batchtopk.ts';
import { gated } from './gated.ts';
import { groupmax } from './groupmax.ts';
import { jumprelu } from './jumprelu.ts';
import { matchingPursuit } from './matching-pursuit.ts';
import { matryoshka } from './matryoshka.ts';
import { relu } from './relu.ts';
import { temporal } from './temporal.ts';
import { topk } from './topk.ts';
import type { Variant } from './variant.ts';

export const variants = {
  relu,
  gated,
  jumprelu,
  topk,
  groupmax,
  batchtopk,
  matryoshka,
  'matching-pursuit': matchingPursuit,
  temporal,
};

export type Architecture = keyof typeof variants;
export type VariantSettings<Of extends Architecture = Architecture> = {
  [A in Architecture]: Readonly<z.output<(typeof variants)[A]['settings']>>;
}[Of];

/** @throws naming the variants there are */
export function variantOf(architecture: string): Variant {
  const variant = (variants as Partial<Record<string, unknown>>)[architecture];
  if (!variant)
    throw new Error(
      `There is no SAE of architecture ${JSON.stringify(architecture)}; there are ${Object.keys(variants).join(', ')}.`,
    );
  return variant as Variant;
}
