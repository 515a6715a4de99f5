import type { ReactNode } from 'react';
import type { FeatureName } from '../api.ts';
import { hue } from '../colour.ts';
import { featurePath, rarity, titleOf } from '../words.ts';
import { Link } from './link.tsx';

/** Where a label comes from stands beside it, always. */
export function Origin({ label, origin, guess }: Pick<FeatureName, 'label' | 'origin' | 'guess'>) {
  if (label !== undefined)
    return <span className={`origin ${origin ?? 'person'}`}>{origin ?? 'person'}</span>;
  return guess === undefined ? null : <span className="origin">guess</span>;
}

/** One latent in a list: hue, name, origin, rarity. */
export function NameRow({
  feature,
  title = titleOf(feature),
  extra,
  below,
  params,
}: {
  feature: FeatureName;
  title?: ReactNode;
  extra?: string;
  /** A second line. */
  below?: ReactNode;
  params?: Record<string, string>;
}) {
  return (
    <Link className="name-row" href={featurePath(feature, params)} style={hue(feature.latent)}>
      <span className="dot" aria-hidden="true" />
      <span className="id">#{feature.latent}</span>
      <span className="title">{title}</span>
      <Origin {...feature} />
      <span className="fact">{extra ?? rarity(feature.density)}</span>
      {below && <span className="why">{below}</span>}
    </Link>
  );
}
